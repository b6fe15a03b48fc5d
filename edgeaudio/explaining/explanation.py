"""Why a model heard what it heard, in figures: the map, where most of it lies, and whether it is true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeaudio.backends import Runtime
from edgeaudio.errors import ModelError
from edgeaudio.explaining.bands import band_edges_hz, hz_said
from edgeaudio.explaining.deletion import Deletion, deletions
from edgeaudio.explaining.gradients import Array, activate, forward
from edgeaudio.explaining.hearing import Heard, Told, hear
from edgeaudio.explaining.network import Network, read_network
from edgeaudio.explaining.question import Question, ask
from edgeaudio.explaining.saliency import Method, grad_cam, integrated_gradients, occlusion
from edgeaudio.models.bundle import Bundle
from edgeaudio.profiles.profile import Profile
from edgeaudio.types import Samples

__all__ = ["Explanation", "Mattered", "explain"]

_MOST = 0.8
"""What part of the saliency must lie in the seconds, and then in the bands, that are named."""
_JUDGED_SHARE = 0.2
_CLEARLY = 0.1
"""Part of the score by which hiding what is salient must cost more than hiding as much elsewhere."""


@dataclass(frozen=True)
class Mattered:
    """Where most of the saliency lies; frequencies are None for models that hear no bands."""

    start_s: float
    end_s: float
    low_hz: float | None
    high_hz: float | None
    share: float
    """Part of the saliency that lies in there."""

    @property
    def said(self) -> str:
        """In words."""
        seconds = f"{self.start_s:.2f} s to {self.end_s:.2f} s"
        if self.low_hz is None or self.high_hz is None:
            return seconds
        return f"{seconds}, {hz_said(self.low_hz)} to {hz_said(self.high_hz)}"


@dataclass(frozen=True)
class Explanation:
    """One score, where it came from, and how sure that is.

    ``saliency`` is ``[n, n_bands]`` (one band for models of the waveform) of the frames from
    ``question.first`` on, never negative; it sums up to 1, or is zero everywhere.
    """

    clip: str
    question: Question
    version: str
    method: Method
    why_occlusion: str | None
    """Why there are no gradients, where they would have been taken."""
    saliency: Array
    mattered: Mattered | None
    deletions: tuple[Deletion, ...]
    difference: float | None
    """Between the posteriors of the runtime and those whose gradients were taken; None without gradients."""

    @property
    def heard(self) -> Heard:
        """The whole recording."""
        return self.question.heard

    @property
    def deletion(self) -> Deletion:
        """That which is judged by: a fifth hidden."""
        return next(one for one in self.deletions if one.share == _JUDGED_SHARE)

    @property
    def faithful(self) -> bool:
        """Whether hiding what is salient lowers the score clearly more than hiding as much elsewhere."""
        return self.deletion.elsewhere - self.deletion.salient >= _CLEARLY * self.question.score

    @property
    def told(self) -> Told | None:
        """What the model told of the label, at the moment that is explained."""
        label = self.question.label
        return next((one for one in self.heard.told if one.label == label and self._lasts(one)), None)

    def _lasts(self, one: Told) -> bool:
        """Whether what was told is still so: a stretch lasts, or a word's score has not fallen since."""
        question, heard = self.question, self.heard
        if one.end_s > one.start_s:
            smoothing_s = heard.manifest.stretches.smoothing_ms / 1000
            return one.start_s <= question.at_s <= one.end_s + smoothing_s
        threshold = heard.threshold(question.label) or 1.0
        frames = range(question.frame + 1)
        since = [heard.smoothed[i, question.column] for i in frames if heard.known_s(i) >= one.end_s]
        return bool(since) and bool(min(since) >= threshold / 2)

    def ranking(self, n: int = 4) -> list[tuple[str, float]]:
        """Return the labels with the highest scores at that moment, and the scores."""
        scores = self.heard.smoothed[self.question.frame]
        best = np.argsort(-scores, kind="stable")[:n]
        return [(self.heard.manifest.labels[i], float(scores[i])) for i in best]

    def to_json(self) -> dict[str, Any]:
        """Return what there is to say without a picture."""
        question, mattered, judged = self.question, self.mattered, self.deletion
        threshold = self.heard.threshold(question.label)
        return {
            "clip": self.clip,
            "seconds": round(self.heard.seconds, 3),
            "model": self.heard.manifest.name,
            "version": self.version,
            "runtime": self.heard.runtime,
            "label": question.label,
            "score": round(question.score, 4),
            "at_s": round(question.at_s, 3),
            "threshold": threshold,
            "told": self.told is not None,
            "method": self.method,
            "mattered": None
            if mattered is None
            else {
                "start_s": round(mattered.start_s, 3),
                "end_s": round(mattered.end_s, 3),
                "low_hz": None if mattered.low_hz is None else round(mattered.low_hz),
                "high_hz": None if mattered.high_hz is None else round(mattered.high_hz),
                "share": round(mattered.share, 3),
            },
            "faithfulness": {
                "hidden": judged.share,
                "score_without_salient": round(judged.salient, 4),
                "score_without_as_much_elsewhere": round(judged.elsewhere, 4),
                "faithful": self.faithful,
                "curve": [
                    {
                        "hidden": one.share,
                        "salient": round(one.salient, 4),
                        "elsewhere": round(one.elsewhere, 4),
                        "least_elsewhere": round(one.least_elsewhere, 4),
                    }
                    for one in self.deletions
                ],
            },
            "difference_from_runtime": None if self.difference is None else round(self.difference, 6),
            "scores": {label: round(score, 4) for label, score in self.ranking(100)},
            "detections": [
                {
                    "label": one.label,
                    "score": round(one.score, 4),
                    "start_s": round(one.start_s, 3),
                    "end_s": round(one.end_s, 3),
                }
                for one in self.heard.told
            ],
        }


def explain(
    samples: Samples,
    bundle: Bundle,
    *,
    clip: str = "",
    label: str | None = None,
    at_s: float | None = None,
    method: Method | None = None,
    backend: Runtime | None = None,
    profile: Profile | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Explanation:
    """Explain one score of a model.

    Parameters
    ----------
    samples : array [n] float32
        The recording, at 16 kHz.
    bundle : Bundle
        A model that gives each label a score.
    clip : str, optional
        What the recording is called.
    label, at_s
        What to explain, see `edgeaudio.explaining.question.ask`.
    method : {"gradients", "grad-cam", "occlusion"}, optional
        By default gradients, or occlusion where they are not to be had.
    backend, profile : optional
        With what the model runs, as for a spotter.
    progress : callable, optional
        Called with how many patches were hidden, and how many there are.

    Raises
    ------
    ModelError
        The model gives no scores to labels, or has not the gradients that were asked for.
    UsageError
        It has no such label, or the recording no such second.
    InputError
        The recording is too short.
    BackendError
        The runtime is not installed.
    """
    heard, graph = hear(samples, bundle, backend=backend, profile=profile)
    question = ask(heard, graph, label=label, at_s=at_s)
    network, why = None, None
    if method != "occlusion":
        try:
            network = read_network(bundle)
        except ModelError as error:
            if method is not None:
                raise
            why = error.message
    if network is None:
        method, found = "occlusion", occlusion(question, progress)
    elif method == "grad-cam":
        found = grad_cam(question, network)
    else:
        method, found = "gradients", integrated_gradients(question, network)
    saliency = _saliency(question, found, even=method == "gradients")
    return Explanation(
        clip=clip,
        question=question,
        version=bundle.manifest.version,
        method=method,
        why_occlusion=why,
        saliency=saliency,
        mattered=_mattered(question, saliency),
        deletions=tuple(deletions(question, saliency)),
        difference=None if network is None else _difference(question, network),
    )


def _saliency(question: Question, found: Array, *, even: bool) -> Array:
    """Keep what speaks for the label, evened out a little where `even`; samples of a frame are one value."""
    real = max(0, question.heard.n_real - question.first)
    found = found.astype(np.float64)
    found[real:] = 0.0  # what was played after the end is no part of the recording
    if question.heard.manifest.frontend.features == "waveform":
        found = found.sum(axis=1, keepdims=True)
    found = np.maximum(found, 0.0)
    if even:
        found = _evened(_evened(found).T).T
    total = found.sum()
    return np.asarray(found / total if total > 0 else found)


def _evened(x: Array) -> Array:
    """Mean of each row with its neighbours, weighted 1, 2, 1."""
    around = np.pad(x, ((1, 1), (0, 0)), mode="edge")
    evened: Array = (around[:-2] + 2 * around[1:-1] + around[2:]) / 4
    return evened


def _mattered(question: Question, saliency: Array) -> Mattered | None:
    if not saliency.any():
        return None
    start, end = _narrowest(saliency.sum(axis=1))
    low, high = _narrowest(saliency[start:end].sum(axis=0))
    heard, first = question.heard, question.first
    edges = band_edges_hz(heard.manifest.frontend)
    return Mattered(
        start_s=heard.frame_s(first + start),
        end_s=heard.frame_s(first + end),
        low_hz=None if edges is None else float(edges[low]),
        high_hz=None if edges is None else float(edges[high]),
        share=float(saliency[start:end, low:high].sum()),
    )


def _narrowest(weights: Array) -> tuple[int, int]:
    """Return where the shortest piece begins and ends that holds most of the weights."""
    sums = np.concatenate([[0.0], np.cumsum(weights)])
    # Where each piece must end at the earliest; the last ones never hold enough.
    ends = np.searchsorted(sums, sums[:-1] + _MOST * sums[-1] * (1 - 1e-9))
    lengths = np.where(ends < len(sums), ends - np.arange(len(weights)), len(weights) + 1)
    start = int(lengths.argmin())
    return start, int(ends[start])


def _difference(question: Question, network: Network) -> float:
    posteriors = activate(forward(network, question.frames[None]).logits[0], question.activation)
    n_first = question.first // question.heard.manifest.stride
    heard = question.heard.posteriors[n_first : n_first + len(posteriors)]
    used = question.weights > 0
    return float(np.abs(posteriors - heard)[used].max())

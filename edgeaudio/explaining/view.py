"""What both kinds of pictures show of an explanation: a close-up of the moment, and the whole recording."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeaudio.explaining.bands import band_edges_hz, hz_said
from edgeaudio.explaining.explanation import Explanation
from edgeaudio.explaining.hearing import Told
from edgeaudio.profiling.charts import Values
from edgeaudio.types import SAMPLE_RATE_HZ

__all__ = ["Span", "View", "method_said", "score_said", "sentences"]

_AROUND_S = 0.6
_LEAST_S = 2.5
_WHOLE_S = 60.0
"""Of a longer recording, the part around the moment is shown."""
_CLOSE_ALREADY = 1.5
"""A recording that is only so much longer than its close-up is shown once."""
_COLUMNS = 600
"""Of a waveform."""
_TICKS_HZ = (100, 250, 500, 1000, 2000, 4000, 7000)
_METHODS = {
    "gradients": "integrated gradients",
    "grad-cam": "Grad-CAM",
    "occlusion": "occlusion",
}


@dataclass(frozen=True)
class Span:
    """From where to where, in seconds."""

    start_s: float
    end_s: float

    def holds(self, at_s: float) -> bool:
        """Whether a moment is in it."""
        return self.start_s <= at_s <= self.end_s


class View:
    """Chooses and scales what is drawn.

    Parameters
    ----------
    explanation : Explanation
    """

    def __init__(self, explanation: Explanation) -> None:
        self.explanation = explanation
        heard, question = explanation.heard, explanation.question
        self.end_s = max(heard.seconds, heard.known_s(len(heard.smoothed) - 1))
        mattered = explanation.mattered
        first_s = min(question.at_s, mattered.start_s if mattered else question.at_s)
        last_s = max(question.at_s, mattered.end_s if mattered else question.at_s)
        around_s = max(_AROUND_S, (_LEAST_S - (last_s - first_s)) / 2)
        self.close = self._within(first_s - around_s, last_s + around_s)
        self.whole = self._within(question.at_s - _WHOLE_S / 2, question.at_s + _WHOLE_S / 2)
        if self.end_s <= _CLOSE_ALREADY * (self.close.end_s - self.close.start_s):
            self.close = self._within(0.0, self.end_s)
        places = np.array([heard.frame_s(i) for i in range(heard.n_real)])
        inside = np.flatnonzero((places >= self.close.start_s - 0.02) & (places <= self.close.end_s))
        self._frames = slice(int(inside[0]), int(inside[-1]) + 1)

    def _within(self, start_s: float, end_s: float) -> Span:
        """Return the span moved into the recording, and no longer than it."""
        length_s = min(end_s - start_s, self.end_s)
        start_s = min(max(0.0, start_s), self.end_s - length_s)
        return Span(start_s, start_s + length_s)

    @property
    def has_whole(self) -> bool:
        """Whether there is more of the recording than the close-up."""
        return self.whole.end_s - self.whole.start_s > self.close.end_s - self.close.start_s + 0.01

    @property
    def image_span(self) -> Span:
        """Where the images of frames lie."""
        heard = self.explanation.heard
        return Span(heard.frame_s(self._frames.start), heard.frame_s(self._frames.stop))

    @property
    def is_spectral(self) -> bool:
        """Whether the model hears bands, and not the waveform."""
        return self.explanation.heard.manifest.frontend.features != "waveform"

    def loudness(self) -> Values:
        """``[n_bands, n]`` from 0 to 1, the lowest band first."""
        frames = self.explanation.heard.frames[self._frames].T.astype(np.float64)
        low, high = np.quantile(frames, (0.03, 0.998))
        scaled: Values = np.clip((frames - low) / max(high - low, 1e-9), 0.0, 1.0)
        return scaled

    def saliency(self) -> Values:
        """``[n_bands, n]``, or ``[1, n]`` for a model of the waveform: 1 is what is most salient."""
        found = self.explanation.saliency
        first = self.explanation.question.first
        whole = np.zeros((self._frames.stop, found.shape[1]))
        end = min(len(whole), first + len(found))
        if end > first:
            whole[first:end] = found[: end - first]
        shown = whole[self._frames].T
        # The very few greatest must not leave all others dark.
        salient = shown[shown > 0]
        most = float(np.quantile(salient, 0.995)) if salient.size else 1.0
        scaled: Values = np.clip(shown / most, 0.0, 1.0)
        return scaled

    def waveform(self) -> tuple[Values, Values]:
        """Return least and greatest sample of each column of the close-up; zero beyond the recording."""
        samples = self.explanation.heard.samples
        edges = np.linspace(self.close.start_s, self.close.end_s, _COLUMNS + 1) * SAMPLE_RATE_HZ
        lows, highs = np.zeros(_COLUMNS), np.zeros(_COLUMNS)
        for i, (start, end) in enumerate(zip(edges[:-1].astype(int), edges[1:].astype(int), strict=True)):
            part = samples[start : max(end, start + 1)]
            if part.size:
                lows[i], highs[i] = part.min(), part.max()
        return lows, highs

    def scores(self, span: Span) -> list[tuple[float, float]]:
        """Return second and score of each output frame of a span."""
        heard, column = self.explanation.heard, self.explanation.question.column
        known = [(heard.known_s(i), float(score)) for i, score in enumerate(heard.smoothed[:, column])]
        return [(at_s, score) for at_s, score in known if span.holds(at_s)]

    def told(self, span: Span) -> list[Told]:
        """Return what the model told within a span."""
        return [
            one for one in self.explanation.heard.told if span.holds(one.start_s) or span.holds(one.end_s)
        ]

    def ticks(self) -> dict[float, str]:
        """Return where along the bands which frequency lies; empty where bands have none."""
        edges = band_edges_hz(self.explanation.heard.manifest.frontend)
        if edges is None:
            return {}
        places = np.interp(_TICKS_HZ, edges, np.arange(len(edges)))
        return {
            float(place): hz_said(hz)
            for place, hz in zip(places, _TICKS_HZ, strict=True)
            if edges[0] <= hz <= edges[-1]
        }

    def box(self) -> tuple[float, float] | None:
        """Return the bands of what mattered, as places among all bands."""
        mattered = self.explanation.mattered
        edges = band_edges_hz(self.explanation.heard.manifest.frontend)
        if edges is None or mattered is None or mattered.low_hz is None or mattered.high_hz is None:
            return None
        low, high = np.interp((mattered.low_hz, mattered.high_hz), edges, np.arange(len(edges)))
        return float(low), float(high)


def score_said(score: float) -> str:
    """Say a score so that a small one is not said to be none.

    Examples
    --------
    >>> score_said(0.973), score_said(0.00312)
    ('0.97', '0.0031')
    """
    return f"{score:.2f}" if score >= 0.0995 or score <= 0 else f"{score:.2g}"


def method_said(explanation: Explanation) -> str:
    """Name the method."""
    return _METHODS[explanation.method]


def sentences(explanation: Explanation) -> list[str]:
    """Say what a picture shows to who does not see it."""
    question, mattered = explanation.question, explanation.mattered
    name = explanation.heard.manifest.name
    threshold = explanation.heard.threshold(question.label)
    if explanation.told is not None:
        verdict = f"{name} told '{question.label}'"
    elif threshold is None:
        verdict = f"{name} never tells '{question.label}'"
    else:
        verdict = f"{name} did not tell '{question.label}'"
    limit = "" if threshold is None else f", threshold {threshold:.2f}"
    said = [f"{verdict}: score {score_said(question.score)} at {question.at_s:.2f} s{limit}."]
    if mattered is None:
        said.append(f"Nothing in the recording spoke for it, says {method_said(explanation)}.")
        return said
    said.append(
        f"Most of what spoke for it lies from {mattered.said}: "
        f"{100 * mattered.share:.0f} % of the saliency, by {method_said(explanation)}."
    )
    judged = explanation.deletion
    hidden = (
        f"With the most salient {100 * judged.share:.0f} % hidden the score is {score_said(judged.salient)}"
    )
    elsewhere = f"with as much hidden elsewhere {score_said(judged.elsewhere)}"
    said.append(f"{hidden}, {elsewhere}.")
    if not explanation.faithful:
        said.append("That is hardly a difference: what the score depends on is not in this map.")
    if explanation.why_occlusion is not None:
        said.append(f"Occlusion was used, since {explanation.why_occlusion}.")
    return said

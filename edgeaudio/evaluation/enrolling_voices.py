"""Make a voice out of a few recordings of a wake word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeaudio.backends import Runtime, open_graph
from edgeaudio.evaluation.intervals import wilson_interval
from edgeaudio.evaluation.mixing import in_quiet
from edgeaudio.evaluation.spoken import Spoken
from edgeaudio.frontend import Frontend
from edgeaudio.models.bundle import Bundle
from edgeaudio.models.enrolments import Estimate, VoiceNumbers
from edgeaudio.models.voices import VoiceSpace
from edgeaudio.tasks.spotter import Spotter
from edgeaudio.tasks.verifier import Verifier, voice_score
from edgeaudio.types import SAMPLE_RATE_HZ, Frames

__all__ = ["VoiceFit", "capture_voices", "fit_voice"]

_LEAST_SCORE = 0.3
"""A recording that the model itself would rather miss still tells who speaks."""
_LEAD_S, _TAIL_S = 1.2, 0.6

Vectors = NDArray[np.float64]


class _Capture:
    """Keeps what a verifier would have been asked about."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self.found: tuple[str, Vectors] | None = None

    def hear(self, frames: Frames) -> None:
        self._verifier.hear(frames)

    def accepts(self, label: str) -> bool:
        if self.found is None:
            self.found = label, self._verifier.vector()
        return True

    def reset(self) -> None:
        self._verifier.reset()
        self.found = None


def capture_voices(
    recordings: Sequence[Spoken], bundle: Bundle, backend: Runtime | None = None
) -> list[tuple[str, Vectors] | None]:
    """Let the model spot its words, and return which word each recording holds and how it sounds there.

    None stands for recordings in which it hears none.
    """
    manifest = bundle.manifest
    threshold = min(_LEAST_SCORE, manifest.spotting.threshold)
    spotter = Spotter(open_graph(bundle, backend), manifest, threshold=threshold)
    capture = _Capture(Verifier((), None, manifest.frontend))
    spotter.listen_for(capture)
    frontend = Frontend(manifest.frontend)
    heard = []
    for spoken in recordings:
        frontend.reset()
        spotter.reset()
        lead, tail = (round(part * SAMPLE_RATE_HZ) for part in (_LEAD_S, _TAIL_S))
        spotter.process(frontend.process(in_quiet(spoken.samples, lead, tail)))
        heard.append(capture.found)
    return heard


@dataclass(frozen=True)
class VoiceFit:
    """The voice's numbers, what can be said of them, and each recording's margin when it was left out."""

    numbers: VoiceNumbers
    estimate: Estimate
    scores: tuple[float, ...]


def fit_voice(placed: Vectors, label: str, space: VoiceSpace, *, passing: float = 0.05) -> VoiceFit:
    """Enrol a voice.

    Parameters
    ----------
    placed : array [n, d]
        Two recordings or more, placed in the space.
    label : str
        The word they say.
    space : VoiceSpace
    passing : float
        The part of strangers who may pass.
    """
    strangers = space.strangers_who_say(label)

    def threshold(vectors: Vectors) -> tuple[Vectors, float]:
        scores = voice_score(vectors.sum(axis=0), len(vectors), space.between, strangers)
        return scores, float(np.quantile(scores, 1.0 - passing))

    scores, least = threshold(placed)
    margins = []
    for i in range(len(placed)):
        others = np.delete(placed, i, axis=0)
        _, level = threshold(others)
        own = voice_score(others.sum(axis=0), len(others), space.between, placed[i : i + 1])
        margins.append(float(own[0]) - level)
    missed = sum(margin < 0.0 for margin in margins)
    passed = int(np.count_nonzero(scores >= least))
    estimate = Estimate(
        missed=missed,
        of=len(placed),
        interval=wilson_interval(missed, len(placed)),
        passed=passed,
        strangers=len(strangers),
        strangers_interval=wilson_interval(passed, len(strangers)),
    )
    numbers = VoiceNumbers(
        voice=tuple(float(f"{value:.6g}") for value in placed.sum(axis=0)),
        recordings=len(placed),
        label=label,
        threshold=least,
    )
    return VoiceFit(numbers, estimate, tuple(margins))

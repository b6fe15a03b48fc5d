"""What is measured of each detector: its curve, its delays at the edges of speech, and its cost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeaudio.evaluation.speech import FRAME_SAMPLES, Excerpt, stretches
from edgeaudio.evaluation.speech_frames import FrameScores, on_frames, score_frames
from edgeaudio.types import SAMPLE_RATE_HZ
from tools.speech_activity.detectors import Answers, Detector

SHIFTS = range(-5, 21)
PAUSE_S = 0.3
"""An edge counts where nobody speaks for so long on its other side."""
QUIET_S = 0.1
"""Speech is over for a detector when it says so for so long."""

_COST_S, _PASSES = 20, 5


@dataclass(frozen=True)
class Heard:
    """What one detector said of all excerpts of one condition."""

    excerpts: list[Excerpt]
    answers: list[Answers]

    def score(self, shift: int) -> FrameScores:
        """Judge the answers as if each had been given ``shift`` frames of 10 ms earlier."""
        late, early = max(shift, 0), max(-shift, 0)
        probabilities = [
            on_frames(own.probabilities, period_s=own.period_s, n_frames=len(excerpt.truth))[late:]
            for own, excerpt in zip(self.answers, self.excerpts, strict=True)
        ]
        return score_frames(
            probabilities,
            [excerpt.truth[early:] for excerpt in self.excerpts],
            groups=[excerpt.group for excerpt in self.excerpts],
        )


def hear(detector: Detector, excerpts: Sequence[Excerpt]) -> Heard:
    """Let a detector hear each excerpt."""
    return Heard(list(excerpts), [detector.hear(excerpt.samples) for excerpt in excerpts])


def best_shift(conditions: Sequence[Heard]) -> int:
    """The one shift with which a detector's curves are best, over all conditions together."""
    both = Heard(
        [excerpt for heard in conditions for excerpt in heard.excerpts],
        [own for heard in conditions for own in heard.answers],
    )
    return max(SHIFTS, key=lambda shift: both.score(shift).auc)


def threshold_at(scores: FrameScores, false_alarm_rate: float) -> float:
    """The lowest threshold with no more false alarms than that."""
    return next(point.threshold for point in scores.roc if point.false_alarm_rate <= false_alarm_rate + 1e-9)


def delays_ms(heard: Heard, threshold: float) -> tuple[list[float], list[float], int]:
    """Milliseconds from each beginning, and from each end, of speech until it was known.

    Beginnings that were taken for speech before are 0 ms late; those not noticed until the speech was over
    are counted, which is the third value.
    """
    starts, ends, missed = [], [], 0
    for excerpt, own in zip(heard.excerpts, heard.answers, strict=True):
        said = own.probabilities >= threshold
        known = own.known
        for first, last in stretches(excerpt.truth, least_pause_s=PAUSE_S):
            begin, end = first * FRAME_SAMPLES, last * FRAME_SAMPLES
            during = np.flatnonzero(said & (known > begin) & (known <= end + SAMPLE_RATE_HZ // 10))
            if len(during):
                starts.append(_ms(known[during[0]] - begin))
            else:
                missed += 1
            quiet = round(QUIET_S / own.period_s)
            over = [i for i in np.flatnonzero(known > end) if not said[i : i + quiet].any()]
            if over and len(during):
                ends.append(_ms(known[over[0]] - end))
    return starts, ends, missed


def _ms(samples: int) -> float:
    return 1000 * float(samples) / SAMPLE_RATE_HZ


def cost_ms(detector: Detector) -> float:
    """Processor time for a second of audio: the least of some passes, since other work only adds."""
    audio = 0.1 * np.random.default_rng(0).standard_normal(_COST_S * SAMPLE_RATE_HZ).astype(np.float32)
    times_s = []
    for _ in range(_PASSES):
        started = time.process_time()
        detector.hear(audio)
        times_s.append(time.process_time() - started)
    return 1000 * min(times_s) / _COST_S

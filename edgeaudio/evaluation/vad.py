"""How well a model tells when somebody speaks: misses against false alarms, delays and cost."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.evaluation.delays import summarised
from edgeaudio.evaluation.scoring import Progress
from edgeaudio.evaluation.speech import FRAME_SAMPLES, Excerpt, stretches
from edgeaudio.evaluation.speech_frames import FRAME_S, FrameScores, RocPoint, on_frames, score_frames
from edgeaudio.events import Event, SpeechEnd, SpeechStart
from edgeaudio.frontend import Frontend
from edgeaudio.tasks.vad import Vad
from edgeaudio.types import SAMPLE_RATE_HZ

__all__ = ["Told", "VadResult", "edge_delays", "evaluate_vad"]

PAUSE_S = 0.5
"""Shorter pauses are a part of a stretch of speech, where delays are measured."""
_LATE_S = 0.1
"""What is noticed so long after a stretch of speech still is that stretch."""
_SHIFTS = range(21)
_FALSE_ALARM_RATES = (0.01, 0.02, 0.05, 0.1, 0.2)
_LEAST_STEP = 0.005


@dataclass(frozen=True)
class Told:
    """A stretch as a detector told it, in samples, and when it had heard enough to tell.

    ``end_known`` is None for what only the end of the recording ended.
    """

    start: int
    end: int
    start_known: int
    end_known: int | None


@dataclass(frozen=True)
class _Heard:
    """What was said of one excerpt, and what is true of it."""

    truth: NDArray[np.int8]
    group: str
    snr_db: float | None
    probabilities: NDArray[np.float32]
    told: list[Told]


@dataclass
class EdgeDelays:
    """Seconds from where speech begins, and ends, until it is told; and how often that never happens."""

    starts_s: list[float] = field(default_factory=list)
    ends_s: list[float] = field(default_factory=list)
    missed: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return medians, 95th percentiles and numbers."""
        return {
            "start_delay_s": summarised(self.starts_s),
            "end_delay_s": summarised(self.ends_s),
            "stretches": len(self.starts_s) + self.missed,
            "missed_stretches": self.missed,
        }


@dataclass(frozen=True)
class Condition:
    """What was counted, over all recordings or at one signal-to-noise ratio."""

    scores: FrameScores
    told: tuple[float, float]
    """Miss and false-alarm rate of what was told: with pre-roll, least times and hangover."""
    delays: EdgeDelays

    def to_json(self) -> dict[str, Any]:
        """Return the rates with their intervals, and the delays."""
        scores = self.scores
        miss_interval, false_alarm_interval = scores.intervals
        return {
            "auc": scores.auc,
            "auc_interval": list(scores.auc_interval),
            "miss_rate": scores.miss_rate,
            "miss_rate_interval": list(miss_interval),
            "false_alarm_rate": scores.false_alarm_rate,
            "false_alarm_rate_interval": list(false_alarm_interval),
            "miss_rate_at": {f"{rate:g}": scores.miss_rate_at(rate) for rate in _FALSE_ALARM_RATES},
            "told": {"miss_rate": self.told[0], "false_alarm_rate": self.told[1]},
            **self.delays.to_json(),
            "frames": scores.n_speech + scores.n_other,
            "speech_frames": scores.n_speech,
        }


@dataclass(frozen=True)
class VadResult:
    """What was measured, over all recordings and at each signal-to-noise ratio."""

    all: Condition
    by_snr: dict[float, Condition]
    threshold: float
    shift_s: float
    clips: int
    heard_s: float
    frontend_s: float
    network_s: float
    model: str
    runtime: str

    @property
    def roc(self) -> list[RocPoint]:
        """The curve over all recordings, without the points that hardly differ from the one before."""
        points = self.all.scores.roc
        kept = points[:1]
        for point in points[1:-1]:
            step = max(
                abs(point.miss_rate - kept[-1].miss_rate),
                abs(point.false_alarm_rate - kept[-1].false_alarm_rate),
            )
            if step >= _LEAST_STEP:
                kept.append(point)
        return [*kept, points[-1]]

    @property
    def cost_ms(self) -> tuple[float, float]:
        """Milliseconds of one thread for a second of audio: for its frames, and for what is made of them."""
        return 1000 * self.frontend_s / self.heard_s, 1000 * self.network_s / self.heard_s

    def to_json(self) -> dict[str, Any]:
        """The result as ``edgeaudio evaluate vad --json`` prints it."""
        frontend_ms, vad_ms = self.cost_ms
        return {
            "roc": [
                {
                    "threshold": point.threshold,
                    "miss_rate": point.miss_rate,
                    "false_alarm_rate": point.false_alarm_rate,
                }
                for point in self.roc
            ],
            "threshold": self.threshold,
            "shift_s": self.shift_s,
            **self.all.to_json(),
            "by_snr": {f"{snr_db:g}": condition.to_json() for snr_db, condition in self.by_snr.items()},
            "clips": self.clips,
            "seconds": self.heard_s,
            "cpu_ms_per_s": {"frontend": frontend_ms, "vad": vad_ms},
            "real_time_factor": (frontend_ms + vad_ms) / 1000,
            "model": self.model,
            "runtime": self.runtime,
        }


def evaluate_vad(
    excerpts: Iterable[Excerpt], vad: Vad, *, total: int | None = None, progress: Progress | None = None
) -> VadResult:
    """Let a model hear every excerpt, each from a fresh state, and compare with what is true of it.

    A model that was trained to hear a little of what follows answers late by intent. So its probabilities are
    judged as if each had been given a constant time earlier, the one within 0.2 s with the largest area;
    ``shift_s`` says which. What it costs to wait is told by the delays: from the beginning of a stretch of
    speech to the moment at which `SpeechStart` could be told, in steps of the model, and likewise for
    `SpeechEnd`; speech that was taken for such before it began is 0 s late. Pauses shorter than half
    a second are a part of a stretch there.

    Parameters
    ----------
    excerpts : iterable of Excerpt
        As `edgeaudio.evaluation.speech.excerpts` makes them.
    vad : Vad
        It belongs to the evaluation from now on.
    total : int, optional
        How many excerpts there are, for `progress`.
    progress : callable, optional
        Called with (done, total) after each.

    Raises
    ------
    InputError
        A recording cannot be read, or there is no frame of speech, or none of anything else.
    """
    player = _Player(vad)
    heard: list[_Heard] = []
    for excerpt in excerpts:
        heard.append(player.hear(excerpt))
        if progress is not None:
            progress(len(heard), total or len(heard))
    shift = max(_SHIFTS, key=lambda frames: _scores(heard, frames, vad.threshold).auc)
    ratios = sorted({one.snr_db for one in heard if one.snr_db is not None})
    # What is no speech was heard without noise, and belongs to each ratio.
    by_snr = {snr_db: [one for one in heard if one.snr_db in (snr_db, None)] for snr_db in ratios}
    return VadResult(
        all=_condition(heard, shift, vad),
        by_snr={snr_db: _condition(part, shift, vad) for snr_db, part in by_snr.items()},
        threshold=vad.threshold,
        shift_s=shift * FRAME_S,
        clips=len(heard),
        heard_s=player.heard_s,
        frontend_s=player.frontend_s,
        network_s=player.network_s,
        model=vad.name,
        runtime=vad.runtime,
    )


def edge_delays(truth: NDArray[np.int8], told: Sequence[Told], delays: EdgeDelays) -> None:
    """Add those of one recording."""
    true = [
        (start * FRAME_SAMPLES, end * FRAME_SAMPLES) for start, end in stretches(truth, least_pause_s=PAUSE_S)
    ]
    for number, (start, end) in enumerate(true):
        late = end + round(_LATE_S * SAMPLE_RATE_HZ)
        known = [
            one
            for one in told
            if one.start_known <= late and (one.end_known is None or one.end_known > start)
        ]
        if not known:
            delays.missed += 1
            continue
        delays.starts_s.append(max(0, known[0].start_known - start) / SAMPLE_RATE_HZ)
        end_known = known[-1].end_known
        behind = true[number + 1][0] if number + 1 < len(true) else None
        # A stretch that goes on into the next, or to the end of the recording, has no end of its own.
        if end_known is not None and (behind is None or end_known <= behind):
            delays.ends_s.append(max(0, end_known - end) / SAMPLE_RATE_HZ)


class _Player:
    """Plays excerpts to a detector in blocks of its step, and measures what that costs."""

    def __init__(self, vad: Vad) -> None:
        self._vad = vad
        self._frontend = Frontend(vad.spec)
        self._block = vad.step_frames * self._frontend.hop_samples
        self._surplus = self._frontend.window_samples - self._frontend.hop_samples
        self.heard_s = self.frontend_s = self.network_s = 0.0

    def hear(self, excerpt: Excerpt) -> _Heard:
        """Hear it from a fresh state."""
        vad, samples = self._vad, excerpt.samples
        self._frontend.reset()
        vad.reset()
        probabilities: list[NDArray[np.float32]] = [np.zeros(0, np.float32)]
        told: list[Told] = []
        # The first frame needs more than its hop; heard at once, this makes every later block one step.
        at, behind = 0, self._block + self._surplus
        while at < len(samples):
            before_s = time.thread_time()
            frames = self._frontend.process(samples[at:behind])
            between_s = time.thread_time()
            events = vad.process(frames)
            after_s = time.thread_time()
            self.frontend_s += between_s - before_s
            self.network_s += after_s - between_s
            if len(frames) == vad.step_frames:
                probabilities.append(vad.posteriors.copy())
            _note(events, min(behind, len(samples)), told)
            at, behind = behind, behind + self._block
        _note(vad.flush(), None, told)
        self.heard_s += len(samples) / SAMPLE_RATE_HZ
        period_s = vad.manifest.stride * self._frontend.hop_samples / SAMPLE_RATE_HZ
        spread = on_frames(np.concatenate(probabilities), period_s=period_s, n_frames=len(excerpt.truth))
        return _Heard(excerpt.truth, excerpt.group, excerpt.snr_db, spread, told)


def _note(events: Sequence[Event], known: int | None, told: list[Told]) -> None:
    """Write down what was told when so much was known; None is the end of the recording."""
    for event in events:
        if isinstance(event, SpeechStart):
            start_known = event.end_sample if known is None else known
            told.append(Told(event.start_sample, event.end_sample, start_known, None))
        elif isinstance(event, SpeechEnd):
            begun = told.pop()
            told.append(Told(begun.start, event.end_sample, begun.start_known, known))


def _scores(heard: Sequence[_Heard], shift: int, threshold: float) -> FrameScores:
    """Judge answers as if each had been given `shift` frames earlier."""
    return score_frames(
        [one.probabilities[shift:] for one in heard],
        [one.truth for one in heard],
        groups=[one.group for one in heard],
        threshold=threshold,
    )


def _condition(heard: Sequence[_Heard], shift: int, vad: Vad) -> Condition:
    delays = EdgeDelays()
    counts = np.zeros((2, 2))
    for one in heard:
        truth = one.truth
        edge_delays(truth, one.told, delays)
        said = np.zeros(len(truth), bool)
        for told in one.told:
            said[told.start // FRAME_SAMPLES : -(-told.end // FRAME_SAMPLES)] = True
        for kind in (0, 1):
            counts[kind] += np.count_nonzero(said[truth == kind]), np.count_nonzero(truth == kind)
    false_alarm, hit = counts[:, 0] / counts[:, 1]
    told_rates = 1.0 - float(hit), float(false_alarm)
    return Condition(_scores(heard, shift, vad.threshold), told_rates, delays)

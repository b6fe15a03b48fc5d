"""Wake words: how many are missed, at how many false alarms an hour.

Everything is streamed through the model once and the posteriors are kept. For each threshold the
real trigger, with its smoothing, release and refractory time, then replays them, which costs
milliseconds an hour of audio.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeaudio.errors import InputError
from edgeaudio.evaluation.intervals import poisson_interval, wilson_interval
from edgeaudio.evaluation.manifest import Row, iter_clip, read_clip
from edgeaudio.evaluation.mixing import NoiseBank, active_rms, add_noise, in_quiet
from edgeaudio.evaluation.replay import Point, Replay
from edgeaudio.evaluation.scoring import Progress, Scorer
from edgeaudio.models.manifest import ModelManifest
from edgeaudio.types import SAMPLE_RATE_HZ, Frames, Samples

__all__ = ["Mixture", "WakeResult", "evaluate_wake", "normalise", "words_of"]

_log = logging.getLogger(__name__)

LEAD_S = 1.0
TAIL_S = 1.0
"""What surrounds each positive recording: the model is as awake as it is live, and has time to answer."""


@dataclass(frozen=True)
class Mixture:
    """Noise to mix into the positive recordings, ``snr_db`` below the speech; reproducible by ``seed``."""

    bank: NoiseBank
    snr_db: float
    seed: int = 0


@dataclass(frozen=True)
class WakeResult:
    """The operating point and the whole curve, over ``positives`` recordings and ``hours`` of negatives."""

    words: tuple[str, ...]
    positives: int
    hours: float
    operating: Point
    curve: list[Point]

    def miss_rate(self, point: Point) -> float:
        """Part of the positive recordings that were not noticed."""
        return point.misses / self.positives

    def false_alarms_per_hour(self, point: Point) -> float:
        """Detections per hour of audio that does not hold the word."""
        return point.false_alarms / self.hours

    @property
    def miss_interval(self) -> tuple[float, float]:
        """95 % interval (Wilson) of the miss rate at the operating point."""
        return wilson_interval(self.operating.misses, self.positives)

    @property
    def false_alarm_interval(self) -> tuple[float, float]:
        """95 % interval (Garwood) of the false alarms per hour at the operating point."""
        return poisson_interval(self.operating.false_alarms, self.hours)

    def to_json(self) -> dict[str, Any]:
        """The result as ``edgeaudio evaluate wake --json`` prints it."""
        return {
            **self._rates(self.operating),
            "interval": {
                "miss_rate": list(self.miss_interval),
                "false_alarms_per_hour": list(self.false_alarm_interval),
            },
            "curve": [self._rates(point) for point in self.curve],
            "positives": self.positives,
            "misses": self.operating.misses,
            "false_alarms": self.operating.false_alarms,
            "hours": self.hours,
        }

    def _rates(self, point: Point) -> dict[str, float]:
        return {
            "threshold": point.threshold,
            "miss_rate": self.miss_rate(point),
            "false_alarms_per_hour": self.false_alarms_per_hour(point),
        }


def normalise(text: str) -> str:
    """Lower case, everything between letters and digits a single ``_``: how labels are compared."""
    return re.sub(r"[\W_]+", "_", text.strip().lower()).strip("_")


def words_of(manifest: ModelManifest, labels: Sequence[str]) -> tuple[str, ...]:
    """The model's words that count: those among ``labels``, or all that can fire if none is."""
    spoken = manifest.spotted
    wanted = {normalise(label) for label in labels}
    return tuple(word for word in spoken if normalise(word) in wanted) or spoken


def evaluate_wake(
    positives: Sequence[Row],
    negatives: Sequence[Row],
    scorer: Scorer,
    *,
    labels: Sequence[str] = (),
    mixture: Mixture | None = None,
    false_alarms_per_hour: float | None = None,
    progress: Progress | None = None,
) -> WakeResult:
    """Stream everything, and find the curve of miss rate against false alarms.

    Parameters
    ----------
    positives : sequence of Row
        Recordings of the wake word: those labelled as one of ``labels`` (by default the model's
        words), and those without any label.
    negatives : sequence of Row
        Anything else; streamed back to back as one recording. Rows whose label or transcript holds
        the wake word are left out.
    scorer : Scorer
        The model.
    mixture : Mixture, optional
        Noise for the positives.
    false_alarms_per_hour : float, optional
        Choose the operating point by its rate instead of by the model's threshold.

    Raises
    ------
    InputError
        Nothing is left to measure, or a recording cannot be read.
    """
    words = words_of(scorer.manifest, labels)
    targets = {normalise(label) for label in (labels or words)}
    spoken = _choose(positives, lambda row: not row.label or normalise(row.label) in targets, "positives")
    meant = targets | {normalise(word) for word in words}
    other = _choose(negatives, lambda row: not _holds(row, meant), "negatives")

    replay = Replay(scorer.manifest, words, scorer.output_period_s)
    total = len(spoken) + len(other)
    for index, row in enumerate(spoken):
        rng = None if mixture is None else np.random.default_rng([mixture.seed, index])
        lead_s = max(LEAD_S, scorer.receptive_field_s)
        scorer.reset()
        replay.add_positive(
            scorer.process(_staged(row, lead_s, mixture, rng)),
            first_frame=int(lead_s / scorer.output_period_s),
            words=[word for word in words if normalise(word) == normalise(row.label)] or words,
        )
        if progress is not None:
            progress(index + 1, total)
    replay.negatives, seconds = _score_negatives(
        other, scorer, lambda done: None if progress is None else progress(len(spoken) + done, total)
    )
    hours = seconds / 3600
    chosen = None if false_alarms_per_hour is None else replay.threshold_for(false_alarms_per_hour * hours)
    return WakeResult(words, len(spoken), hours, replay.point(chosen), replay.curve())


def _choose(rows: Sequence[Row], wanted: Callable[[Row], bool], what: str) -> list[Row]:
    chosen = [row for row in rows if wanted(row)]
    if not chosen:
        found = ", ".join(sorted({row.label or "(none)" for row in rows})[:12])
        raise InputError(
            f"none of the {len(rows)} recordings can serve as {what}; their labels are: {found}",
            hint="Positives carry the wake word as label, or none; --label names another one.",
        )
    if len(chosen) < len(rows):
        _log.info("%d of %d recordings serve as %s", len(chosen), len(rows), what)
    return chosen


def _holds(row: Row, words: set[str]) -> bool:
    said = f"_{normalise(row.label)}__{normalise(row.text)}_"
    return any(f"_{word}_" in said for word in words)


def _staged(row: Row, lead_s: float, mixture: Mixture | None, rng: np.random.Generator | None) -> Samples:
    """The recording with what is heard before and after it."""
    clip = read_clip(row)
    staged = in_quiet(clip, round(lead_s * SAMPLE_RATE_HZ), round(TAIL_S * SAMPLE_RATE_HZ))
    if mixture is None or rng is None:
        return staged
    speech_rms = active_rms(clip)
    if speech_rms == 0.0:
        raise InputError(f"{row.origin}: {row.path} is digital silence and has no signal-to-noise ratio")
    noise = mixture.bank.excerpt(rng, len(staged))
    return add_noise(staged, noise, speech_rms=speech_rms, snr_db=mixture.snr_db)


def _score_negatives(
    rows: Sequence[Row], scorer: Scorer, progress: Callable[[int], None]
) -> tuple[Frames, float]:
    """Posteriors of all rows as one stream, and its duration in seconds."""
    scorer.reset()
    parts: list[Frames] = []
    n_samples = 0
    for done, row in enumerate(rows, start=1):
        for block in iter_clip(row):
            n_samples += len(block)
            parts.append(scorer.process(block))
        progress(done)
    if n_samples == 0:
        raise InputError("the negatives hold no samples")
    return np.concatenate(parts), n_samples / SAMPLE_RATE_HZ

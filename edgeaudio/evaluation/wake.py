"""Wake words: how many are missed, at how many false alarms an hour.

Everything is streamed through the model once and the posteriors are kept. For each threshold the
real trigger, with its smoothing, release and refractory time, then replays them, which costs
milliseconds an hour of audio.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
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

__all__ = ["Mixture", "Operating", "WakeResult", "add_positives", "evaluate_wake", "normalise", "words_of"]

_log = logging.getLogger(__name__)

LEAD_S = 1.0
TAIL_S = 1.0
"""What surrounds each positive recording: the model is as awake as it is live, and has time to answer."""


_PIECE_SAMPLES = 30 * SAMPLE_RATE_HZ
"""Of negatives in noise: each piece has noise by its own level."""


@dataclass(frozen=True)
class Mixture:
    """Noise to mix into the positive recordings, ``snr_db`` below the speech; reproducible by ``seed``.

    With ``everywhere`` the negatives are heard in it, too.
    """

    bank: NoiseBank
    snr_db: float
    seed: int = 0
    everywhere: bool = False


@dataclass(frozen=True)
class Operating:
    """What happens at the threshold for a wanted rate; None is the model's own threshold."""

    false_alarms_per_hour: float | None
    point: Point


@dataclass(frozen=True)
class WakeResult:
    """The operating point and the whole curve, over ``positives`` recordings and ``hours`` of negatives."""

    words: tuple[str, ...]
    positives: int
    hours: float
    operating_points: tuple[Operating, ...]
    curve: list[Point]

    @property
    def operating(self) -> Point:
        """The first of the operating points."""
        return self.operating_points[0].point

    def miss_rate(self, point: Point) -> float:
        """Part of the positive recordings that were not noticed."""
        return point.misses / self.positives

    def false_alarms_per_hour(self, point: Point) -> float:
        """Detections per hour of audio that does not hold the word."""
        return point.false_alarms / self.hours

    def miss_interval(self, point: Point) -> tuple[float, float]:
        """95 % interval (Wilson) of the miss rate."""
        return wilson_interval(point.misses, self.positives)

    def false_alarm_interval(self, point: Point) -> tuple[float, float]:
        """95 % interval (Garwood) of the false alarms per hour."""
        return poisson_interval(point.false_alarms, self.hours)

    def most_false_alarms_per_hour(self, point: Point) -> float:
        """The rate below which the true one lies with 95 % confidence: 3.0 divided by the hours for none."""
        return poisson_interval(point.false_alarms, self.hours, confidence=0.9)[1]

    def to_json(self) -> dict[str, Any]:
        """The result as ``edgeaudio evaluate wake --json`` prints it."""
        return {
            **self._rates(self.operating),
            "interval": self._intervals(self.operating),
            "curve": [self._rates(point) for point in self.curve],
            "positives": self.positives,
            "misses": self.operating.misses,
            "false_alarms": self.operating.false_alarms,
            "hours": self.hours,
            "operating_points": [
                {
                    "wanted_false_alarms_per_hour": one.false_alarms_per_hour,
                    **self._rates(one.point),
                    "interval": self._intervals(one.point),
                    "most_false_alarms_per_hour": self.most_false_alarms_per_hour(one.point),
                    "misses": one.point.misses,
                    "false_alarms": one.point.false_alarms,
                }
                for one in self.operating_points
            ],
        }

    def _intervals(self, point: Point) -> dict[str, list[float]]:
        return {
            "miss_rate": list(self.miss_interval(point)),
            "false_alarms_per_hour": list(self.false_alarm_interval(point)),
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
    false_alarms_per_hour: Sequence[float] = (),
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
    false_alarms_per_hour : sequence of float, optional
        Choose operating points by their rates instead of one by the model's threshold.

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
    add_positives(
        replay,
        spoken,
        scorer,
        words,
        mixture=mixture,
        progress=lambda done, _: None if progress is None else progress(done, total),
    )
    replay.negatives, seconds = _score_negatives(
        other, scorer, mixture, lambda done: None if progress is None else progress(len(spoken) + done, total)
    )
    hours = seconds / 3600
    rates = tuple(
        Operating(rate, replay.point(replay.threshold_for(rate * hours))) for rate in false_alarms_per_hour
    )
    own = (Operating(None, replay.point(None)),)
    return WakeResult(words, len(spoken), hours, rates or own, replay.curve())


def add_positives(
    replay: Replay,
    rows: Sequence[Row],
    scorer: Scorer,
    words: Sequence[str],
    *,
    mixture: Mixture | None = None,
    progress: Progress | None = None,
) -> None:
    """Add recordings of words, each with a second of what is heard before and after it.

    Raises
    ------
    InputError
        A recording cannot be read.
    """
    lead_s = max(LEAD_S, scorer.receptive_field_s)
    for index, row in enumerate(rows):
        rng = None if mixture is None else np.random.default_rng([mixture.seed, index])
        scorer.reset()
        replay.add_positive(
            scorer.process(_staged(row, lead_s, mixture, rng)),
            first_frame=int(lead_s / scorer.output_period_s),
            words=[word for word in words if normalise(word) == normalise(row.label)] or words,
        )
        if progress is not None:
            progress(index + 1, len(rows))


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
    rows: Sequence[Row], scorer: Scorer, mixture: Mixture | None, progress: Callable[[int], None]
) -> tuple[Frames, float]:
    """Posteriors of all rows as one stream, and its duration in seconds."""
    scorer.reset()
    parts: list[Frames] = []
    n_samples = 0
    for done, row in enumerate(rows, start=1):
        blocks = iter_clip(row)
        if mixture is not None and mixture.everywhere:
            # Other noise than that of the positives.
            blocks = _in_noise(blocks, mixture, np.random.default_rng([mixture.seed, done, 1]))
        for block in blocks:
            n_samples += len(block)
            parts.append(scorer.process(block))
        progress(done)
    if n_samples == 0:
        raise InputError("the negatives hold no samples")
    return np.concatenate(parts), n_samples / SAMPLE_RATE_HZ


def _in_noise(blocks: Iterator[Samples], mixture: Mixture, rng: np.random.Generator) -> Iterator[Samples]:
    """A recording in pieces, each in noise; what is digital silence stays so."""
    for piece in _pieces(blocks):
        level = active_rms(piece)
        if level == 0.0:
            yield piece
        else:
            noise = mixture.bank.excerpt(rng, len(piece))
            yield add_noise(piece, noise, speech_rms=level, snr_db=mixture.snr_db)


def _pieces(blocks: Iterator[Samples]) -> Iterator[Samples]:
    waiting: list[Samples] = []
    for block in blocks:
        waiting.append(block.copy())  # it is valid until the next one
        if sum(map(len, waiting)) >= _PIECE_SAMPLES:
            yield np.concatenate(waiting)
            waiting = []
    rest = np.concatenate([*waiting, np.zeros(0, np.float32)])
    if len(rest):
        yield rest

"""What a wake word's model is measured on, and the trade between misses and false alarms.

The network's posteriors are computed once; misses and false alarms at any threshold follow from
them with the trigger that runs live. A recording of the word is missed at a threshold if its
highest smoothed posterior stays below. Recordings without the word are one stream for each half of
the speakers: a threshold chosen on one half is judged by its false alarms in the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeaudio.evaluation.intervals import poisson_interval, wilson_interval
from edgeaudio.models.manifest import Decision
from edgeaudio.tasks.trigger import Trigger
from edgeaudio.training.augment import mix_noise
from edgeaudio.training.corpus import Clip, in_first_half, is_background
from edgeaudio.training.occurrences import LEDGER, MINED
from edgeaudio.training.own import POSITIVES
from edgeaudio.training.spotter import SHORT_S, Material, said_word
from edgeaudio.training.surroundings import made_noises
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = [
    "FRAME_MS",
    "NOISY",
    "REAL",
    "SYNTHETIC",
    "YOURS",
    "Hear",
    "Heard",
    "Point",
    "WakeTests",
    "rate",
    "share",
]

FRAME_MS = 20.0
"""From one output frame to the next."""
REAL, YOURS, SYNTHETIC = "real recordings", "your recordings", "synthetic voices never trained on"
OWN = (POSITIVES, LEDGER, MINED)
"""Corpora of the user's own recordings."""
SNR_DB = 10.0
NOISY = f", noise at {SNR_DB:g} dB"
ENOUGH_REAL_S = 1800.0
"""With half an hour of real negatives made sentences have no say in the threshold."""
MADE_LEAST = 0.5
"""Made sentences are easier than people: no threshold that only they have chosen lies lower."""
MANY_VOICES = 8
NEAR_WORDS = 4
"""More words than that are a sentence, not something that sounds like the word."""
_MADE_NOISE_SEED = 1_000_003
_GRID = [round(float(x), 5) for x in 1.0 / (1.0 + np.exp(-np.arange(-4.0, 9.3, 0.1)))]
"""Of thresholds, in even steps of the log odds: 0.018 to 0.9999."""
_QUIET = 0.005
"""Less than any threshold's release level."""

Posteriors: TypeAlias = NDArray[np.float32]
Hear: TypeAlias = Callable[[Sequence[Samples]], list[Posteriors]]


@dataclass(frozen=True)
class Point:
    """One threshold: false alarms in the negatives that decide, and the part missed of each group."""

    threshold: float
    false_alarms_per_hour: float
    missed: dict[str, float]


@dataclass(frozen=True)
class WakeTests:
    """Held-out recordings: of the word by group, of anything else by half, and near words alone."""

    positives: dict[str, list[Samples]] = field(repr=False)
    in_first_half: dict[str, list[bool]] = field(repr=False)
    """Of the people in each group of positives, who belongs to the first half; of synthetic ones nobody."""
    voices: list[str]
    """Who says each of the synthetic positives."""
    negatives: tuple[list[Samples], list[Samples]] = field(repr=False)
    least: float
    """Threshold below which none is chosen."""
    negatives_are: str
    """What they are, in words."""
    confusable: list[Samples] = field(repr=False)
    noise_is_real: bool

    @classmethod
    def of(cls, material: Material, words: Sequence[str]) -> WakeTests:
        """Sort held-out recordings; each of the word is also heard in noise that was not trained on."""
        said = [clip for clip in material.development if said_word(clip, words) is not None]
        other = [clip for clip in material.development if said_word(clip, words) is None]
        made = [clip for clip in said if _is_synthetic(clip)]
        groups = {
            YOURS: [clip for clip in said if not _is_synthetic(clip) and clip.corpus in OWN],
            REAL: [clip for clip in said if not _is_synthetic(clip) and clip.corpus not in OWN],
            SYNTHETIC: made,
        }
        real_negatives = [clip for clip in other if not _is_synthetic(clip)]
        sentences = [clip for clip in other if _is_synthetic(clip) and _is_sentence(clip)]
        real_s = sum(clip.seconds for clip in real_negatives)
        enough = real_s >= ENOUGH_REAL_S or not sentences
        chosen = real_negatives if enough else real_negatives + sentences
        halves: tuple[list[Samples], list[Samples]] = ([], [])
        for clip in chosen:
            halves[in_first_half(clip)].append(_audio(clip))
        noises = [_audio(clip) for clip in other if is_background(clip) and clip.seconds > SHORT_S]
        used = noises or made_noises([_audio(clip) for clip in sentences[:200]], 12, seed=_MADE_NOISE_SEED)
        return cls(
            positives=_with_noise(groups, used),
            in_first_half={
                name + suffix: [in_first_half(clip) for clip in clips]
                for name, clips in groups.items()
                for suffix in ("", NOISY)
                if clips and name != SYNTHETIC
            },
            voices=_voices(made),
            negatives=halves,
            least=MADE_LEAST if chosen is not real_negatives else 0.0,
            negatives_are=_negatives_are(real_s, made=not enough),
            confusable=[_surrounded(c) for c in other if _is_synthetic(c) and not _is_sentence(c)],
            noise_is_real=bool(noises),
        )

    @property
    def hours(self) -> float:
        """Length of the negatives."""
        return sum(len(x) for half in self.negatives for x in half) / SAMPLE_RATE_HZ / 3600

    def hear(self, hear: Hear, labels: Sequence[str], decision: Decision) -> Heard:
        """Let a network hear everything."""
        trigger = Trigger(labels, decision, frame_ms=FRAME_MS)
        peaks = {name: _peaks(hear(audio), trigger) for name, audio in self.positives.items()}
        nothing = np.zeros((0, len(labels)), np.float32)
        first, second = (np.concatenate([nothing, *hear(half)]) for half in self.negatives)
        near = _peaks(hear(self.confusable), trigger)
        streams = condensed(first, decision), condensed(second, decision)
        hours = len(first) * FRAME_MS / 3.6e6, len(second) * FRAME_MS / 3.6e6
        return Heard(tuple(labels), decision, peaks, streams, hours, near, self.least)


@dataclass(frozen=True)
class Heard:
    """What a network answered to all tests; false alarms are counted anew for each threshold."""

    labels: tuple[str, ...]
    decision: Decision
    peaks: dict[str, NDArray[np.float64]] = field(repr=False)
    streams: tuple[Posteriors, Posteriors] = field(repr=False)
    """See :func:`condensed`."""
    hours_of: tuple[float, float]
    confusable: NDArray[np.float64] = field(repr=False)
    least: float = 0.0
    _counts: dict[tuple[float, int], int] = field(default_factory=dict, repr=False)

    @property
    def hours(self) -> float:
        """Length of the negatives."""
        return sum(self.hours_of)

    def false_alarms(self, threshold: float, halves: Sequence[int] = (0, 1)) -> int:
        """Firings in one half of the negatives, or both."""
        for half in halves:
            if (threshold, half) not in self._counts:
                decision = msgspec.structs.replace(self.decision, threshold=threshold)
                trigger = Trigger(self.labels, decision, frame_ms=FRAME_MS)
                self._counts[threshold, half] = len(trigger.process(self.streams[half]))
        return sum(self._counts[threshold, half] for half in halves)

    def threshold_for(self, per_hour: float, halves: Sequence[int] = (0, 1)) -> float:
        """The lowest threshold of a grid from which on upwards no more false alarms are made.

        Found from above: far below useful thresholds the count falls again, since a word that is never
        released fires once and never more.
        """
        allowed = per_hour * sum(self.hours_of[half] for half in halves)
        found = _GRID[-1]
        for threshold in reversed(_GRID):
            if threshold < self.least or self.false_alarms(threshold, halves) > allowed:
                break
            found = threshold
        return found

    def crosswise(self, per_hour: float) -> int:
        """False alarms where each half is judged with the threshold of the other."""
        return sum(self.false_alarms(self.threshold_for(per_hour, (1 - half,)), (half,)) for half in (0, 1))

    def with_people(
        self, halves: tuple[Heard, Heard], in_first: dict[str, list[bool]], per_hour: float
    ) -> Heard:
        """The same, but each half of the people as another network heard them.

        Networks differ in how sure they say they are: the others' answers are shifted, in log odds, so that
        their thresholds for ``per_hour`` false alarms are this one's.
        """
        wanted = _log_odds(self.threshold_for(per_hour))
        peaks = dict(self.peaks)
        for name, first in in_first.items():
            second, of_first = (
                _chance(_log_odds(other.peaks[name]) + wanted - _log_odds(other.threshold_for(per_hour)))
                for other in halves
            )
            peaks[name] = np.where(first, of_first, second)
        return replace(self, peaks=peaks)

    def missed(self, threshold: float) -> dict[str, int]:
        """Recordings of each group that are missed."""
        return {name: int(np.sum(peaks < threshold)) for name, peaks in self.peaks.items()}

    def woken(self, threshold: float) -> int:
        """Near words that wake it."""
        return int(np.sum(self.confusable >= threshold))

    def curve(self) -> list[Point]:
        """The trade-off, from the threshold with most false alarms on upwards."""
        counts = [self.false_alarms(threshold) for threshold in _GRID]
        most = int(np.argmax(counts))
        return [
            Point(
                threshold,
                count / max(self.hours, 1e-9),
                {name: float(np.mean(peaks < threshold)) for name, peaks in self.peaks.items()},
            )
            for threshold, count in zip(_GRID[most:], counts[most:], strict=True)
        ]

    def operating_point(self, per_hour: float) -> dict[str, Any]:
        """A line of the card's table."""
        threshold = self.threshold_for(per_hour)
        missed = self.missed(threshold)
        return {
            "wanted": per_hour,
            "threshold": threshold,
            "false alarms per hour": rate(self.crosswise(per_hour), self.hours),
            "missed": {name: {"missed": n, **share(n, len(self.peaks[name]))} for name, n in missed.items()},
        }


def condensed(stream: Posteriors, decision: Decision) -> Posteriors:
    """What of hours decides about firings: no frame that lies long behind the last one that was loud.

    After as many quiet frames as smoothing and the refractory time have, every trigger of the grid is
    armed and has forgotten all; further ones change nothing.
    """
    needed = 2 + round((decision.smoothing_ms + decision.refractory_ms) / FRAME_MS)
    places = np.arange(len(stream))
    latest_loud = np.maximum.accumulate(np.where(stream[:, 0] >= _QUIET, places, -needed))
    kept: Posteriors = stream[places - latest_loud < needed]
    return kept


def _log_odds(chance: float | NDArray[np.float64]) -> NDArray[np.float64]:
    within = np.clip(chance, 1e-9, 1.0 - 1e-9)
    odds: NDArray[np.float64] = np.log(within / (1.0 - within))
    return odds


def _chance(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    chance: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-log_odds))
    return chance


def share(n: int, of: int) -> dict[str, Any]:
    """Wilson's interval of n in all, as the manifest states it."""
    low, high = wilson_interval(n, of)
    return {"of": of, "interval": [round(low, 4), round(high, 4)]}


def rate(count: int, hours: float) -> dict[str, Any]:
    """Garwood's interval of events an hour, as the manifest states it; no upper end without hours."""
    low, high = poisson_interval(count, hours)
    per_hour = round(count / hours, 2) if hours else 0.0
    interval = [round(low, 2), round(min(high, 1e6), 2)]
    return {"rate": per_hour, "interval": interval, "hours": float(f"{hours:.3g}")}


def _negatives_are(real_s: float, *, made: bool) -> str:
    real = f"{real_s / 60:.0f} minutes of held-out recordings" if real_s else ""
    parts = [real, "made sentences, said by voices never trained on" if made else ""]
    return " and ".join(part for part in parts if part)


def _voices(made: Sequence[Clip]) -> list[str]:
    """Engine and voice of each, or the engine alone where there are too many for a table."""
    voices = ["/".join(clip.speaker.split("/")[:2]) for clip in made]
    return voices if len(set(voices)) <= MANY_VOICES else [voice.partition("/")[0] for voice in voices]


def _with_noise(groups: dict[str, list[Clip]], noises: list[Samples]) -> dict[str, list[Samples]]:
    rng = np.random.default_rng(0)
    found: dict[str, list[Samples]] = {}
    for name, clips in groups.items():
        if clips:
            found[name] = [_surrounded(clip) for clip in clips]
            found[name + NOISY] = [_mixed(x, noises, rng) for x in found[name]]
    return found


def _mixed(x: Samples, noises: list[Samples], rng: np.random.Generator) -> Samples:
    noise = noises[int(rng.integers(len(noises)))]
    start = int(rng.integers(len(noise)))
    return mix_noise(x, np.take(noise, np.arange(start, start + len(x)), mode="wrap"), SNR_DB)


def _peaks(found: Sequence[Posteriors], trigger: Trigger) -> NDArray[np.float64]:
    """The highest smoothed posterior of the word, the first label, in each recording."""
    peaks = np.zeros(len(found))
    for i, posteriors in enumerate(found):
        trigger.reset()
        trigger.process(posteriors)
        peaks[i] = trigger.smoothed[:, 0].max(initial=0.0)
    return peaks


def _is_synthetic(clip: Clip) -> bool:
    return clip.split == "held_out"


def _is_sentence(clip: Clip) -> bool:
    return clip.seconds > SHORT_S or len(clip.label.split()) > NEAR_WORDS


def _audio(clip: Clip) -> Samples:
    samples: Samples = clip.pcm / np.float32(32768.0)
    return samples


def _surrounded(clip: Clip) -> Samples:
    """With half a second of silence before and after: people do not begin when the device does."""
    return np.pad(_audio(clip), SAMPLE_RATE_HZ // 2)

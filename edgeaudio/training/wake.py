"""A wake word: the plan of the shipped model, and the threshold for a wanted rate of false alarms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeaudio.evaluation.intervals import poisson_interval, wilson_interval
from edgeaudio.models.manifest import Decision
from edgeaudio.tasks.trigger import Trigger
from edgeaudio.training.augment import mix_noise
from edgeaudio.training.build import (
    Job,
    Reporter,
    Trained,
    bundle_posteriors,
    finish,
    load_recordings,
    train_network,
    write_model,
)
from edgeaudio.training.commands import SILENT_LABELS, log_mel_plan
from edgeaudio.training.corpus import Clip, is_background
from edgeaudio.training.hearing import posteriors
from edgeaudio.training.loop import LoopSettings
from edgeaudio.training.nets import SpotterNet
from edgeaudio.training.spotter import SHORT_S, Material, SpotterPlan, gather, said_word
from edgeaudio.training.streams import Recipe
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["RECIPE", "choose_threshold", "count_firings", "missed", "train_wake"]

FRAME_MS = 20.0
"""From one output frame to the next."""

# Most of the time nobody says the word: three quarters of what is heard must not fire. Few real
# recordings of a wake word exist, so that synthetic ones are the rule.
RECIPE = Recipe(word=0.3, confusable=0.4, speech=0.25, pause=0.05, synthetic=0.75)

Posteriors = NDArray[np.float32]


def count_firings(
    found: Sequence[Posteriors], labels: Sequence[str], decision: Decision, frame_ms: float
) -> list[int]:
    """How often the trigger fires in each recording, each from a fresh state."""
    trigger = Trigger(labels, decision, frame_ms=frame_ms)
    counts = []
    for recording in found:
        trigger.reset()
        counts.append(len(trigger.process(recording)))
    return counts


def missed(found: Sequence[Posteriors], labels: Sequence[str], decision: Decision, frame_ms: float) -> int:
    """Recordings of the word in which the trigger never fires."""
    return count_firings(found, labels, decision, frame_ms).count(0)


def choose_threshold(
    negatives: Sequence[Posteriors],
    labels: Sequence[str],
    decision: Decision,
    frame_ms: float,
    *,
    false_alarms_per_hour: float,
) -> tuple[float, float]:
    """The lowest threshold of a grid at which the negatives cause no more than the wanted rate.

    Returns
    -------
    tuple of float
        Threshold, and the false alarms per hour that it causes.
    """
    hours = sum(map(len, negatives)) * frame_ms / 3.6e6
    rate = 0.0
    # Even steps of the log odds: 0.1 … 0.998.
    for threshold in 1.0 / (1.0 + np.exp(-np.arange(-2.2, 6.4, 0.1))):
        at = msgspec.structs.replace(decision, threshold=float(round(threshold, 4)))
        rate = sum(count_firings(negatives, labels, at, frame_ms)) / hours
        if rate <= false_alarms_per_hour:
            return at.threshold, rate
    return at.threshold, rate


def train_wake(
    job: Job, reporter: Reporter, *, phrase: str, false_alarms_per_hour: float = 0.5
) -> dict[str, Any]:
    """Train a model of one word or phrase, choose its threshold, and write its bundle.

    Parameters
    ----------
    phrase : str
        Letters and spaces, as a synthesiser should say it.
    false_alarms_per_hour : float
        Wanted on held-out speech and sounds, which are all taken to be in earshot all the time.

    Returns
    -------
    dict
        What was measured, as in the bundle's ``results``.
    """
    words, labels = (phrase,), (phrase, *SILENT_LABELS)
    recordings = load_recordings(job, words, reporter)
    material = gather(
        recordings.real, recordings.synthetic, words, word_share=0.5, other_share=0.2, strict=True
    )
    spec, net_spec = log_mel_plan(len(labels), width=48)
    loop = LoopSettings(
        job.minutes, job.epochs, false_alarm_weight=2.0, threads=job.threads, device=job.device
    )
    plan = SpotterPlan(spec, net_spec, RECIPE, loop, seed=job.seed, workers=job.workers)
    tests = _Tests.of(material, words)
    base = Decision(threshold=0.5, smoothing_ms=100.0, refractory_ms=1000.0, silent_labels=SILENT_LABELS)

    def judge(hear: Callable[[Sequence[Samples]], list[Posteriors]]) -> tuple[float, dict[str, Any]]:
        return tests.judge(hear, labels, base, false_alarms_per_hour)

    def measure(net: SpotterNet) -> str:
        threshold, results = judge(lambda audio: posteriors(net, audio, spec))
        return f"threshold {threshold:.3f}, {results}"

    net = train_network(job, plan, material, reporter, measure)
    trained = Trained(net, plan, material, labels, base, recordings.manifests)
    write_model(job, trained, kind="wake", description=f'Wakes at "{phrase}".')
    # The threshold is that of the model as it will run: quantized.
    threshold, results = judge(lambda audio: bundle_posteriors(job.output, audio))
    decision = msgspec.structs.replace(base, threshold=threshold)
    finish(job, trained, decision=decision, results=results)
    return results


@dataclass(frozen=True)
class _Tests:
    """Held-out recordings, ready to be measured on: of the word, of other sounds, of near words."""

    positives: dict[str, list[Samples]]
    negatives: list[Samples]
    confusable: list[Samples]

    @classmethod
    def of(cls, material: Material, words: Sequence[str], snr_db: float = 10.0) -> _Tests:
        """Sort held-out recordings; each real one is also heard in noise that was held out as well."""
        said = [clip for clip in material.development if said_word(clip, words) is not None]
        other = [clip for clip in material.development if said_word(clip, words) is None]
        noises = [_audio(clip) for clip in other if is_background(clip) and clip.seconds > SHORT_S]
        real = [_surrounded(clip) for clip in said if not _is_synthetic(clip)]
        rng = np.random.default_rng(0)
        noisy = [
            mix_noise(x, np.resize(noises[int(rng.integers(len(noises)))], len(x)), snr_db)
            for x in (real if noises else [])
        ]
        positives = {
            "real recordings": real,
            f"real recordings, noise at {snr_db:g} dB": noisy,
            "held-out synthetic voice": [_surrounded(clip) for clip in said if _is_synthetic(clip)],
        }
        return cls(
            {name: audio for name, audio in positives.items() if audio},
            [_audio(clip) for clip in other if not _is_synthetic(clip)],
            [_surrounded(clip) for clip in other if _is_synthetic(clip)],
        )

    def judge(
        self,
        hear: Callable[[Sequence[Samples]], list[Posteriors]],
        labels: Sequence[str],
        decision: Decision,
        false_alarms_per_hour: float,
    ) -> tuple[float, dict[str, Any]]:
        """Threshold for a rate of false alarms, and what is missed at it."""
        threshold, rate = choose_threshold(
            hear(self.negatives), labels, decision, FRAME_MS, false_alarms_per_hour=false_alarms_per_hour
        )
        at = msgspec.structs.replace(decision, threshold=threshold)
        hours = sum(map(len, self.negatives)) / SAMPLE_RATE_HZ / 3600
        low, high = poisson_interval(round(rate * hours), hours)
        results: dict[str, Any] = {
            "false alarms per hour, held-out recordings": {
                "rate": round(rate, 2),
                "interval": [round(low, 2), round(high, 2)],
                "hours": round(hours, 2),
            }
        }
        for name, audio in self.positives.items():
            n = missed(hear(audio), labels, at, FRAME_MS)
            results[f"missed, {name}"] = {"missed": n, **_share(n, len(audio))}
        if self.confusable:
            n = len(self.confusable) - missed(hear(self.confusable), labels, at, FRAME_MS)
            results["woken by other words, held-out synthetic voice"] = {
                "woken": n,
                **_share(n, len(self.confusable)),
            }
        return threshold, results


def _share(n: int, of: int) -> dict[str, Any]:
    low, high = wilson_interval(n, of)
    return {"of": of, "interval": [round(low, 4), round(high, 4)]}


def _is_synthetic(clip: Clip) -> bool:
    return clip.split == "held_out"


def _audio(clip: Clip) -> Samples:
    samples: Samples = clip.pcm / np.float32(32768.0)
    return samples


def _surrounded(clip: Clip) -> Samples:
    """With half a second of silence before and after: people do not begin when the device does."""
    return np.pad(_audio(clip), SAMPLE_RATE_HZ // 2)

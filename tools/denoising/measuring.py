"""What is measured: errors of each recording with and without noise reduction, the signal, the cost."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from edgeaudio.dsp.denoise import STRENGTHS, Denoiser
from edgeaudio.evaluation.captions import evaluate_captions
from edgeaudio.evaluation.commands import true_label
from edgeaudio.evaluation.intervals import bootstrap_interval, wilson_interval
from edgeaudio.evaluation.manifest import Row, read_clip
from edgeaudio.evaluation.mixing import active_rms, add_noise
from edgeaudio.evaluation.replay import Replay
from edgeaudio.evaluation.scoring import Scorer
from edgeaudio.tasks.clip import clip_decision, pad_clip
from edgeaudio.tasks.recognizer import Recognizer
from edgeaudio.tasks.spotter import Spotter
from edgeaudio.types import SAMPLE_RATE_HZ, Samples
from tools.denoising.material import AROUND_SAMPLES, Material, cleaned

__all__ = [
    "SETTINGS",
    "SNRS_DB",
    "Errors",
    "FalseAlarms",
    "alarms",
    "captions",
    "commands",
    "cost",
    "signal",
    "wake",
]

SETTINGS = ("off", *STRENGTHS)
SNRS_DB: tuple[float | None, ...] = (None, 20.0, 10.0, 5.0, 0.0)
"""None is a quiet room."""
ALARMS_SNR_DB = 10.0


@dataclass
class Errors:
    """What went wrong in each recording, by setting; the recordings are the same in all of them."""

    totals: list[int] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    errors: dict[str, list[int]] = field(default_factory=dict)

    def rate(self, setting: str) -> tuple[float, float, float]:
        """Errors per word or recording, and its 95 % interval."""
        errors = self.errors[setting]
        if set(self.totals) == {1}:
            # Of a few dozen recordings none may fail, and a bootstrap would be sure of that.
            return sum(errors) / len(errors), *wilson_interval(sum(errors), len(errors))
        return sum(errors) / sum(self.totals), *bootstrap_interval(errors, self.totals, self.groups)

    def change(self, setting: str) -> tuple[float, float, float]:
        """How much more go wrong than without noise reduction, and the 95 % interval of that."""
        changes = [a - b for a, b in zip(self.errors[setting], self.errors["off"], strict=True)]
        return sum(changes) / sum(self.totals), *bootstrap_interval(changes, self.totals, self.groups)


@dataclass(frozen=True)
class FalseAlarms:
    """How often a wake word was heard that nobody said."""

    count: int
    hours: float


def commands(material: Material, snr_db: float | None, settings: Sequence[str] = SETTINGS) -> Errors:
    """Recordings of one word each that commands-12 takes for something else."""
    scorer = Scorer(Spotter.load("commands-12"))
    labels, decision = scorer.manifest.labels, scorer.manifest.spotting
    smoothing_frames = max(1, round(decision.smoothing_ms / 1000 / scorer.output_period_s))
    assert decision.clip is not None  # noqa: S101 - the bundled model's
    clip_rule = decision.clip

    def is_wrong(samples: Samples, row: Row) -> int:
        scorer.reset()
        word = samples[AROUND_SAMPLES:-AROUND_SAMPLES]
        found = clip_decision(
            scorer.process(pad_clip(word)),
            labels,
            word_threshold=clip_rule.word_threshold,
            silence_threshold=clip_rule.silence_threshold,
            smoothing_frames=smoothing_frames,
        )
        return int(found != true_label(row, labels))

    return _errors(material, [r for r in material.commands if _audible(r)], snr_db, settings, is_wrong)


def wake(material: Material, snr_db: float | None, settings: Sequence[str] = SETTINGS) -> Errors:
    """Recordings of "computer" that wake-computer does not notice, each in several noises."""
    scorer = Scorer(Spotter.load("wake-computer"))
    words = ("computer",)

    def is_missed(samples: Samples, _row: Row) -> int:
        scorer.reset()
        replay = Replay(scorer.manifest, words, scorer.output_period_s)
        first_frame = int(AROUND_SAMPLES / SAMPLE_RATE_HZ / scorer.output_period_s)
        replay.add_positive(scorer.process(samples), first_frame=first_frame, words=words)
        return replay.misses(None)

    times = 1 if snr_db is None else 3
    return _errors(material, list(material.wake) * times, snr_db, settings, is_missed)


def captions(material: Material, snr_db: float | None, settings: Sequence[str] = SETTINGS) -> Errors:
    """Words that captions-en-small writes wrong, leaves out or makes up."""
    found = Errors()
    recognizer = Recognizer.load("captions-en-small")
    with tempfile.TemporaryDirectory() as folder:
        for setting in settings:
            rows = []
            for index, row in enumerate(material.captions):
                path = Path(folder) / f"{index}.wav"
                samples = cleaned(material.mixed(row, index, snr_db)[0], setting)
                soundfile.write(path, samples, SAMPLE_RATE_HZ, subtype="FLOAT")
                rows.append(Row(path, row.origin, speaker=row.speaker, text=row.text))
            clips = evaluate_captions(rows, recognizer).clips
            found.errors[setting] = [clip.errors for clip in clips]
            found.totals, found.groups = [clip.words for clip in clips], [clip.speaker for clip in clips]
    return found


def alarms(
    material: Material, snr_db: float | None, settings: Sequence[str] = SETTINGS
) -> dict[str, FalseAlarms]:
    """How often other speech wakes wake-computer, as one stream."""
    scorer = Scorer(Spotter.load("wake-computer"))
    found = {}
    for setting in settings:
        replay = Replay(scorer.manifest, ("computer",), scorer.output_period_s)
        denoiser = None if setting == "off" else Denoiser(setting)  # type: ignore[arg-type]
        scorer.reset()
        posteriors, n_samples = [], 0
        for samples in _speech(material, snr_db):
            n_samples += len(samples)
            posteriors.append(scorer.process(samples if denoiser is None else denoiser.process(samples)))
        replay.negatives = np.concatenate(posteriors)
        found[setting] = FalseAlarms(replay.false_alarms(None), n_samples / SAMPLE_RATE_HZ / 3600)
    return found


def signal(material: Material, noise: str, snr_db: float, strength: str) -> list[float]:
    """By how many dB the scale-invariant signal-to-distortion ratio of each recording gets better."""
    alone = Material([], [], [], [], {noise: material.noises[noise]})
    gains = []
    for index, row in enumerate(material.captions[::2]):
        mixed, quiet = alone.mixed(row, index, snr_db)
        gains.append(_si_sdr(cleaned(mixed, strength), quiet) - _si_sdr(mixed, quiet))
    return gains


def spoilt(material: Material, strength: str) -> list[float]:
    """The scale-invariant signal-to-distortion ratio that recordings without noise are left with, in dB."""
    quiet = [material.mixed(row, 0, None)[1] for row in material.captions[::2]]
    return [_si_sdr(cleaned(samples, strength), samples) for samples in quiet]


def cost(rate_hz: int) -> float:
    """Milliseconds of CPU time that noise reduction takes a second of sound, in blocks of 80 ms."""
    sound = np.random.default_rng(1).normal(0.0, 0.1, 20 * rate_hz).astype(np.float32)
    denoiser = Denoiser(sample_rate_hz=rate_hz)
    block = rate_hz * 8 // 100
    best_s = np.inf
    for _ in range(7):
        started_s = time.thread_time()
        for at in range(0, len(sound) - block, block):
            denoiser.process(sound[at : at + block])
        best_s = min(best_s, time.thread_time() - started_s)
    return 1000 * best_s / 20


def _errors(
    material: Material,
    rows: list[Row],
    snr_db: float | None,
    settings: Sequence[str],
    judge: Callable[[Samples, Row], int],
) -> Errors:
    found = Errors(errors={setting: [] for setting in settings})
    for index, row in enumerate(rows):
        mixed, _ = material.mixed(row, index, snr_db)
        for setting in settings:
            found.errors[setting].append(judge(cleaned(mixed, setting), row))
        found.totals.append(1)
        found.groups.append(row.speaker or row.path.name)
    return found


def _audible(row: Row) -> bool:
    """Whether a recording can have a signal-to-noise ratio: silence of the test set cannot."""
    return row.label not in ("silence", "_silence_") and active_rms(read_clip(row)) > 0.0


def _speech(material: Material, snr_db: float | None) -> Iterator[Samples]:
    banks = list(material.noises.values())
    for index, row in enumerate(material.negatives):
        samples = read_clip(row)
        if snr_db is not None:
            noise = banks[index % len(banks)].excerpt(np.random.default_rng([index, 2]), len(samples))
            samples = add_noise(samples, noise, speech_rms=active_rms(samples), snr_db=snr_db)
        yield samples


def _si_sdr(found: Samples, truth: Samples) -> float:
    """Le Roux et al., "SDR – half-baked or well done?", ICASSP 2019."""
    x, s = found.astype(np.float64), truth.astype(np.float64)
    x, s = x - x.mean(), s - s.mean()
    target = s * (x @ s) / (s @ s)
    return float(10 * np.log10((target @ target) / max(float((x - target) @ (x - target)), 1e-12)))

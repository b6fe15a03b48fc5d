"""The public wake-word benchmark's way to measure, for any wake word and any recordings.

What counts is the part of the recordings of the word that is missed at one false alarm in ten hours.
Everything is heard as it is, and once more in noise 10 dB below the speech, negatives included.

References
----------
Picovoice, "Wake Word Benchmark", https://github.com/Picovoice/wake-word-benchmark
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgeaudio.evaluation.manifest import Row
from edgeaudio.evaluation.mixing import NoiseBank
from edgeaudio.evaluation.scoring import Progress, Scorer
from edgeaudio.evaluation.wake import Mixture, WakeResult, evaluate_wake

__all__ = ["FALSE_ALARMS_PER_HOUR", "SNR_DB", "Benchmark", "run_benchmark"]

FALSE_ALARMS_PER_HOUR = 0.1
SNR_DB = 10.0


@dataclass(frozen=True)
class Benchmark:
    """Both conditions; their first operating point is that of the benchmark."""

    model: str
    clean: WakeResult
    noisy: WakeResult
    snr_db: float

    @property
    def is_long_enough(self) -> bool:
        """Whether a single false alarm would be no more than the rate at which misses are counted."""
        return self.clean.hours * FALSE_ALARMS_PER_HOUR >= 1

    def to_json(self) -> dict[str, Any]:
        """The result as ``edgeaudio evaluate wake --benchmark --json`` prints it."""
        return {
            "model": self.model,
            "snr_db": self.snr_db,
            "row": self.row,
            "claim": self.claim,
            "clean": self.clean.to_json(),
            "noisy": self.noisy.to_json(),
        }

    @property
    def heading(self) -> str:
        """The head of a table in Markdown for rows like :attr:`row`."""
        columns = ("model", "word", "recordings", f"missed, {self.snr_db:g} dB", "missed, clean", "negatives")
        return f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"

    @property
    def row(self) -> str:
        """A row of such a table; intervals are those of 95 %."""
        words = ", ".join(word.replace("_", " ") for word in self.clean.words)
        missed = " | ".join(map(_missed, (self.noisy, self.clean)))
        return f"| {self.model} | {words} | {self.clean.positives} | {missed} | {self.clean.hours:.2f} h |"

    @property
    def claim(self) -> str:
        """What the negatives allow to say about false alarms."""
        lines = [_claim(name, result) for name, result in (("noise", self.noisy), ("clean", self.clean))]
        if not self.is_long_enough:
            lines.append(
                f"{self.clean.hours:.2f} h of negatives cannot show one false alarm in ten hours: misses are "
                "counted where there is none at all. Ten hours are the least; with 95 % confidence only 30 h "
                "without any show that there is no more than that."
            )
        return "\n".join(lines)


def _missed(result: WakeResult) -> str:
    low, high = result.miss_interval(result.operating)
    return f"{100 * result.miss_rate(result.operating):.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def _claim(name: str, result: WakeResult) -> str:
    point = result.operating
    most = result.most_false_alarms_per_hour(point)
    return (
        f"{name}, threshold {point.threshold:.4g}: {point.false_alarms} false alarms in "
        f"{result.hours:.2f} h, so at most {most:.3g} an hour with 95 % confidence, "
        f"{10 * most:.3g} in ten hours"
    )


def run_benchmark(
    positives: Sequence[Row],
    negatives: Sequence[Row],
    scorer: Scorer,
    noise: NoiseBank,
    *,
    labels: Sequence[str] = (),
    snr_db: float = SNR_DB,
    false_alarms_per_hour: Sequence[float] = (),
    progress: Progress | None = None,
) -> Benchmark:
    """Measure in both conditions.

    Parameters
    ----------
    positives, negatives, scorer, labels
        As for :func:`edgeaudio.evaluation.wake.evaluate_wake`.
    noise : NoiseBank
    snr_db : float
        Another level of the noise than that of the benchmark.
    false_alarms_per_hour : sequence of float
        Further operating points.

    Raises
    ------
    InputError
        Nothing is left to measure, or a recording cannot be read.
    """
    mixture = Mixture(noise, snr_db, everywhere=True)
    rates = tuple(dict.fromkeys((FALSE_ALARMS_PER_HOUR, *false_alarms_per_hour)))
    results = []
    for number, mixed in enumerate((None, mixture)):

        def tell(done: int, total: int, number: int = number) -> None:
            if progress is not None:
                progress(number * total + done, 2 * total)

        results.append(
            evaluate_wake(
                positives,
                negatives,
                scorer,
                labels=labels,
                mixture=mixed,
                false_alarms_per_hour=rates,
                progress=tell,
            )
        )
    clean, noisy = results
    return Benchmark(scorer.manifest.name, clean, noisy, snr_db)

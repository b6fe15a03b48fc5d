"""Counts what a listening session brought, and says it in a few lines at its end."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

from edgeaudio.events import (
    Caption,
    Clipping,
    Detection,
    DeviceLost,
    DigitalSilence,
    Event,
    Gap,
    SoundEvent,
    SpeakerTurn,
    SpeechEnd,
    SpeechStart,
)
from edgeaudio.sinks.lines import CAUSES
from edgeaudio.stats import EngineStats
from edgeaudio.types import SAMPLE_RATE_HZ

__all__ = ["Tally"]

# A daemon runs for months: percentiles are of the newest detections only.
_LATENCIES_KEPT = 10_000


class Tally:
    """A sink that only counts.

    What was listened for is told even if there was none of it: words by default. What was heard besides
    is told as well.

    Parameters
    ----------
    captions, sounds, speech, speakers : bool, optional
        What was listened for instead of words.
    models : bool, optional
        Count the words of each model apart.
    """

    def __init__(
        self,
        *,
        captions: bool = False,
        models: bool = False,
        sounds: bool = False,
        speech: bool = False,
        speakers: bool = False,
    ) -> None:
        self._wanted = {"captions": captions, "sounds": sounds, "speech": speech, "speakers": speakers}
        self._tells_models = models
        self._names: Counter[str] = Counter()
        self._sounds: Counter[str] = Counter()
        self._speakers: Counter[str] = Counter()
        self._captions = 0
        self._words = 0
        self._orders: Counter[str] = Counter()
        self._stretches = 0
        self._speech_samples = 0
        self._gaps: Counter[str] = Counter()
        self._lost_samples: Counter[str] = Counter()
        self._troubles: Counter[str] = Counter()
        self._latencies_s: deque[float] = deque(maxlen=_LATENCIES_KEPT)

    def emit(self, event: Event) -> None:
        """Count one event."""
        if isinstance(event, Detection):
            self._names[f"{event.name} ({event.model})" if self._tells_models else event.name] += 1
            if event.latency_s:  # exactly 0 in a replay, which goes by no clock
                self._latencies_s.append(event.latency_s)
        elif isinstance(event, Caption):
            self._count_caption(event)
        elif isinstance(event, SoundEvent | SpeechStart | SpeechEnd | SpeakerTurn):
            self._count_stretch(event)
        elif isinstance(event, Gap) and event.cause != "paused":
            self._gaps[event.cause] += 1
            self._lost_samples[event.cause] += event.n_samples
        elif isinstance(event, DeviceLost):
            self._troubles["microphone gone"] += 1
        elif isinstance(event, Clipping):
            self._troubles["clipping"] += 1
        elif isinstance(event, DigitalSilence) and not event.ended:
            self._troubles["digital silence"] += 1

    def close(self) -> None:
        """Nothing is under way."""

    def _count_caption(self, event: Caption) -> None:
        if event.latency_s:
            self._latencies_s.append(event.latency_s)
        if event.final and event.words:
            self._captions += 1
            self._words += len(event.words)
            if event.command is not None:
                self._orders[event.command] += 1

    def _count_stretch(self, event: SoundEvent | SpeechStart | SpeechEnd | SpeakerTurn) -> None:
        # Of speech, somebody waits for the start.
        if event.latency_s and not isinstance(event, SpeechEnd):
            self._latencies_s.append(event.latency_s)
        if isinstance(event, SoundEvent):
            self._sounds[event.name] += 1
        elif isinstance(event, SpeakerTurn):
            self._speakers[event.name or "somebody unknown"] += 1
        elif isinstance(event, SpeechEnd):
            self._stretches += 1
            self._speech_samples += event.end_sample - event.start_sample

    def summary(self, stats: EngineStats, wall_s: float, further: Iterable[tuple[str, str]] = ()) -> str:
        """Say what was heard, found and lost, one fact a line.

        Parameters
        ----------
        stats : EngineStats
            The engine's last counters.
        wall_s : float
            Seconds since listening began.
        further : iterable of (str, str)
            What sinks have to say, see `Reporting`.
        """
        heard_s = stats.processed_samples / SAMPLE_RATE_HZ
        facts = [("heard", f"{heard_s:.1f} s in {wall_s:.1f} s{_real_time_factor(stats.busy_s, heard_s)}")]
        facts += self._findings(heard_s)
        if self._latencies_s:
            ordered = sorted(self._latencies_s)
            p50, p95 = (_quantile(ordered, q) for q in (0.5, 0.95))
            facts.append(("latency", f"p50 {p50:.2f} s, p95 {p95:.2f} s"))
        facts.append(("lost", self._losses(stats)))
        if self._troubles:
            facts.append(("trouble", ", ".join(f"{what} {n}" for what, n in self._troubles.items())))
        facts += further
        return "\n".join(f"{name:<10}{fact}" for name, fact in facts)

    def _findings(self, heard_s: float) -> list[tuple[str, str]]:
        found = {
            "detected": _counts(self._names),
            "captions": f"{self._captions}, {self._words} words" if self._captions else "",
            "orders": _counts(self._orders),
            "sounds": _counts(self._sounds),
            "speech": self._speech(heard_s),
            "speakers": _counts(self._speakers),
        }
        wanted = {**self._wanted, "detected": not any(self._wanted.values())}
        return [
            (what, told or ("nothing" if what == "detected" else "none"))
            for what, told in found.items()
            if told or wanted.get(what)
        ]

    def _speech(self, heard_s: float) -> str:
        if not self._stretches or not heard_s:
            return ""
        speech_s = self._speech_samples / SAMPLE_RATE_HZ
        share = f"{100 * speech_s / heard_s:.0f} % of what was heard"
        return f"{speech_s:.1f} s in {_parts(self._stretches)}, {share}"

    def _losses(self, stats: EngineStats) -> str:
        losses = []
        for cause, samples in self._lost_samples.items():
            length = f"{samples / SAMPLE_RATE_HZ:.2f} s" if samples else "some audio"
            losses.append(f"{length} in {_gaps(self._gaps[cause])} because {CAUSES[cause]}")
        if stats.events_dropped:
            losses.append(f"{stats.events_dropped} events because their reader was too slow")
        if stats.nonfinite_samples:
            losses.append(
                f"{stats.nonfinite_samples} samples that were no sound (NaN, Inf or absurdly large)"
            )
        return "; ".join(losses) or "nothing"


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {n}" for name, n in counter.most_common())


def _parts(n: int) -> str:
    return "one stretch" if n == 1 else f"{n} stretches"


def _gaps(n: int) -> str:
    return "one gap" if n == 1 else f"{n} gaps"


def _real_time_factor(busy_s: float, heard_s: float) -> str:
    return f", real-time factor {busy_s / heard_s:.4f}" if heard_s else ""


def _quantile(ordered: list[float], q: float) -> float:
    """Return the smallest value that at least the part `q` of all values does not exceed."""
    return ordered[max(0, -int(-q * len(ordered) // 1) - 1)]

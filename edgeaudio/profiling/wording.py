"""How findings are said, alike in the terminal's table and in the page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from edgeaudio.profiling.gate import Verdict
from edgeaudio.profiling.measurement import Measurement, Sensor, StartUp
from edgeaudio.types import SAMPLE_RATE_HZ

__all__ = [
    "MEANING",
    "Range",
    "audio_said",
    "date_said",
    "interval_said",
    "judgement",
    "losses_said",
    "lost_s",
    "ms",
    "number",
    "percent",
    "range_of",
    "start_up_said",
    "tasks_said",
]

MEANING = {
    "wait": "the engine waits for the next block; costs nothing",
    "ring": "the lag: how old a block's newest sample is when the engine reads it",
    "engine": "the rest of the engine's own work on a block: reading, level meter, handing over",
    "frontend": "sound to features, once for all tasks that share them",
    "model": "the neural network",
    "decode": "from the network's answer to a decision: trigger, or search for words",
    "task": "network and decision together, where they cannot be told apart",
    "event": "from the decision to your program's hands",
    "end to end": "from the capture of the last sample that a decision needed to your program's hands",
    "word": "from the end of a word or sound to your program's hands: a model hears on before it is sure",
}
"""What each group of stages is."""


class Range(NamedTuple):
    """Of a sensor's readings."""

    least: float
    mean: float
    most: float


def number(value: float) -> str:
    """Write a number to three digits, but to no more than three places: a microsecond in milliseconds.

    Examples
    --------
    >>> [number(x) for x in (0, 0.0002, 0.01234, 0.5, 12.345, 1234.5)]
    ['0', '<0.001', '0.012', '0.500', '12.3', '1234']
    """
    size = abs(value)
    if size < 0.0005:
        return "<0.001" if value else "0"
    places = next((places for places, bound in enumerate((99.95, 9.995, 0.9995)) if size >= bound), 3)
    return f"{value:.{places}f}"


def ms(value: float) -> str:
    """Write a duration with its unit: milliseconds, or seconds from ten of them on."""
    return f"{value / 1000:.1f} s" if abs(value) >= 10_000 else f"{number(value)} ms"


def percent(share: float) -> str:
    """Write a part of one as a percentage."""
    return f"{number(100 * share)} %"


def interval_said(interval: tuple[float, float]) -> str:
    """Write an interval without its unit."""
    return f"{number(interval[0])}–{number(interval[1])}"  # noqa: RUF001 - a range of numbers


def date_said(made: str) -> str:
    """Write an ISO date as people do; anything else as it is."""
    try:
        moment = datetime.fromisoformat(made.replace("Z", "+00:00"))
    except ValueError:
        return made
    return f"{moment:%Y-%m-%d %H:%M} {moment.tzname() or ''}".rstrip()


def audio_said(measurement: Measurement) -> str:
    """Say how much of what was heard."""
    return f"{f'{measurement.seconds:.1f}'.removesuffix('.0')} s of {measurement.audio}"


def tasks_said(measurement: Measurement) -> list[str]:
    """Say what ran, one task a string."""
    return [
        f"{task.model} ({task.runtime}, {task.provider}, {task.precision}, {_count(task.threads, 'thread')})"
        for task in measurement.tasks
    ]


def judgement(verdicts: Sequence[Verdict]) -> str:
    """Say in a sentence whether the budgets were kept."""
    if not verdicts:
        return "No budgets were checked."
    broken = [verdict.name for verdict in verdicts if not verdict.kept]
    if not broken:
        return "The budget is kept." if len(verdicts) == 1 else f"All {len(verdicts)} budgets are kept."
    return f"{len(broken)} of {_count(len(verdicts), 'budget')} broken: {', '.join(broken)}."


def losses_said(measurement: Measurement) -> list[tuple[str, str, bool]]:
    """Say of each kind of loss how much it was, and whether it was any."""
    losses = measurement.losses
    audio = [
        ("ring was full", losses.dropped_samples),
        ("engine was behind and jumped forward", losses.skipped_samples),
        ("captions were behind and jumped forward", losses.caption_skipped_samples),
    ]
    said = [(what, _seconds(samples / SAMPLE_RATE_HZ), samples > 0) for what, samples in audio]
    said.append(
        ("audio system overflowed", _count(losses.device_overflows, "time"), losses.device_overflows > 0)
    )
    said.append(("microphone was gone", _seconds(losses.device_away_s), losses.device_away_s > 0))
    said.append(("caller was slow", _count(losses.events_dropped, "event"), losses.events_dropped > 0))
    said += [
        (f"left out: {what.replace('_', ' ')}", _seconds(s), s > 0) for what, s in losses.shed_seconds.items()
    ]
    return said


def lost_s(measurement: Measurement) -> float:
    """Return how much audio was not heard, of the engine's and of captions alone; seconds."""
    losses = measurement.losses
    samples = losses.dropped_samples + losses.skipped_samples + losses.caption_skipped_samples
    return samples / SAMPLE_RATE_HZ + losses.device_away_s


def start_up_said(start_up: StartUp) -> list[tuple[str, float]]:
    """Name the parts of starting up, with their milliseconds; what they leave of the whole is the last."""
    parts = [
        ("import", start_up.import_ms),
        ("compiled code", start_up.compile_ms),
        ("model", start_up.model_load_ms),
        ("first frame", start_up.first_frame_ms),
    ]
    rest = start_up.total_ms - sum(part for _, part in parts)
    return [*parts, ("other", rest)] if rest > 0.01 * start_up.total_ms else parts


def range_of(sensor: Sensor) -> Range | None:
    """Return least, mean and most of a sensor's readings; None if there are none."""
    values = [value for _, value in sensor.samples]
    return Range(min(values), sum(values) / len(values), max(values)) if values else None


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds else "0 s"

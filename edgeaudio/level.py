"""Is the microphone alive, and how loud was that? One compiled pass over every block.

The pass replaces what is no number, keeps the level of the last ten seconds in steps of 10 ms, and
notices a constant signal and clipping. All of it is independent of how the stream is cut.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeaudio.compiled import cached_njit
from edgeaudio.events import Clipping, DigitalSilence, Event
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["LevelMeter", "Span"]

_STEP = SAMPLE_RATE_HZ // 100
_STEPS_A_SECOND = 100
_HISTORY_STEPS = 1000
_SILENCE_SAMPLES = 2 * SAMPLE_RATE_HZ
_CLIPPING_PAUSE_SAMPLES = 10 * SAMPLE_RATE_HZ
_PIECE = SAMPLE_RATE_HZ
"""Longest piece given to the kernel: shorter than the silence hold, so one piece ends one run at most."""

_ABSURD = 1e5
"""100 dB above full scale is no sound but a broken number, whose square would end as Inf in float32."""
_FULL_SCALE = 0.999
_CLIPPED_A_SECOND = 16
"""1 ms in a second. A recording normalised to its peak touches full scale once or twice; that is fine."""

_FLOOR_POWER = 2.0**-30 / 12
"""Quantization noise of 16-bit samples, -101 dBFS: no background is known to be quieter."""
_BACKGROUND_STEPS = 300
_LEAST_BACKGROUND_STEPS = 30
_BACKGROUND_PERCENTILE = 20
_ABOVE_BACKGROUND = 10 ** (6 / 10)
_BELOW_LOUDEST = 10 ** (-25 / 10)
_PAUSE_STEPS = 15
"""A word may hold a closure (the p of "computer") of up to about 100 ms; 150 ms of quiet end it."""

_POSITION, _FILLED, _STEPS, _CLIPPED, _SECOND, _RUN, _ENDED_RUN, _ENDED_AT, _CLIP_AT, _CLIP_N = range(10)
_SUM, _SQUARE, _LAST, _BLOCK = range(4)
_RUN_ENDED, _CLIPS = 1, 2


@cached_njit(nogil=True)
def _measure(
    x: Samples,
    whole: NDArray[np.int64],
    real: NDArray[np.float64],
    powers: NDArray[np.float64],
    clipped: NDArray[np.int64],
) -> int:
    """Take one piece in; return flags, or minus the count of broken samples, then with nothing done.

    `powers` is ``[2, history]``: sum and sum of squares of each step; `clipped` is ``[history]``.
    """
    bad = 0
    for value in x:
        if not abs(value) <= _ABSURD:  # also true for NaN
            bad += 1
    if bad:
        return -bad

    flags = 0
    start = whole[_POSITION]
    block = 0.0
    history = len(clipped)
    for k in range(len(x)):
        value = np.float64(x[k])
        if value != real[_LAST]:
            if start + k - whole[_RUN] >= _SILENCE_SAMPLES:
                whole[_ENDED_RUN], whole[_ENDED_AT] = whole[_RUN], start + k
                flags |= _RUN_ENDED
            whole[_RUN] = start + k
            real[_LAST] = value
        real[_SUM] += value
        real[_SQUARE] += value * value
        block += value * value
        if abs(value) >= _FULL_SCALE:
            whole[_CLIPPED] += 1
        whole[_FILLED] += 1
        if whole[_FILLED] == _STEP:
            step = whole[_STEPS]
            slot = step % history
            if step >= _STEPS_A_SECOND:
                whole[_SECOND] -= clipped[(step - _STEPS_A_SECOND) % history]
            whole[_SECOND] += whole[_CLIPPED]
            powers[0, slot], powers[1, slot], clipped[slot] = real[_SUM], real[_SQUARE], whole[_CLIPPED]
            end = start + k + 1
            if whole[_SECOND] >= _CLIPPED_A_SECOND and end - whole[_CLIP_AT] >= _CLIPPING_PAUSE_SAMPLES:
                whole[_CLIP_AT], whole[_CLIP_N] = end, whole[_SECOND]
                flags |= _CLIPS
            real[_SUM] = real[_SQUARE] = 0.0
            whole[_FILLED] = whole[_CLIPPED] = 0
            whole[_STEPS] = step + 1
    whole[_POSITION] = start + len(x)
    real[_BLOCK] = block / len(x) if len(x) else real[_BLOCK]
    return flags


class Span(NamedTuple):
    """Where a word really lay and how loud it was."""

    start_sample: int
    end_sample: int
    level_dbfs: float
    snr_db: float | None


class LevelMeter:
    """Watches a stream: level history, broken samples, digital silence, clipping.

    Levels are RMS in dB relative to a full-scale square wave (a full-scale sine has -3.0 dBFS),
    without the constant part that cheap microphones add.
    """

    def __init__(self) -> None:
        self.nonfinite_samples = 0
        self._whole = np.zeros(10, np.int64)
        self._whole[_CLIP_AT] = -_CLIPPING_PAUSE_SAMPLES
        self._real = np.zeros(4, np.float64)
        self._powers = np.zeros((2, _HISTORY_STEPS), np.float64)
        self._clipped = np.zeros(_HISTORY_STEPS, np.int64)
        self._first = 0
        self._silent = False
        self._events: list[Event] = []
        self.reset()

    @property
    def level_dbfs(self) -> float:
        """RMS level of the latest block, its constant part included; -120 for nothing."""
        return _dbfs(float(self._real[_BLOCK]))

    def process(self, x: Samples) -> Samples:
        """Take a block in and lend it on.

        Returns
        -------
        Samples
            `x` itself; if it held NaN, Inf or numbers beyond any sound, a copy with zeros in their place.
        """
        if len(x) <= _PIECE:
            return self._piece(x)
        return np.concatenate([self._piece(x[k : k + _PIECE]) for k in range(0, len(x), _PIECE)])

    def take_events(self) -> list[Event]:
        """Hand out what was noticed since the last call: `DigitalSilence` and `Clipping`."""
        if not self._events:
            return self._events
        events, self._events = self._events, []
        return events

    def reset(self, at_sample: int = 0) -> None:
        """Forget the levels; the next sample has the absolute index `at_sample`.

        A digital silence under way ends here: nobody knows what the lost samples were.
        """
        if self._silent:
            self._end_silence(int(self._whole[_RUN]), int(self._whole[_POSITION]))
        last_clipping = self._whole[_CLIP_AT]
        self._whole[:] = 0
        self._whole[[_POSITION, _RUN]] = at_sample
        self._whole[_CLIP_AT] = last_clipping
        self._real[:] = 0.0
        self._real[_LAST] = np.nan
        self._first = at_sample

    def span(self, start_sample: int, end_sample: int) -> Span:
        """Find the word inside ``[start_sample, end_sample)`` by its energy and measure it.

        A step of 10 ms is speech when it is 6 dB above the background (the 20th percentile of
        the three seconds before) and within 25 dB of the range's loudest step. The word ends with
        the last such step and begins where 150 ms of quiet lie before it, or with the range.
        Where nothing stands out, the range is taken as it is.

        The signal-to-noise ratio has the background's own power taken out of the word's; it is
        None while less than 300 ms of background were heard.
        """
        newest = int(self._whole[_STEPS])
        oldest = max(0, newest - _HISTORY_STEPS)
        first = min(max((start_sample - self._first) // _STEP, oldest), newest)
        stop = min(max(-(-(end_sample - self._first) // _STEP), first), newest)
        before = max(oldest, first - _BACKGROUND_STEPS)
        power = self._step_powers(before, stop)
        if first == stop:
            return Span(start_sample, end_sample, _dbfs(0.0), None)

        background, word = power[: first - before], power[first - before :]
        known = len(background) >= _LEAST_BACKGROUND_STEPS
        noise = _FLOOR_POWER
        if known:
            noise = max(noise, float(np.percentile(background, _BACKGROUND_PERCENTILE)))
        spoken = _spoken(word >= max(noise * _ABOVE_BACKGROUND, float(word.max()) * _BELOW_LOUDEST))
        if spoken is not None:
            begun, ended = spoken
            if begun > 0:
                start_sample = self._first + (first + begun) * _STEP
            if ended < len(word):
                end_sample = self._first + (first + ended) * _STEP
            word = word[begun:ended]
        level = float(word.mean())
        snr_db = 10 * math.log10(max(level - noise, 0.01 * noise) / noise) if known else None
        return Span(start_sample, end_sample, _dbfs(level), snr_db)

    def _step_powers(self, first: int, stop: int) -> NDArray[np.float64]:
        """Mean square of each step about the mean of them all: a constant offset is no sound."""
        slots = np.arange(first, stop) % _HISTORY_STEPS
        mean, square = self._powers[:, slots] / _STEP
        offset = mean.mean() if len(mean) else 0.0
        power: NDArray[np.float64] = np.maximum(square - 2 * offset * mean + offset * offset, 0.0)
        return power

    def _piece(self, x: Samples) -> Samples:
        flags = _measure(x, self._whole, self._real, self._powers, self._clipped)
        if flags < 0:
            self.nonfinite_samples -= flags
            x = _repaired(x)
            flags = _measure(x, self._whole, self._real, self._powers, self._clipped)
        if flags:
            self._report(flags)
        if not self._silent and self._whole[_POSITION] - self._whole[_RUN] >= _SILENCE_SAMPLES:
            self._begin_silence(int(self._whole[_RUN]))
        return x

    def _report(self, flags: int) -> None:
        if flags & _RUN_ENDED:
            start = int(self._whole[_ENDED_RUN])
            if not self._silent:
                self._begin_silence(start)
            self._end_silence(start, int(self._whole[_ENDED_AT]))
        if flags & _CLIPS:
            at = int(self._whole[_CLIP_AT])
            start = max(self._first, at - _STEPS_A_SECOND * _STEP)
            self._events.append(Clipping(start_sample=start, n_samples=int(self._whole[_CLIP_N])))

    def _begin_silence(self, start: int) -> None:
        self._silent = True
        self._events.append(DigitalSilence(start_sample=start, n_samples=_SILENCE_SAMPLES, ended=False))

    def _end_silence(self, start: int, end: int) -> None:
        self._silent = False
        self._events.append(DigitalSilence(start_sample=start, n_samples=end - start, ended=True))


def _repaired(x: Samples) -> Samples:
    """Copy `x` with zeros for broken samples, as read-only as `x`, so that no kernel compiles anew."""
    repaired = np.where(np.abs(x) <= _ABSURD, x, np.float32(0.0))
    repaired.flags.writeable = x.flags.writeable
    return repaired


def _spoken(loud: NDArray[np.bool_]) -> tuple[int, int] | None:
    """First and last-plus-one step of the newest stretch of speech, pauses within a word included."""
    steps = np.flatnonzero(loud)
    if not len(steps):
        return None
    breaks = np.flatnonzero(np.diff(steps) > _PAUSE_STEPS)
    return int(steps[breaks[-1] + 1] if len(breaks) else steps[0]), int(steps[-1]) + 1


def _dbfs(power: float) -> float:
    return 10 * math.log10(max(power, 1e-12))

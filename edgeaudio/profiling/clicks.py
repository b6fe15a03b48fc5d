"""A train of clicks, and how it is found again in what a microphone recorded of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["LONGEST_LAG_S", "Echoes", "click_times", "find_clicks", "train"]

LONGEST_LAG_S = 2.0
"""Later than this nothing is looked for; Bluetooth loudspeakers take up to half a second."""

_CLICK_S = 0.012
_SWEEP_HZ = (500.0, 6000.0)  # what small loudspeakers and microphones can do, and hum and fans cannot
_LEVEL = 0.5
_LEAD_S = 0.8
"""Before the first click: streams begin with a burst, and automatic gains settle."""
_GAPS_S = (0.35, 0.65)

_LEAST_LIKENESS = 0.25
"""Of noise and of speech the median over ten clicks stays below 0.2 at all of 32,000 lags, see
tests/profiling/test_clicks.py; of a click as loud as the noise around it, it is 0.7."""
_FIRST_ARRIVAL = 0.5
"""A reflection may be louder than the direct sound, but hardly twice."""
_ROOM_S = 0.03
_JITTER_S = 0.004


@dataclass(frozen=True)
class Echoes:
    """Where clicks were found; lags are in samples at 16 kHz, with fractions."""

    lags: NDArray[np.float64]
    """One for each click that was found."""
    likeness: float
    """Correlation coefficient with the click, median of all: 1 for a perfect copy, less in noise."""


def click_times(n_clicks: int) -> NDArray[np.float64]:
    """When each click begins, in seconds from the start of the train.

    The distances are uneven, always the same ones, so that a lag longer than a distance cannot be
    taken for a shorter one.
    """
    rng = np.random.default_rng(20)
    return _LEAD_S + np.concatenate(([0.0], np.cumsum(rng.uniform(*_GAPS_S, n_clicks - 1))))


def train(n_clicks: int, rate_hz: int) -> tuple[Samples, NDArray[np.int64]]:
    """Make the clicks ``[n] float32`` at a loudspeaker's rate, and say at which sample each begins."""
    positions = np.round(click_times(n_clicks) * rate_hz).astype(np.int64)
    click = (_LEVEL * _analytic_click(rate_hz).real).astype(np.float32)
    samples = np.zeros(positions[-1] + len(click), np.float32)
    for position in positions:
        samples[position : position + len(click)] = click
    return samples, positions


def find_clicks(recording: Samples, expected: NDArray[np.float64]) -> Echoes | None:
    """Find clicks in a recording by cross-correlation.

    The correlation is read at the same lag behind every click, and the median taken over all of
    them, so that no single noise can be mistaken for the train. The first arrival counts, not the loudest.

    Parameters
    ----------
    recording : array [n] float32
        At 16 kHz.
    expected : array [n_clicks]
        Where in the recording each click would begin if it took no time, in samples.

    Returns
    -------
    Echoes or None
        None if at least half of the clicks cannot be told from noise.
    """
    longest = round(LONGEST_LAG_S * SAMPLE_RATE_HZ)
    room = round(_ROOM_S * SAMPLE_RATE_HZ)
    starts = np.round(expected).astype(np.int64)
    envelope, likeness = _correlate(recording, int(starts[-1]) + longest)
    rows = np.stack([envelope[start : start + longest] for start in starts])
    likenesses = np.stack([likeness[start : start + longest] for start in starts])
    # Their product is high only where sound is both loud and like a click.
    loudest = int(np.median(rows * likenesses, axis=0).argmax())
    common = float(np.median(likenesses[:, loudest]))
    if common < _LEAST_LIKENESS:
        return None
    stacked = np.median(rows, axis=0)[max(0, loudest - room) : loudest + 1]
    first = loudest + 1 - len(stacked) + _first_peak(stacked, _FIRST_ARRIVAL * float(stacked[-1]))
    least = 0.5 * float(np.median(rows[:, first]))
    lags = [
        lag + start - where
        for start, where, row, like in zip(starts, expected, rows, likenesses, strict=True)
        if (lag := _lag_near(row, first, least)) is not None and like[round(lag)] >= _LEAST_LIKENESS
    ]
    return Echoes(np.array(lags), common) if 2 * len(lags) >= len(starts) else None


def _analytic_click(rate_hz: int) -> NDArray[np.complex128]:
    """A sweep under a Hann window: short enough for a click, wide enough for a sharp correlation."""
    n = round(_CLICK_S * rate_hz)
    t = np.arange(n) / rate_hz
    low, high = _SWEEP_HZ
    phase = 2 * np.pi * (low * t + (high - low) * t**2 / (2 * _CLICK_S))
    return np.asarray(np.hanning(n) * np.exp(1j * phase), np.complex128)


def _correlate(recording: Samples, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the correlation's envelope and its coefficient, for a click beginning at each of `n` samples."""
    click = _analytic_click(SAMPLE_RATE_HZ)
    heard = np.zeros(n + len(click))
    heard[: len(recording)] = recording[: len(heard)]
    size = 1 << (len(heard) - 1).bit_length()
    product = np.fft.fft(heard, size) * np.conj(np.fft.fft(click, size))
    envelope = np.abs(np.fft.ifft(product))[:n]
    energy = np.concatenate(([0.0], np.cumsum(heard**2)))
    # The floor is what a 24-bit converter's last digit would amount to: digital silence is like nothing.
    norm = np.sqrt(np.maximum(energy[len(click) :] - energy[: -len(click)], 1e-12))[:n]
    return envelope, envelope / (norm * np.linalg.norm(click.real))


def _first_peak(values: NDArray[np.float64], least: float) -> int:
    """Index of the first local maximum of at least `least`; the last value is one."""
    rising = np.concatenate(([True], values[1:] >= values[:-1]))
    falling = np.concatenate((values[:-1] > values[1:], [True]))
    return int(np.flatnonzero(rising & falling & (values >= least))[0])


def _lag_near(row: NDArray[np.float64], lag: int, least: float) -> float | None:
    """Where one click's envelope peaks near `lag`, between samples by a parabola; None if it does not."""
    reach = round(_JITTER_S * SAMPLE_RATE_HZ)
    begin = max(0, lag - reach)
    near = row[begin : lag + reach + 1]
    peak = int(near.argmax())
    if near[peak] < least:
        return None
    if not 0 < peak < len(near) - 1:
        return float(begin + peak)
    before, top, after = near[peak - 1 : peak + 2]
    return float(begin + peak + 0.5 * (before - after) / (before - 2 * top + after))

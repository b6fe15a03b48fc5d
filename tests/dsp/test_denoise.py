"""Noise reduction: what it leaves alone, what it makes quieter, and that no cut of the stream matters."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgeaudio.dsp.denoise import STRENGTHS, Denoiser
from edgeaudio.errors import UsageError
from edgeaudio.testing import chunkings
from edgeaudio.types import Samples
from tests.allocation import allocated

RATE = 16_000


def hiss(seconds: float, level: float = 0.02, seed: int = 0) -> Samples:
    samples = level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return samples.astype(np.float32)


def tones(seconds: float, rate_hz: int = RATE) -> Samples:
    """Syllables of a sort: three harmonics that come and go five times a second."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    voice = sum(np.sin(2 * np.pi * f * t) for f in (220, 440, 880))
    return (0.1 * np.maximum(np.sin(2 * np.pi * 2.5 * t), 0) * voice).astype(np.float32)


def denoised(denoiser: Denoiser, x: Samples) -> Samples:
    # A copy, because a view is only valid until the next call.
    return np.concatenate([denoiser.process(x).copy(), denoiser.flush()])


def power_db(x: Samples) -> float:
    return 10 * math.log10(np.square(x, dtype=np.float64).mean())


@pytest.mark.parametrize("rate_hz", [4000, 8000, 11_025, 16_000, 44_100, 48_000, 96_000, 192_000])
def test_where_nothing_is_made_quieter_every_sample_comes_back_in_its_place(rate_hz: int) -> None:
    x = (0.1 * np.random.default_rng(1).standard_normal(5001)).astype(np.float32)
    # Float64 within, so that only the last rounding to float32 is left.
    np.testing.assert_allclose(denoised(Denoiser(0.0, sample_rate_hz=rate_hz), x), x, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_steady_noise_becomes_as_much_quieter_as_was_promised(strength: str) -> None:
    denoiser = Denoiser(strength)  # type: ignore[arg-type]
    x = hiss(3.0)
    y = denoised(denoiser, x)
    change = power_db(y[RATE:]) - power_db(x[RATE:])
    # Single bins stand out of any noise by chance, and pass for speech.
    assert -denoiser.reduction_db <= change <= -0.8 * denoiser.reduction_db


def test_what_comes_and_goes_is_kept_in_noise() -> None:
    speech, noise = tones(3.0), hiss(3.0)
    y = denoised(Denoiser("strong"), speech + noise)
    error = power_db((y - speech)[RATE:])
    # 20 dB between the syllables; within them, what is near their harmonics stays.
    assert error < power_db(noise) - 5
    loud = np.abs(speech) > 0.1
    # A steep slope of the spectrum costs the bins on its edge some of what they have.
    assert power_db(y[loud]) == pytest.approx(power_db(speech[loud]), abs=1.5)


def test_a_louder_noise_is_learned_within_two_seconds() -> None:
    x = np.concatenate([hiss(1.0, 0.001), hiss(4.0, 0.05)])
    y = denoised(Denoiser("medium"), x)
    assert power_db(y[3 * RATE :]) - power_db(x[3 * RATE :]) < -9


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_no_cut_of_the_stream_changes_a_bit(rate_hz: int) -> None:
    x = tones(0.4, rate_hz) + hiss(0.4 * rate_hz / RATE)[: round(0.4 * rate_hz)]
    denoiser = Denoiser(sample_rate_hz=rate_hz)
    whole = denoised(denoiser, x)
    assert len(whole) == len(x)
    for lengths in chunkings(len(x)):
        parts = [denoiser.process(part).copy() for part in np.split(x, np.cumsum(lengths)[:-1])]
        np.testing.assert_array_equal(np.concatenate([*parts, denoiser.flush()]), whole)


def test_samples_come_in_time_and_when_it_was_said() -> None:
    denoiser = Denoiser()
    came = 0
    for went in range(1, 2000):
        came += len(denoiser.process(hiss(1 / RATE)))
        assert went - came <= denoiser.delay_samples
        assert came >= 1600 or went < denoiser.needed(1600)
    assert came == 1600
    assert denoiser.needed(0) == 0


def test_silence_stays_silent_and_is_no_obstacle() -> None:
    denoiser = Denoiser()
    x = np.concatenate([np.zeros(RATE, np.float32), hiss(2.0), np.zeros(RATE, np.float32)])
    y = denoised(denoiser, x)
    reach = denoiser.window_samples
    assert not y[: RATE - reach].any()
    assert not y[3 * RATE + reach :].any()
    assert np.isfinite(y).all()


def test_broken_samples_count_as_silence() -> None:
    x = hiss(0.5)
    mended = x.copy()
    x[[100, 4000, 5000]] = np.nan, np.inf, -3e38
    mended[[100, 4000, 5000]] = 0.0
    np.testing.assert_array_equal(denoised(Denoiser(), x), denoised(Denoiser(), mended))


def test_a_reset_forgets_everything() -> None:
    denoiser = Denoiser()
    fresh = denoised(denoiser, hiss(0.5))
    denoiser.process(hiss(0.7, 0.3, seed=5))
    carried_on = denoised(denoiser, hiss(0.5))
    denoiser.process(hiss(0.7, 0.3, seed=5))
    denoiser.reset(12_345)
    np.testing.assert_array_equal(denoised(denoiser, hiss(0.5)), fresh)
    assert len(carried_on) > len(fresh)


def test_two_streams_do_not_mix() -> None:
    one, other = Denoiser(), Denoiser()
    x, y = hiss(0.5, seed=1), hiss(0.5, 0.2, seed=2)
    expected = denoised(one, x)
    parts = []
    for at in range(0, len(x), 500):
        parts.append(one.process(x[at : at + 500]).copy())
        other.process(y[at : at + 500])
    np.testing.assert_array_equal(np.concatenate([*parts, one.flush()]), expected)


def test_nothing_is_allocated_once_it_runs() -> None:
    denoiser = Denoiser()
    block = hiss(0.08)
    block.flags.writeable = False  # as the ring lends it
    denoiser.process(block)

    def second() -> None:
        for _ in range(12):
            denoiser.process(block)

    found = allocated(second)
    # Views and numbers only: a block of samples alone would be 5 kB.
    assert found.kept < 200
    assert found.peak < 2000


@pytest.mark.parametrize("strength", ["loud", -1.0, 61.0, math.nan])
def test_a_strength_that_makes_no_sense_is_refused(strength: str | float) -> None:
    with pytest.raises(UsageError, match="cannot be reduced"):
        Denoiser(strength)  # type: ignore[arg-type]


@pytest.mark.parametrize("rate_hz", [0, 3999, 400_000])
def test_a_rate_that_no_audio_has_is_refused(rate_hz: int) -> None:
    with pytest.raises(UsageError, match="sample rate"):
        Denoiser(sample_rate_hz=rate_hz)


def test_other_arrays_are_refused() -> None:
    with pytest.raises(UsageError, match="float64"):
        Denoiser().process(np.zeros(10))  # type: ignore[arg-type]

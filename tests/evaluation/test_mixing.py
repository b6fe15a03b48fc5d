from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeaudio.errors import InputError
from edgeaudio.evaluation.manifest import read_manifest
from edgeaudio.evaluation.mixing import NoiseBank, active_rms, add_noise, in_quiet
from tests.evaluation.conftest import tone

RNG = np.random.default_rng(5)


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def test_pauses_do_not_lower_the_level_of_speech() -> None:
    word = tone(1000, 0.4)
    with_pauses = np.concatenate([np.zeros(16_000), word, 0.001 * RNG.normal(size=16_000)]).astype(np.float32)
    assert active_rms(word) == pytest.approx(0.5 / np.sqrt(2), rel=1e-3)
    assert active_rms(with_pauses) == pytest.approx(active_rms(word), rel=1e-3)
    assert active_rms(np.zeros(100, dtype=np.float32)) == 0.0


@pytest.mark.parametrize("snr_db", [-10.0, 0.0, 10.0, 30.0])
def test_noise_lies_the_wanted_distance_below_the_speech(snr_db: float) -> None:
    speech = 0.1 * tone(1000, 1.0)
    noise = RNG.normal(0, 0.02, len(speech)).astype(np.float32)
    mixed = add_noise(speech, noise, speech_rms=active_rms(speech), snr_db=snr_db)
    assert 20 * np.log10(active_rms(speech) / rms(mixed - speech)) == pytest.approx(snr_db, abs=0.01)


def test_a_mixture_that_would_clip_is_scaled_as_a_whole() -> None:
    speech = tone(1000, 1.0, amplitude=0.9)
    noise = RNG.normal(0, 0.5, len(speech)).astype(np.float32)
    free = speech + noise * np.float32(active_rms(speech) / rms(noise))
    mixed = add_noise(speech, noise, speech_rms=active_rms(speech), snr_db=0.0)
    assert np.abs(mixed).max() == pytest.approx(1.0)
    np.testing.assert_allclose(mixed, free / np.abs(free).max(), atol=1e-5)  # float32 gains


def test_quiet_around_a_recording_is_as_soft_as_its_softest_part() -> None:
    recording = np.concatenate([RNG.normal(0, 0.01, 8000), tone(1000, 0.5)]).astype(np.float32)
    staged = in_quiet(recording, 16_000, 8_000)
    np.testing.assert_array_equal(staged[16_000:32_000], recording)
    # The softest of 25 frames of noise is a little below the mean: 320 samples vary by some percent.
    assert rms(staged[:16_000]) == pytest.approx(0.01, rel=0.15)
    closely_cut = tone(1000, 0.5)
    assert rms(in_quiet(closely_cut, 16_000, 0)[:16_000]) == pytest.approx(
        rms(closely_cut) * 10**-1.5, rel=0.03
    )
    assert rms(in_quiet(np.zeros(100, dtype=np.float32), 16_000, 0)[:16_000]) == pytest.approx(
        3.2e-5, rel=0.03
    )


def test_excerpts_are_reproducible_varied_and_long_enough(make_manifest: Callable[..., Path]) -> None:
    noises = [("noise", RNG.normal(0, 0.1, n).astype(np.float32)) for n in (4_000, 50_000)]
    bank = NoiseBank(read_manifest(make_manifest("noise", *noises)))
    first, again, other = (bank.excerpt(np.random.default_rng(seed), 20_000) for seed in (1, 1, 2))
    assert first.shape == (20_000,)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_noise_that_is_silent_is_an_error(make_manifest: Callable[..., Path]) -> None:
    bank = NoiseBank(read_manifest(make_manifest("silent", ("noise", np.zeros(5000, dtype=np.float32)))))
    with pytest.raises(InputError, match=r"silent\.tsv:2: .*digital silence"):
        bank.excerpt(np.random.default_rng(1), 1000)

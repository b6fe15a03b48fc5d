"""Augmentation against physics: levels in dB, responses at a frequency, times of an impulse."""

from __future__ import annotations

from pathlib import Path
from time import process_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.errors import InputError, UsageError
from edgeaudio.training import augment
from edgeaudio.training.augment import Augmenter, Settings
from edgeaudio.training.microphone import CODECS, band_limit, colour, random_colour, through_codec
from edgeaudio.types import Samples

RATE_HZ = 16000


def tone(frequency_hz: float, seconds: float = 1.0, amplitude: float = 0.1) -> Samples:
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return (amplitude * np.sin(2 * np.pi * frequency_hz * t)).astype(np.float32)


def noise(seconds: float = 2.0, seed: int = 0) -> Samples:
    rng = np.random.default_rng(seed)
    return (0.1 * rng.standard_normal(round(seconds * RATE_HZ))).astype(np.float32)


def word_in_silence(seed: int = 1) -> Samples:
    x = np.zeros(2 * RATE_HZ, np.float32)
    x[12000:20000] = noise(0.5, seed)
    return x


def made_up_room(seed: int = 2) -> Samples:
    """20 ms on the way, a direct path, then reflections that lose 60 dB in 0.5 s."""
    t = np.arange(RATE_HZ) / RATE_HZ
    tail = 0.2 * np.random.default_rng(seed).standard_normal(RATE_HZ) * 10 ** (-3 * t / 0.5)
    direct = np.zeros(320)
    return np.concatenate([direct, [1.0], tail]).astype(np.float32)


def power_db(x: Samples) -> float:
    return float(10 * np.log10(np.mean(np.square(x, dtype=np.float64))))


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0, 25.0])
def test_noise_stands_at_its_ratio_to_the_speech_not_to_the_clip(snr_db: float) -> None:
    x, hiss = word_in_silence(), noise(2.0, 7)
    added = augment.mix_noise(x, hiss, snr_db) - x
    # White noise: the power of a 20 ms frame scatters, its mean over half a second by 0.1 dB.
    assert power_db(x[12000:20000]) - power_db(added) == pytest.approx(snr_db, abs=0.2)


def test_noise_alone_is_heard_at_a_modest_level() -> None:
    y = augment.mix_noise(np.zeros(RATE_HZ, np.float32), noise(1.0), 0.0)
    # -40 dBFS by definition; float32 arithmetic is exact to far better than 0.01 dB.
    assert power_db(y) == pytest.approx(-40.0, abs=0.01)


def test_silent_noise_changes_nothing() -> None:
    x = word_in_silence()
    np.testing.assert_array_equal(augment.mix_noise(x, np.zeros_like(x), 0.0), x)


def test_a_room_keeps_the_direct_paths_time() -> None:
    room = augment.prepare_room(made_up_room())
    assert room.size == 6400
    assert room[0] == 1.0
    impulse = np.zeros(8000, np.float32)
    impulse[1000] = 1.0
    y = augment.add_room(impulse, room)
    assert int(np.argmax(np.abs(y))) == 1000
    # Nothing arrives before the direct path; an FFT in float32 leaves 1e-7 of its peak.
    assert np.max(np.abs(y[:1000])) < 1e-6


def test_a_room_is_the_plain_convolution_at_the_old_level() -> None:
    x, room = noise(0.25), augment.prepare_room(made_up_room())
    truth = np.convolve(x.astype(np.float64), room.astype(np.float64))[: x.size]
    truth *= np.sqrt(np.sum(x.astype(np.float64) ** 2) / np.sum(truth**2))
    # Float32 FFT of 10,400 points: rounding of a few 1e-7 relative to the peak of about 0.4.
    np.testing.assert_allclose(augment.add_room(x, room), truth, atol=2e-6)


def test_a_room_without_reflections_is_none() -> None:
    x = noise(0.5)
    dry = augment.add_room(x, augment.prepare_room(made_up_room()), wet=0.0)
    # The level is restored by a factor computed in float32.
    np.testing.assert_allclose(dry, x, rtol=1e-5)


@pytest.mark.parametrize("rir", [np.zeros(0, np.float32), np.zeros(100, np.float32)])
def test_a_silent_room_is_refused(rir: Samples) -> None:
    with pytest.raises(InputError, match="impulse response"):
        augment.prepare_room(rir)


@pytest.mark.parametrize("gain_db", [-40.0, -6.0, 20.0])
def test_gain_is_in_decibels(gain_db: float) -> None:
    x = tone(1000)
    assert power_db(augment.gain(x, gain_db)) - power_db(x) == pytest.approx(gain_db, abs=1e-3)


def test_clipping_cuts_the_peaks_only() -> None:
    x = tone(200)
    y = augment.clip(x, 6.0)
    # 6 dB is a factor of 0.501.
    assert np.max(np.abs(y)) == pytest.approx(0.0501, abs=1e-4)
    quiet = np.abs(x) < 0.05
    np.testing.assert_array_equal(y[quiet], x[quiet])


@pytest.mark.parametrize(
    ("frequency_hz", "low_db", "high_db"),
    # Butterworth: 3 dB at the corners; 12 dB an octave below, 24 dB an octave above the band.
    [
        (75, -30, -20),
        (300, -4, -2),
        (1000, -0.5, 0.5),
        (3400, -4, -2),
        (6800, -60, -24),
    ],
)
def test_the_telephone_band(frequency_hz: float, low_db: float, high_db: float) -> None:
    x = tone(frequency_hz)
    # The first quarter second is the filter's own settling.
    change_db = power_db(band_limit(x)[4000:]) - power_db(x[4000:])
    assert low_db <= change_db <= high_db


def test_a_microphones_colour_is_bounded_by_its_depth() -> None:
    from scipy import signal

    rng = np.random.default_rng(5)
    seen = []
    for _ in range(50):
        sections = random_colour(rng, 8.0)
        _, each = zip(*(signal.sosfreqz(s[None], 512) for s in sections), strict=True)
        depths_db = 20 * np.log10(np.abs(each))
        # A shelf of slope 1 is monotonic and a bell has one peak, so no section exceeds its depth.
        assert np.max(np.abs(depths_db)) <= 8.0 + 0.01
        # The low shelf acts at 0 Hz and not at 8 kHz, the high shelf the other way round, the bell at
        # neither. Coefficients in float32 near z = 1 shift 0 Hz by up to 0.05 dB.
        assert abs(depths_db[0][-1]) < 0.05
        assert abs(depths_db[1][0]) < 0.05
        assert abs(depths_db[2][0]) < 0.05
        seen.append([depths_db[0][0], depths_db[2][-1]])
    # Uniform over ±8 dB: 50 draws that all stay within 4 dB happen once in 10^15.
    assert np.all(np.max(np.abs(seen), axis=0) > 4.0)


def test_colour_of_no_depth_changes_nothing() -> None:
    x = noise(0.25)
    flat = random_colour(np.random.default_rng(0), 0.0)
    # Numerator equals denominator; the recursion rounds in float32 near the unit circle.
    np.testing.assert_allclose(colour(x, flat), x, atol=1e-4)


@pytest.mark.parametrize("factor", [0.85, 1.1, 1.2])
@pytest.mark.parametrize("anchor", [None, 0, 16000])
def test_warp_moves_pitch_and_keeps_its_anchor(factor: float, anchor: int | None) -> None:
    x = tone(500, seconds=2.0)
    at = 32000 if anchor is None else anchor
    y = augment.warp(x, factor, anchor)
    assert y.size == x.size
    around = y[max(0, at - 8000) : at + 8000][:8000]
    spectrum = np.abs(np.fft.rfft(around * np.hanning(8000)))
    # A bin is 2 Hz wide.
    assert abs(float(np.argmax(spectrum)) * 2 - 500 * factor) <= 2
    pulse = np.zeros(32000, np.float32)
    pulse[min(at, 31999)] = 1.0
    moved = augment.warp(pulse, factor, anchor)
    # Half a sample of rounding, and a sample where the anchor lies after the last one.
    assert abs(int(np.argmax(moved)) - min(at, 31999)) <= 2


@given(n=st.integers(0, 300), by=st.integers(-400, 400))
@settings(max_examples=30)
def test_shift_is_a_delay_filled_with_silence(n: int, by: int) -> None:
    x = np.arange(1, n + 1, dtype=np.float32)
    y = augment.shift(x, by)
    truth = [x[i - by] if 0 <= i - by < n else 0.0 for i in range(n)]
    np.testing.assert_array_equal(y, np.array(truth, np.float32))


def test_quantising_rounds_to_sixteen_bits() -> None:
    x = np.array([0.0, 0.4 / 32768, 0.6 / 32768, -2.0, 2.0], np.float32)
    np.testing.assert_array_equal(augment.quantise(x) * 32768, [0, 0, 1, -32768, 32767])


@pytest.mark.parametrize(("exponent", "fall_db"), [(0.0, 0.0), (1.0, 3.01), (2.0, 6.02)])
def test_coloured_noise_falls_by_its_slope_an_octave(exponent: float, fall_db: float) -> None:
    x = augment.coloured_noise(np.random.default_rng(1), 20 * RATE_HZ, exponent)
    power = np.abs(np.fft.rfft(x)) ** 2
    bands = [power[int(f * 20) : int(f * 40)].mean() for f in (500, 1000, 2000)]
    # 10,000 bins and more a band: the mean of their powers scatters by under 0.1 dB.
    np.testing.assert_allclose(-np.diff(10 * np.log10(bands)), fall_db, atol=0.3)


def every_step() -> Settings:
    return Settings(warp_share=1, room_share=1, noise_share=1, colour_share=1, band_share=1, clip_share=1)


@given(n=st.sampled_from([0, 1, 100, 319, 320, 5000, 32000]), seed=st.integers(0, 1000))
@settings(max_examples=25)
def test_any_length_stays_and_equal_generators_agree(n: int, seed: int) -> None:
    augmenter = Augmenter([noise(0.1, 3)], [made_up_room()], every_step())
    x = noise(2.0, seed)[:n]
    before = x.copy()
    first = augmenter(x, np.random.default_rng(seed))
    second = augmenter(x, np.random.default_rng(seed))
    assert first.shape == x.shape
    assert first.dtype == np.float32
    assert np.all(np.abs(first) <= 1.0)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(x, before)


def test_silence_gets_noise_and_stays_finite() -> None:
    y = Augmenter([noise()], [made_up_room()], every_step())(
        np.zeros(32000, np.float32), np.random.default_rng(0)
    )
    assert np.all(np.isfinite(y))
    assert np.any(y != 0)


def test_another_generator_gives_another_result() -> None:
    augmenter, x = Augmenter([noise()], [made_up_room()]), word_in_silence()
    assert np.any(augmenter(x, np.random.default_rng(1)) != augmenter(x, np.random.default_rng(2)))


def test_strength_zero_is_a_copy_and_growing_strength_adds_noise() -> None:
    x = word_in_silence()
    only_noise = Settings(
        noise_share=1, room_share=0, warp_share=0, colour_share=0, band_share=0, clip_share=0, peak_db=(0, 0)
    )
    augmenter = Augmenter([noise(2.0, 9)], (), only_noise, strength=0.0)
    y = augmenter(x, np.random.default_rng(0))
    np.testing.assert_array_equal(y, x)
    assert y is not x
    noisy = []
    for strength in (0.2, 1.0):
        augmenter.strength = strength
        clips = [augmenter(x, np.random.default_rng(seed)) for seed in range(40)]
        # What is heard before the word, relative to the word.
        noisy.append(np.mean([np.std(clip[:12000]) / np.std(clip[12000:20000]) for clip in clips]))
    # Both the share and the depth of noise grow: the mean ratio does by far more than a factor of 3.
    assert noisy[1] > 3 * noisy[0]


def test_levels_reach_down_to_forty_decibels_below_full_scale() -> None:
    augmenter = Augmenter((), (), Settings(noise_share=0, room_share=0, codec_share=0))
    x = word_in_silence()
    peaks = [np.max(np.abs(augmenter(x, np.random.default_rng(seed)))) for seed in range(100)]
    levels_db = 20 * np.log10(peaks)
    # Uniform over 40 dB: 100 draws leave more than 4 dB free at an end once in 40,000.
    assert -40.1 <= levels_db.min() < -36
    assert -4 < levels_db.max() <= 0.0


@pytest.mark.parametrize("strength", [-0.1, 1.5, float("nan")])
def test_a_strength_outside_its_range_is_refused(strength: float) -> None:
    with pytest.raises(UsageError, match="strength"):
        Augmenter(strength=strength)


def test_manifests_of_another_rate_are_read_at_sixteen_kilohertz(tmp_path: Path) -> None:
    import soundfile

    t = np.arange(48000) / 48000
    soundfile.write(tmp_path / "hum.wav", 0.2 * np.sin(2 * np.pi * 440 * t), 48000)
    soundfile.write(tmp_path / "room.wav", np.repeat(made_up_room(), 3) / 3, 48000)
    for name in ("hum", "room"):
        (tmp_path / f"{name}.tsv").write_text(f"path\tlabel\n{name}.wav\t{name}\n")
    augmenter = Augmenter.from_manifests(tmp_path / "hum.tsv", tmp_path / "room.tsv")
    hum = augmenter.noises[0]
    # A resampler may keep or drop a sample at the end.
    assert abs(hum.size - 16000) <= 1
    assert abs(int(np.argmax(np.abs(np.fft.rfft(hum[:8000])))) * 2 - 440) <= 2
    assert [room.size for room in augmenter.rooms] == [6400]


@pytest.mark.shared
def test_a_clip_of_two_seconds_costs_little(shared_dir: Path) -> None:
    augmenter = Augmenter.from_manifests(rooms=shared_dir / "data" / "rooms" / "manifest.tsv")
    rng, x = np.random.default_rng(0), word_in_silence()
    augmenter(x, rng)
    rounds = []
    for _ in range(3):
        began = process_time()
        for _ in range(100):
            augmenter(x, rng)
        rounds.append((process_time() - began) / 100)
    assert len(augmenter.rooms) == 15
    # 0.8 ms measured; twice as long on a machine that others use is still below the 2 ms wanted.
    assert min(rounds) < 2e-3


@pytest.mark.parametrize("codec", CODECS)
def test_a_codec_leaves_speech_in_its_place(codec: str) -> None:
    x = tone(1000)
    y = through_codec(x, codec)
    assert (y.shape, y.dtype) == (x.shape, np.float32)
    # The band filter of a telephone turns the phase at 1 kHz and a codec adds noise; a shift by a
    # millisecond would turn it by 360°, one of half that would make the correlation negative.
    assert np.corrcoef(x[4000:-4000], y[4000:-4000])[0, 1] > 0.6
    assert np.any(x != y)

"""The frontend against float64 truth, against Kaldi's, and under every way of cutting a stream."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import kaldi_native_fbank as knf
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.errors import ConfigError, UsageError
from edgeaudio.frontend import Frontend, FrontendSpec
from edgeaudio.types import Frames, Samples
from tests import reference
from tests.allocation import allocated

RATE_HZ = 16_000

SPECS: dict[str, dict[str, Any]] = {
    "40 bands": {"n_mels": 40},
    "64 bands to 7.6 kHz": {"n_mels": 64, "fmax_hz": 7600.0},
    "80 bands": {"n_mels": 80},
    "128 bands, 1024": {"n_mels": 128, "n_fft": 1024},
    "one band": {"n_mels": 1},
    "30 ms": {"window_ms": 30.0, "window": "hann"},
    "32 ms, hop 20 ms": {"window_ms": 32.0, "hop_ms": 20.0, "window": "hamming"},
    "20 ms": {"window_ms": 20.0, "window": "hann_periodic"},
    "odd window and hop": {"window_ms": 399 / 16, "hop_ms": 161 / 16},
    "hop of a whole window": {"window_ms": 10.0, "hop_ms": 10.0},
    "8 kHz, 256": {"sample_rate_hz": 8000, "n_fft": 256, "fmax_hz": 4000.0},
    "2048": {"n_fft": 2048, "n_mels": 80},
    "slaney": {"mel_scale": "slaney", "mel_norm": "slaney", "n_mels": 80, "log_floor": 1e-12},
    "magnitude, plain": {"power": False, "preemphasis": 0.0, "remove_dc": False},
    "16-bit scale": {"input_scale": 32768.0},
    "with an offset": {"n_mels": 64, "log_offset": 2.0**-24, "log_floor": 2.0**-24},
    "mfcc": {"features": "mfcc"},
    "mfcc without lifter": {"features": "mfcc", "lifter": 0.0, "n_mfcc": 40},
    "pcen": {"features": "pcen"},
    "pcen, 16-bit scale": {"features": "pcen", "input_scale": 32768.0, "pcen_root": 0.25},
    "waveform": {"features": "waveform"},
    "waveform, plain": {"features": "waveform", "remove_dc": False, "preemphasis": 0.0},
}

NEMO = FrontendSpec(
    window_ms=20.0, n_mels=64, fmin_hz=0.0, mel_scale="slaney", mel_norm="slaney", window="hann",
    remove_dc=False, log_offset=2.0**-24, log_floor=2.0**-24,
)  # fmt: skip


def noise(n: int, seed: int = 0) -> Samples:
    """White noise at -20 dB."""
    return (0.1 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def cut(x: Samples, sizes: list[int]) -> list[Samples]:
    """Cut `x` into blocks of these sizes, over and over."""
    blocks, at, turn = [], 0, 0
    while at < x.size:
        blocks.append(x[at : at + sizes[turn % len(sizes)]])
        at += sizes[turn % len(sizes)]
        turn += 1
    return blocks


def stream(frontend: Frontend, blocks: list[Samples]) -> Frames:
    # Copies, because each view is only valid until the next call.
    return np.concatenate([frontend.process(block).copy() for block in blocks])


@pytest.mark.parametrize("name", SPECS)
def test_equals_the_float64_truth(name: str) -> None:
    spec = FrontendSpec(**SPECS[name])
    # With a constant offset, as cheap microphones have it.
    x = noise(RATE_HZ) + np.float32(0.05)
    truth = reference.features(x, spec)
    frames = Frontend(spec).process(x)
    assert frames.shape == truth.shape
    assert frames.dtype == np.float32
    # Band energies are exact to float32; the logarithm and its float32 result add 1e-6 to values of
    # 20, MFCC's sum of 40 of them 5e-6. The issue asks for 1e-4.
    np.testing.assert_allclose(frames, truth, rtol=0, atol=1e-5)


def test_a_band_without_a_bin_is_at_the_floor() -> None:
    spec = FrontendSpec(n_mels=128)
    assert spec.empty_bands == [3]
    frames = Frontend(spec).process(noise(RATE_HZ))
    np.testing.assert_allclose(frames[:, 3], np.log(spec.log_floor), rtol=1e-6)


def kaldi(x: Samples, spec: FrontendSpec) -> Frames:
    options = knf.FbankOptions()
    options.frame_opts.dither = 0.0
    options.frame_opts.samp_freq = spec.sample_rate_hz
    options.frame_opts.frame_length_ms = spec.window_ms
    options.frame_opts.frame_shift_ms = spec.hop_ms
    options.frame_opts.preemph_coeff = spec.preemphasis
    options.frame_opts.remove_dc_offset = spec.remove_dc
    options.frame_opts.window_type = {"hann": "hanning", "hann_periodic": "hann"}.get(
        spec.window, spec.window
    )
    options.mel_opts.num_bins = spec.n_mels
    options.mel_opts.low_freq = spec.fmin_hz
    options.mel_opts.high_freq = spec.fmax_hz
    options.use_power = spec.power
    fbank = knf.OnlineFbank(options)
    fbank.accept_waveform(spec.sample_rate_hz, (x * spec.input_scale).tolist())
    return np.array([fbank.get_frame(i) for i in range(fbank.num_frames_ready)])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n_mels": 64, "fmax_hz": 7600.0},
        {"n_mels": 80},
        {"n_mels": 80, "input_scale": 32768.0},
        {"window_ms": 30.0, "window": "hamming"},
        {"window_ms": 32.0, "window": "hann"},
        {"window_ms": 20.0, "window": "hann_periodic"},
        {"power": False},
        {"preemphasis": 0.0, "remove_dc": False},
    ],
    ids=str,
)
def test_equals_kaldi_native_fbank(options: dict[str, Any]) -> None:
    # Kaldi's FFT is the next power of two, so these windows all mean n_fft = 512.
    spec = FrontendSpec(**options)
    x = noise(RATE_HZ)
    frames, theirs = Frontend(spec).process(x), kaldi(x, spec)
    # The limit. Kaldi's own distance from the truth needs it: 8e-5 on this noise; on other
    # noise it exceeds 1e-4 wherever a narrow band is near zero by chance.
    np.testing.assert_allclose(frames, theirs, rtol=0, atol=1e-4)


def test_128_bands_equal_kaldi_as_well_as_it_equals_the_truth() -> None:
    # From 20 Hz one band would hold no bin of the FFT, which newer versions of Kaldi's refuse.
    spec = FrontendSpec(n_mels=128, fmin_hz=60.0)
    x = noise(RATE_HZ)
    frames, theirs, truth = Frontend(spec).process(x), kaldi(x, spec), reference.features(x, spec)
    # Kaldi computes in float32. Its lowest bands here are single bins, which pre-emphasis leaves
    # 30 dB below the rest and chance far lower, so that rounding moves them by up to 5e-4.
    np.testing.assert_allclose(frames, theirs, rtol=0, atol=np.abs(theirs - truth).max() + 1e-5)
    assert np.quantile(np.abs(frames - theirs), 0.99) < 1e-4


def test_equals_nemo_but_for_the_frames_that_reach_beyond_the_recording() -> None:
    """NeMo emphasises the whole recording and centres window i on sample 160 i, mirroring the ends."""
    x = noise(RATE_HZ)
    emphasised = x.astype(np.float64)
    emphasised[1:] -= 0.97 * emphasised[:-1].copy()
    mirrored = np.pad(emphasised, 256, mode="reflect")
    weights = np.zeros(512)
    weights[96:416] = np.hanning(320)
    windows = [mirrored[at : at + 512] * weights for at in range(0, len(mirrored) - 511, 160)]
    power = np.abs(np.fft.rfft(windows)) ** 2
    truth = np.log(power @ reference.filterbank(NEMO).T + 2.0**-24)
    frames = Frontend(NEMO).process(x)
    assert len(frames) == len(truth) - 2
    # As above: rounding of the logarithm to float32.
    np.testing.assert_allclose(frames, truth[1:-1], atol=2e-5, rtol=0)


@pytest.mark.shared
def test_equals_truth_and_kaldi_on_speech(shared_dir: Path) -> None:
    import soundfile

    clip = shared_dir / "data" / "librispeech_part" / "103-1240-0000.opus"
    x = soundfile.read(clip, dtype="float32", frames=5 * RATE_HZ)[0]
    for n_mels in (40, 80):
        spec = FrontendSpec(n_mels=n_mels, input_scale=32768.0)
        frames = Frontend(spec).process(x)
        # As on noise.
        np.testing.assert_allclose(frames, reference.features(x, spec), rtol=0, atol=1e-5)
        # Kaldi's float32 shows in bands 60 dB and more below the loudest of their frame.
        assert np.quantile(np.abs(frames - kaldi(x, spec)), 0.99) < 1e-4


CHUNKINGS = st.lists(
    st.sampled_from([0, 1, 2, 7, 31, 137, 160, 401, 1279, 1280, 5003]), min_size=1, max_size=6
)


@pytest.mark.parametrize("features", ["log_mel", "mfcc", "pcen", "waveform"])
@settings(max_examples=25)
@given(sizes=CHUNKINGS.filter(any))
def test_every_chunking_gives_the_same_bits(features: Any, sizes: list[int]) -> None:
    x = noise(6000, seed=5)
    spec = FrontendSpec(features=features)
    whole = Frontend(spec).process(x).copy()
    assert np.array_equal(stream(Frontend(spec), cut(x, sizes)), whole)


@pytest.mark.parametrize("name", SPECS)
def test_one_sample_at_a_time_gives_the_same_bits(name: str) -> None:
    x = noise(1500)
    spec = FrontendSpec(**SPECS[name])
    whole = Frontend(spec).process(x).copy()
    assert np.array_equal(stream(Frontend(spec), cut(x, [1])), whole)


@pytest.mark.parametrize("features", ["log_mel", "pcen", "waveform"])
def test_reset_equals_fresh(features: Any) -> None:
    spec = FrontendSpec(features=features)
    x = noise(3001, seed=7)
    frontend = Frontend(spec)
    first = frontend.process(x).copy()
    again = frontend.process(x).copy()
    assert not np.array_equal(again[: len(first)], first)
    frontend.reset()
    assert np.array_equal(frontend.process(x), first)
    assert frontend.flush().shape == (0, spec.n_bands)
    assert np.array_equal(frontend.process(x), first)


@pytest.mark.parametrize("features", ["log_mel", "pcen", "waveform"])
def test_interleaved_streams_do_not_mix(features: Any) -> None:
    spec = FrontendSpec(features=features)
    a, b = noise(4000, seed=1), noise(4000, seed=2)
    one, other = Frontend(spec), Frontend(spec)
    got: tuple[list[Frames], list[Frames]] = ([], [])
    for x, y in zip(cut(a, [137]), cut(b, [137]), strict=True):
        got[0].append(one.process(x).copy())
        got[1].append(other.process(y).copy())
    assert np.array_equal(np.concatenate(got[0]), Frontend(spec).process(a))
    assert np.array_equal(np.concatenate(got[1]), Frontend(spec).process(b))


def test_frames_are_a_view_of_one_buffer_and_calls_allocate_nothing() -> None:
    frontend = Frontend(FrontendSpec())
    blocks = cut(noise(RATE_HZ), [160])
    views = [frontend.process(block) for block in blocks]
    assert all(np.shares_memory(views[-1], view) for view in views if view.size)

    def work() -> None:
        for _ in range(20):
            for block in blocks:
                frontend.process(block)

    kept, peak = allocated(work)
    # The returned view object and loop variables live at any moment; a single frame has 160 bytes
    # and a single block 640, so 2000 calls that kept or made an array each would show.
    assert kept < 500
    assert peak < 1500


def test_accepts_read_only_blocks() -> None:
    x = noise(2000)
    want = Frontend(FrontendSpec()).process(x).copy()
    x.flags.writeable = False
    assert np.array_equal(Frontend(FrontendSpec()).process(x), want)


def test_input_is_left_alone_and_not_kept() -> None:
    x, spec = noise(3000), FrontendSpec()
    frontend, block = Frontend(spec), np.empty(150, np.float32)
    got = []
    for part in cut(x, [150]):
        block[:] = part
        got.append(frontend.process(block).copy())
        assert np.array_equal(block, part)
        block[:] = np.nan
    assert np.array_equal(np.concatenate(got), Frontend(spec).process(x))


@pytest.mark.parametrize(
    "x", [np.zeros(10), np.zeros((2, 10), np.float32), np.zeros(10, np.int16), np.zeros(20, np.float32)[::2]]
)
def test_refuses_other_arrays(x: Any) -> None:
    with pytest.raises(UsageError, match="frontend: samples have shape"):
        Frontend(FrontendSpec()).process(x)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("features", ["log_mel", "mfcc", "pcen", "waveform"])
def test_what_is_not_finite_does_not_stay(features: Any, bad: float) -> None:
    spec = FrontendSpec(features=features)
    x = noise(3 * RATE_HZ, seed=9)
    clean = Frontend(spec).process(x).copy()
    x[[0, 8000]] = bad
    frames = Frontend(spec).process(x)
    assert np.isfinite(frames).all()
    if features in {"log_mel", "mfcc"}:
        # Windows 0 and 48 to 50 hold the two samples; nothing else may change.
        kept = np.setdiff1d(np.arange(len(frames)), [0, 48, 49, 50])
        assert np.array_equal(frames[kept], clean[kept])
    elif not (features == "pcen" and bad == 3e38):
        # PCEN's smoother has started from silence and forgets that with (1 - 0.025)**n, 0.2 % after
        # 248 frames; the waveform's filter forgets with 0.995**n samples. (A finite 3e38 is loud,
        # and PCEN rightly remembers it.)
        np.testing.assert_allclose(frames[-50:], clean[-50:], atol=1e-2)


@pytest.mark.parametrize(("hz", "scale"), [(300, "htk"), (1000, "htk"), (3000, "htk"), (1000, "slaney")])
def test_a_tone_lands_in_its_band(hz: int, scale: Any) -> None:
    spec = FrontendSpec(mel_scale=scale)
    tone = 0.5 * np.sin(2 * np.pi * hz * np.arange(RATE_HZ) / RATE_HZ)
    frames = Frontend(spec).process(tone.astype(np.float32))
    low, high = reference.to_mel(20, scale), reference.to_mel(8000, scale)
    # Centre of band i is at low + (i + 1) * step.
    nearest = round((reference.to_mel(hz, scale) - low) / (high - low) * 41 - 1)
    # A bin is 31 Hz wide: at 300 Hz half a band, so that the neighbour may win.
    assert np.all(np.abs(frames.argmax(axis=1) - nearest) <= (1 if hz < 500 else 0))


@pytest.mark.parametrize("scale", [1.0, 32768.0])
@pytest.mark.parametrize("level", [0.0, 0.1, -1.0])
def test_a_constant_is_silence(level: float, scale: float) -> None:
    spec = FrontendSpec(input_scale=scale)
    frames = Frontend(spec).process(np.full(4000, level, np.float32))
    # Exactly: the mean of equal numbers is that number.
    assert np.array_equal(frames, np.full_like(frames, frames[0, 0]))
    assert frames[0, 0] == pytest.approx(np.log(spec.log_floor), rel=1e-6)


def test_pcen_settles_at_its_fixed_point() -> None:
    spec = FrontendSpec(features="pcen", input_scale=32768.0)
    # A tone whose period divides the hop gives the same energy in every frame.
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE_HZ) / RATE_HZ).astype(np.float32)
    band = int(Frontend(FrontendSpec()).process(tone)[0].argmax())
    energy = np.exp(np.float64(Frontend(FrontendSpec(input_scale=32768.0)).process(tone)[5, band]))
    frames = Frontend(spec).process(tone)
    want = np.sqrt(energy / (1e-6 + energy) ** 0.98 + 2) - np.sqrt(2)
    # Six float32 operations with logarithms of 20 to 30.
    np.testing.assert_allclose(frames[:, band], want, rtol=2e-5)


def test_the_raw_waveform_loses_its_offset() -> None:
    spec = FrontendSpec(features="waveform", preemphasis=0.0)
    frames = Frontend(spec).process(np.full(RATE_HZ, 0.3, np.float32))
    assert not frames.any()
    step = np.concatenate([np.zeros(160), np.full(RATE_HZ, 0.3)]).astype(np.float32)
    frames = Frontend(spec).process(step)
    assert frames[1, 0] == np.float32(0.3)
    # 0.995**3200 of 0.3 is 3e-8.
    assert np.abs(frames[21:]).max() < 1e-7


@pytest.mark.parametrize("features", ["pcen", "waveform"])
def test_filters_fall_silent_instead_of_subnormal(features: Any) -> None:
    frontend = Frontend(FrontendSpec(features=features))
    frontend.process(noise(RATE_HZ))
    # 0.995**n reaches subnormal float64 after 9 s, (1 - 0.025)**n subnormal float32 after 35 s.
    for _ in range(60):
        frontend.process(np.zeros(RATE_HZ, np.float32))
    state = frontend._memory[frontend._state]
    assert not state.any()


def test_a_second_process_loads_the_compiled_kernel() -> None:
    import edgeaudio.dsp.kernel  # noqa: F401  (now it is in the cache)

    code = "from edgeaudio.dsp.kernel import run; print(sum(run.stats.cache_hits.values()))"
    # Without the cache this would be 0, after five seconds or more.
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert output.strip() == "1"


def test_frame_end_and_counts() -> None:
    spec = FrontendSpec(window_ms=25.0)
    frontend = Frontend(spec)
    for i in range(3):
        end = frontend.frame_end(i)
        frontend.reset()
        assert len(frontend.process(np.zeros(end - 1, np.float32))) == i
        assert len(frontend.process(np.zeros(1, np.float32))) == 1
    assert Frontend(FrontendSpec(features="waveform")).frame_end(2) == 480
    assert (frontend.n_bands, frontend.hop_samples, frontend.spec) == (40, 160, spec)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_ms": 25.01}, "window_ms is 25.01, which is 400.16 samples"),
        ({"hop_ms": 10.03}, "hop_ms is 10.03"),
        ({"hop_ms": 0.0}, "hop_ms is 0.0"),
        ({"hop_ms": 30.0}, "hop_ms is 30, longer than window_ms 25"),
        ({"window_ms": 40.0}, "n_fft is 512, but the window has 640 samples"),
        ({"n_fft": 400}, "n_fft is 400, it must be one of 256, 512, 1024, 2048"),
        ({"fmax_hz": 8001.0}, "fmax_hz is 8001, above 8000"),
        ({"fmax_hz": float("nan")}, "fmax_hz is nan"),
        ({"fmin_hz": 8000.0}, "fmin_hz is 8000, not below fmax_hz 8000"),
        ({"fmin_hz": -1.0}, "fmin_hz is -1.0"),
        ({"n_mels": 0}, "n_mels is 0"),
        ({"n_mels": 256}, "n_mels is 256, but no FFT bin falls into 25 .* first of them band 2"),
        ({"n_mfcc": 41, "features": "mfcc"}, "n_mfcc is 41, more than n_mels, which is 40"),
        ({"preemphasis": 1.5}, "preemphasis is 1.5"),
        ({"log_floor": 0.0}, "log_floor is 0.0"),
        ({"input_scale": float("inf")}, "input_scale is inf"),
        ({"pcen_smoothing": 1.0}, "pcen_smoothing is 1.0"),
        ({"features": "chroma"}, "features is 'chroma', it must be one of log_mel, mfcc, pcen, waveform"),
        ({"window": "kaiser"}, "window is 'kaiser'"),
        ({"mel_scale": "bark"}, "mel_scale is 'bark'"),
        ({"sample_rate_hz": 0}, "sample_rate_hz is 0"),
    ],
    ids=str,
)
def test_a_spec_that_makes_no_sense_says_why(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FrontendSpec(**options)


def test_a_spec_read_from_a_file_is_checked_too() -> None:
    with pytest.raises(ConfigError, match="fmax_hz is 9000"):
        msgspec.json.decode(b'{"fmax_hz": 9000}', type=FrontendSpec)
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.json.decode(b'{"fmax": 8000}', type=FrontendSpec)


def test_the_fingerprint_knows_every_field() -> None:
    changes: dict[str, Any] = {
        "sample_rate_hz": 32_000, "window_ms": 30.0, "hop_ms": 20.0, "n_fft": 1024, "n_mels": 41,
        "fmin_hz": 21.0, "fmax_hz": 7999.0, "mel_scale": "slaney", "mel_norm": "slaney", "window": "hann",
        "preemphasis": 0.96, "remove_dc": False, "power": False, "input_scale": 2.0, "log_floor": 1e-6,
        "features": "pcen", "n_mfcc": 12, "lifter": 20.0, "pcen_smoothing": 0.03, "pcen_gain": 0.9,
        "pcen_bias": 1.0, "pcen_root": 0.4, "pcen_eps": 1e-5, "log_offset": 1e-6,
    }  # fmt: skip
    assert set(changes) == set(FrontendSpec.__struct_fields__)
    prints = {FrontendSpec().fingerprint}
    for key, value in changes.items():
        extra = {"n_fft": 1024} if key == "sample_rate_hz" else {}
        prints.add(FrontendSpec(**{key: value}, **extra).fingerprint)
    assert len(prints) == len(changes) + 1
    # The exact value is part of every bundle ever written, so it must not change by accident.
    spec = msgspec.json.decode(msgspec.json.encode(FrontendSpec()), type=FrontendSpec)
    assert spec.fingerprint == "f728a8f1cd22cd4d0f22527516308d7f285e011c72f8a7eeea6a1024013826b1"
    assert FrontendSpec(fmin_hz=20, window_ms=25).fingerprint == spec.fingerprint

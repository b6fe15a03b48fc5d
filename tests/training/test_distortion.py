import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.training.distortion import Distorter, mask, speech_level
from edgeaudio.types import Frames

N_BANDS = 20
FLOOR = 1e-6
BAND_HZ = np.linspace(50.0, 7500.0, N_BANDS)
NOISE = np.random.default_rng(5).normal(-6.0, 1.0, (300, N_BANDS)).astype(np.float32)


def speech(n: int = 200, seed: int = 0) -> Frames:
    """Loud and quiet stretches, like words and pauses."""
    rng = np.random.default_rng(seed)
    loud = np.where(np.arange(n) % 50 < 30, 0.0, -9.0)[:, None]
    return np.asarray(loud + rng.normal(0.0, 1.0, (n, N_BANDS)), np.float32)


def distorter(noises: list[Frames] | None = None) -> Distorter:
    return Distorter([NOISE] if noises is None else noises, BAND_HZ, FLOOR)


class Fixed:
    """Draws that are known: the same chance always, and the middle or an end of every range."""

    def __init__(self, chances: list[float], *, middle: bool = True) -> None:
        self._chances, self._at = chances, 0
        self._rng = np.random.default_rng(0)
        self._middle = middle

    def random(self) -> float:
        self._at += 1
        return self._chances[min(self._at, len(self._chances)) - 1]

    def uniform(self, low: float, high: float, size: object = None) -> object:
        value = (low + high) / 2
        return value if size is None else np.full(size, value)

    def normal(self, mean: float, spread: float, size: object = None) -> object:
        return np.zeros(size) if size is not None else mean

    def integers(self, *limits: int) -> int:
        return 0


def quiet_draws(*chances: float) -> np.random.Generator:
    return Fixed(list(chances))  # type: ignore[return-value]


def test_equal_seeds_give_equal_distortions() -> None:
    frames = speech()
    first, second, other = (distorter()(frames, np.random.default_rng(seed), 1.0) for seed in (3, 3, 4))
    assert np.array_equal(first, second)
    assert first.shape != other.shape or not np.array_equal(first, other)


@settings(max_examples=60)
@given(
    n=st.integers(0, 120),
    seed=st.integers(0, 10**6),
    strength=st.floats(0.0, 1.0),
    level=st.sampled_from([-13.8155, -5.0, 0.0, 12.0]),
    with_noises=st.booleans(),
    with_babble=st.booleans(),
)
def test_whatever_is_drawn_stays_finite_and_bounded(
    *, n: int, seed: int, strength: float, level: float, with_noises: bool, with_babble: bool
) -> None:
    frames = (level + (speech(n) if level else np.zeros((n, N_BANDS), np.float32))).astype(np.float32)
    before = frames.copy()
    babble = speech(40, seed=1) if with_babble else frames[:0]
    out = distorter(None if with_noises else [])(frames, np.random.default_rng(seed), strength, babble)
    assert np.array_equal(frames, before)
    assert out.dtype == np.float32
    assert np.isfinite(out).all()
    # exp(0.13) = 1.14 times slower or faster.
    assert 0.87 * n - 1 <= len(out) <= 1.15 * n + 1
    if len(out):
        assert out.min() >= np.float32(np.log(FLOOR))
        # 12 dB of level, at most some 25 dB of colour and 6 dB of noise and room: less than 10 nepers.
        assert out.max() <= max(float(frames.max()), np.log(FLOOR)) + 10.0


def test_silence_stays_silence() -> None:
    silence = np.full((100, N_BANDS), np.log(FLOOR), np.float32)
    for seed in range(20):
        out = distorter([])(silence, np.random.default_rng(seed), 1.0)
        # As loud as the floor, give or take a level of +12 dB, a colour, and a room.
        assert np.float32(np.log(FLOOR)) <= out.min() <= out.max() < np.log(FLOOR) + 10.0


def test_noise_adds_its_power_at_the_wanted_ratio() -> None:
    frames = speech()
    never = [0.99, 0.99, 0.99, 0.99, 0.99]  # speed, room, noise, tract, telephone
    plain = distorter()(frames, quiet_draws(*never), 1.0)
    noisy = distorter()(frames, quiet_draws(0.99, 0.99, 0.0, 0.99, 0.99), 1.0)
    assert (noisy >= plain).all()
    added = np.exp(noisy.astype(np.float64)) - np.exp(plain.astype(np.float64))
    # The middle of 2 to 30 dB, measured before the level of -9 dB (the middle of -30 to 12 dB) is set.
    level = 10.0 ** (-9.0 / 10.0)
    ratio_db = 10 * np.log10(speech_level(frames) * level / added.sum(axis=1).mean())
    # float32 logarithms of sums, noise 16 dB below: a part in 10^5.
    assert ratio_db == pytest.approx(16.0, abs=0.01)


def test_without_effects_only_the_level_changes() -> None:
    frames = speech()
    out = distorter([])(frames, quiet_draws(0.99), 1.0)
    # The hiss is 60 dB below the speech, the level -9 dB: the middles of their ranges.
    power = np.exp(frames.astype(np.float64)) + speech_level(frames) / N_BANDS * 1e-6 + FLOOR
    wanted = np.log(power) - 9.0 * np.log(10.0) / 10.0
    np.testing.assert_allclose(out, np.maximum(wanted, np.log(FLOOR)), atol=1e-4)  # float32, fast logarithms


def test_a_level_is_a_shift() -> None:
    frames = speech() + np.float32(6.0)
    for strength in (0.0, 0.5):
        one = distorter([])(frames, quiet_draws(0.99), strength)
        two = distorter([])(frames + np.float32(1.5), quiet_draws(0.99), strength)
        # The frontend's floor stays where it is: a part in 1,000 of the quietest frames.
        np.testing.assert_allclose(two, one + 1.5, atol=2e-3)


def test_a_room_makes_sounds_end_later_and_never_quieter() -> None:
    frames = np.full((100, N_BANDS), -12.0, np.float32)
    frames[20:40] = 0.0
    dry = distorter([])(frames, quiet_draws(0.99), 1.0)
    wet = distorter([])(frames, quiet_draws(0.99, 0.0, 0.99), 1.0)
    assert (wet >= dry - 1e-6).all()
    tail = wet[40:60].mean(axis=1)
    assert (np.diff(tail) < 0).all()
    assert tail[0] > dry[40:60].mean() + 1.0
    # 7.5 dB of direct sound to tail, the middle of 0 to 15, when the tail has filled up.
    assert np.exp(wet[39] - dry[39]).mean() == pytest.approx(1 + 10**-0.75, rel=0.1)


def test_the_tract_moves_a_resonance() -> None:
    frames = np.full((30, N_BANDS), -10.0, np.float32)
    frames[:, 8] = 0.0
    moved = {
        int(distorter([])(frames, np.random.default_rng(seed), 0.5).mean(axis=0).argmax())
        for seed in range(40)
    }
    assert moved >= {7, 8, 9}
    assert min(moved) >= 6
    assert max(moved) <= 10


def test_the_level_of_speech_leaves_pauses_out() -> None:
    frames = np.full((100, N_BANDS), -20.0, np.float32)
    frames[:10] = 1.0
    assert speech_level(frames) == pytest.approx(N_BANDS * np.exp(1.0), rel=1e-5)
    assert speech_level(frames[:0]) == 0.0


@settings(max_examples=50)
@given(n=st.integers(1, 400), strength=st.floats(0.0, 1.0), seed=st.integers(0, 10**6))
def test_masks_hide_bands_and_times_but_not_too_much(n: int, strength: float, seed: int) -> None:
    frames = np.zeros((n, N_BANDS), np.float32)
    mask(frames, np.random.default_rng(seed), strength, -4.0)
    hidden = frames == -4.0
    assert (hidden | (frames == 0.0)).all()
    assert hidden.all(axis=0).sum() <= 2 * int(strength * N_BANDS / 4) or n < 2
    assert hidden.all(axis=1).sum() <= (1 + n // 120) * min(int(strength * 30), n // 10)

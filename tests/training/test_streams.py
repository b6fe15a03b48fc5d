from dataclasses import replace

import numpy as np
import pytest

from edgeaudio.training.corpus import Clip, Hints
from edgeaudio.training.streams import OTHER, Pools, Recipe, Spoken, StreamMaker, frame_targets, hint_targets

RATE = 16_000
N_SAMPLES = 2 * RATE
NEWEST = np.arange(399, N_SAMPLES, 320)  # one output every 20 ms


def labels_at(spoken: list[Spoken], seconds: list[float]) -> list[tuple[int, float]]:
    targets = frame_targets(spoken, NEWEST, 3, N_SAMPLES)
    frames = [int(np.abs(NEWEST - s * RATE).argmin()) for s in seconds]
    return [(int(targets.label[f]), round(float(targets.weight[f]), 2)) for f in frames]


def test_a_word_is_answered_after_its_end_and_nowhere_else() -> None:
    word = Spoken(1, round(0.5 * RATE), round(1.0 * RATE))
    found = labels_at([word], [0.3, 0.6, 0.9, 1.0, 1.15, 1.3, 1.6])
    # Silence; not yet; loose; the answer, twice; loose; silence again. Unknown is 3, silence 4.
    assert found == [(4, 0.3), (3, 0.15), (3, 0.0), (1, 1.0), (1, 1.0), (4, 0.0), (4, 0.3)]


def test_other_speech_is_unknown_while_it_lasts() -> None:
    found = labels_at([Spoken(OTHER, round(0.5 * RATE), round(1.0 * RATE))], [0.55, 0.8, 1.1, 1.3, 1.6])
    assert found == [(3, 0.0), (3, 0.5), (3, 0.5), (4, 0.0), (4, 0.3)]


def test_a_word_cut_off_by_the_end_is_not_judged() -> None:
    targets = frame_targets([Spoken(2, round(1.5 * RATE), round(2.2 * RATE))], NEWEST, 3, N_SAMPLES)
    assert not np.any(targets.label == 2)
    assert targets.said.tolist() == [0.0, 0.0, 0.0]
    assert targets.judged.tolist() == [1.0, 1.0, 0.0]


def test_a_word_said_once_in_full_and_once_cut_counts_as_said() -> None:
    spoken = [Spoken(2, 3000, 12000), Spoken(2, round(1.7 * RATE), round(2.3 * RATE))]
    targets = frame_targets(spoken, NEWEST, 3, N_SAMPLES)
    assert targets.said.tolist() == [0.0, 0.0, 1.0]
    assert targets.judged.tolist() == [1.0, 1.0, 1.0]


def test_nobody_speaks() -> None:
    targets = frame_targets([], NEWEST, 3, N_SAMPLES)
    assert set(targets.label.tolist()) == {4}
    assert targets.said.sum() == 0.0
    assert targets.judged.tolist() == [1.0, 1.0, 1.0]


def tone_clip(hz: float, label: str, seconds: float = 0.4) -> Clip:
    """A second of silence with a tone in its middle."""
    pcm = np.zeros(RATE, np.int16)
    n = int(seconds * RATE)
    start = (RATE - n) // 2
    pcm[start : start + n] = 8000 * np.sin(2 * np.pi * hz * np.arange(n) / RATE)
    return Clip("tones", label, pcm, label)


HZ = {0: 500.0, 1: 1000.0, OTHER: 2500.0}
POOLS = Pools(
    real=[[tone_clip(HZ[0], "low")], []],
    synthetic=[[], [tone_clip(HZ[1], "high")]],
    confusable=[[tone_clip(HZ[OTHER], "other")]],
    speech=[tone_clip(HZ[OTHER], "other", seconds=0.9)],
)


def power_at(samples: np.ndarray, hz: float) -> float:
    """Power near a frequency, 20 % wide on either side for the changes of speed."""
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    frequencies = np.fft.rfftfreq(len(samples), 1 / RATE)
    return float(spectrum[(frequencies > 0.8 * hz) & (frequencies < 1.2 * hz)].sum())


@pytest.mark.parametrize("seed", range(8))
def test_streams_hold_what_they_claim_where_they_claim(seed: int) -> None:
    maker = StreamMaker(POOLS, Recipe(empty=0.0, speech=0.0, pause=0.0), N_SAMPLES)
    rng = np.random.default_rng(seed)
    for _ in range(6):
        samples, spoken = maker(rng)
        assert samples.dtype == np.float32
        assert samples.shape == (N_SAMPLES,)
        outside = samples.copy()
        for s in spoken:
            part = samples[s.start : min(s.end, N_SAMPLES)]
            # The bounds are found from 10 ms blocks and a 30 ms envelope.
            outside[max(0, s.start - 800) : s.end + 800] = 0.0
            if len(part) > 0.1 * RATE:
                powers = {word: power_at(part, hz) for word, hz in HZ.items()}
                assert max(powers, key=lambda word: powers[word]) == s.word
        assert np.abs(outside).max() < 1e-3


def test_shares_of_the_recipe_are_kept() -> None:
    maker = StreamMaker(POOLS, Recipe(empty=0.5, bare=0.5), N_SAMPLES)
    rng = np.random.default_rng(0)
    counts = [len(maker(rng)[1]) for _ in range(400)]
    # Binomial, 400 draws at one half: standard deviation 10, four of them.
    assert abs(counts.count(0) - 200) < 40
    assert set(counts) == {0, 1}


def test_hard_parts_are_used() -> None:
    hard = Pools(**{**POOLS.__dict__, "hard": [tone_clip(4000.0, "hard")]})
    maker = StreamMaker(hard, Recipe(empty=0, bare=0, word=0, confusable=0, pause=0, hard=1.0), N_SAMPLES)
    samples, spoken = maker(np.random.default_rng(1))
    assert {s.word for s in spoken} == {OTHER}
    assert power_at(samples, 4000.0) > 100 * power_at(samples, 2500.0)


def test_equal_seeds_make_equal_streams() -> None:
    a = StreamMaker(POOLS, Recipe(), N_SAMPLES)(np.random.default_rng(3))
    b = StreamMaker(POOLS, Recipe(), N_SAMPLES)(np.random.default_rng(3))
    assert np.array_equal(a[0], b[0])
    assert a[1] == b[1]


def test_hints_lie_where_the_recording_was_laid() -> None:
    """A recogniser whose only token rises by one a frame tells which moment of a recording is heard."""
    log_probs = np.arange(40, dtype=np.uint8)[:, None]
    hints = Hints(log_probs, frame_samples=640, newest=879)
    pools = Pools([[replace(clip, hints=hints) for clip in POOLS.real[0]]], [[]], [[]], [])
    maker = StreamMaker(pools, Recipe(empty=0, bare=0, word=1, confusable=0, speech=0, pause=0), N_SAMPLES)
    known_at_all = 0
    for seed in range(8):
        _, spoken = maker(np.random.default_rng(seed))
        heard, known = hint_targets(spoken, NEWEST, 1)
        for s in spoken:
            inside = (s.start + 0.1 * RATE <= NEWEST) & (min(s.end, N_SAMPLES) > NEWEST) & (known > 0)
            # The tone lies from 0.3 to 0.7 s in its recording; its bounds are found to 30 ms.
            begins = 0.3 * RATE + (NEWEST[inside] - s.start) * s.factor
            # A frame is 40 ms; the nearest one is at most 20 away.
            assert np.all(np.abs(heard[inside, 0] * 640.0 + 879 - begins) <= 320 + 0.04 * RATE)
            known_at_all += int(inside.sum())
    assert known_at_all > 50


def test_nothing_is_hinted_where_nobody_was_heard() -> None:
    heard, known = hint_targets([Spoken(0, 4000, 12000)], NEWEST, 5)
    assert heard.shape == (len(NEWEST), 5)
    assert not known.any()

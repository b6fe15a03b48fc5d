import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeaudio.tasks.clip import clip_decision, pad_clip, smooth

LABELS = ("yes", "no", "unknown", "silence")


def posteriors(*stretches: tuple[int, str, float]) -> np.ndarray:
    """Stretches of (frames, label, its posterior); the rest goes to silence, or to unknown."""
    rows = []
    for n, label, p in stretches:
        row = np.zeros(len(LABELS), np.float32)
        row[LABELS.index("unknown" if label == "silence" else "silence")] = 1.0 - p
        row[LABELS.index(label)] = p
        rows += [row] * n
    return np.array(rows, np.float32)


def decide(p: np.ndarray) -> str:
    return clip_decision(p, LABELS, word_threshold=0.5, silence_threshold=0.5, smoothing_frames=5)


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (posteriors((40, "silence", 0.9)), "silence"),
        (posteriors((20, "silence", 0.9), (10, "unknown", 0.9), (20, "silence", 0.9)), "unknown"),
        (posteriors((20, "silence", 0.9), (8, "no", 0.9), (20, "silence", 0.9)), "no"),
        # The longer word wins over the one that only flickers.
        (posteriors((10, "no", 0.6), (3, "yes", 0.9), (20, "silence", 0.9)), "no"),
        # Two frames of a word are no word, and no silence either once the mean falls below one half.
        (posteriors((20, "silence", 0.9), (2, "no", 0.9), (20, "silence", 0.9)), "silence"),
        # Right at the end.
        (posteriors((20, "silence", 0.9), (5, "yes", 0.9)), "yes"),
    ],
)
def test_decisions(p: np.ndarray, expected: str) -> None:
    assert decide(p) == expected


def test_order_of_labels_does_not_matter() -> None:
    p = posteriors((20, "silence", 0.9), (8, "no", 0.9))
    order = [2, 0, 3, 1]
    shuffled = [LABELS[i] for i in order]
    answer = clip_decision(
        p[:, order], shuffled, word_threshold=0.5, silence_threshold=0.5, smoothing_frames=5
    )
    assert answer == "no"


@given(n=st.integers(0, 30), window=st.integers(1, 8), seed=st.integers(0, 99))
def test_smoothing_is_the_mean_of_the_newest_frames_with_zeros_before(n: int, window: int, seed: int) -> None:
    x = np.random.default_rng(seed).random((n, 3)).astype(np.float32)
    expected = [np.concatenate([np.zeros((window, 3)), x[: i + 1]])[-window:].mean(axis=0) for i in range(n)]
    # Differences of float64 sums of thirty numbers below one, rounded to float32.
    np.testing.assert_allclose(smooth(x, window), np.reshape(expected, (n, 3)), atol=1e-6)


def test_padding_is_silent_and_keeps_the_recording() -> None:
    x = np.linspace(-1, 1, 1000, dtype=np.float32)
    padded = pad_clip(x)
    assert padded.dtype == np.float32
    assert len(padded) == 1000 + 3200 + 6400
    assert np.array_equal(padded[3200:4200], x)
    assert not padded[:3200].any()
    assert not padded[4200:].any()

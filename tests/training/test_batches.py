import numpy as np

from edgeaudio.frontend import Frontend, FrontendSpec
from edgeaudio.training.batches import Layout, warp_tract

SPEC = FrontendSpec(fmin_hz=60.0, fmax_hz=7600.0)
RATE = 16_000


def loudest_band(hz: float) -> tuple[int, np.ndarray]:
    tone = 0.3 * np.sin(2 * np.pi * hz * np.arange(RATE) / RATE).astype(np.float32)
    frames = Frontend(SPEC).process(tone).copy()
    return int(frames.mean(axis=0).argmax()), frames


def test_another_vocal_tract_moves_the_bands() -> None:
    band, frames = loudest_band(1500.0)
    lowest, highest = loudest_band(1500.0 / 1.1)[0], loudest_band(1500.0 * 1.1)[0]
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(200):
        warped = warp_tract(frames, SPEC, rng, 1.0)
        assert warped.shape == frames.shape
        seen.add(int(warped.mean(axis=0).argmax()))
    # To the tenth and back, by a band at most beside it: bands are 75 mel wide.
    assert lowest - 1 <= min(seen) < band < max(seen) <= highest + 1


def test_samples_have_no_vocal_tract() -> None:
    spec = FrontendSpec(features="waveform")
    frames = np.ones((4, spec.n_bands), np.float32)
    rng = np.random.default_rng(0)
    assert all(warp_tract(frames, spec, rng, 1.0) is frames for _ in range(20))


def test_hinted_frames_are_those_that_a_recogniser_answers_with() -> None:
    layout = Layout(SPEC, 192, 2, n_hints=40, hint_samples=640)
    # Its frame i has seen four frames more than the one before; the first one ends with sample 879.
    np.testing.assert_array_equal(layout.hinted(), 879 + 640 * np.arange(48))
    assert Layout(SPEC, 192, 2).hinted().size == 0

from pathlib import Path

import numpy as np
import soundfile

from edgeaudio.training.corpus import Clip
from edgeaudio.training.hints import STEPS_PER_NAT, ZERO, add_hints

SPEECH = Path(__file__).parents[2] / "edgeaudio" / "assets" / "speech.flac"


def speech(seconds: float) -> Clip:
    pcm, rate = soundfile.read(SPEECH, dtype="int16")
    assert rate == 16_000
    return Clip("books", "a.flac", pcm[: round(seconds * rate)])


def test_the_recogniser_hears_phones_and_is_asked_once(tmp_path: Path) -> None:
    clip, noise = speech(3.0), Clip("noise", "b.flac", np.zeros(16_000, np.int16))
    (heard, silent) = add_hints([clip, noise], tmp_path)
    assert silent.hints is None
    assert heard.hints is not None
    # A frame each 40 ms, and 0.4 s more, of which the last may wait for a whole step of 160 ms.
    n, n_tokens = heard.hints.log_probs.shape
    assert 75 <= n <= 86
    assert n_tokens == 40
    # Probabilities of a frame make one, but for those below e^-8 and rounding by 1/32.
    sums = np.exp((heard.hints.log_probs - 2 * ZERO) / STEPS_PER_NAT).sum(axis=1)
    assert np.all((sums > 0.95) & (sums < 1.05))
    # Somebody speaks: some frames are phones, not the blank.
    assert np.mean(heard.hints.log_probs[:, 1:].max(axis=1) > heard.hints.log_probs[:, 0]) > 0.1

    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "hints").iterdir()}
    again, _ = add_hints([clip, noise], tmp_path)
    assert again.hints is not None
    np.testing.assert_array_equal(again.hints.log_probs, heard.hints.log_probs)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "hints").iterdir()} == files

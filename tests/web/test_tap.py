from __future__ import annotations

import numpy as np
import pytest

from edgeaudio.frontend import Frontend, FrontendSpec
from edgeaudio.web.tap import FrameTap

SPEC = FrontendSpec(n_mels=80)


def heard(samples, spec=SPEC):
    tap = FrameTap(spec)
    tap.process(Frontend(tap.spec).process(samples.astype(np.float32)))
    return tap


@pytest.mark.parametrize("spec", [SPEC, FrontendSpec(n_mels=80, input_scale=32768.0, preemphasis=0.0)])
def test_a_tone_shows_in_its_band_and_40_db_quieter_by_half_the_scale(spec):
    t = np.arange(16_000) / 16_000
    loud, quiet = (
        heard(gain * np.sin(2 * np.pi * 3000 * t), spec).read(0).values[10] for gain in (0.03, 0.0003)
    )
    assert abs(int(loud.argmax()) - int(quiet.argmax())) == 0
    # 40 dB of the 80 dB that 255 steps stand for.
    assert int(loud.max()) - int(quiet.max()) == pytest.approx(255 * 40 / 80, abs=2)
    # -30.5 dB on a scale from -100 to -20 dB; a band's width and pre-emphasis make up to 6 dB more.
    assert 255 * 69 / 80 <= int(loud.max()) <= 255 * 76 / 80


def test_silence_is_black():
    assert heard(np.zeros(16_000)).read(0).values.max() == 0


def test_a_column_is_the_louder_of_two_frames_however_they_come():
    frames = np.random.default_rng(1).normal(-8, 4, (11, 80)).astype(np.float32)
    whole, cut = FrameTap(SPEC), FrameTap(SPEC)
    whole.process(frames)
    for frame in frames:
        cut.process(frame[None])
    assert whole.written == cut.written == 5
    np.testing.assert_array_equal(whole.read(0).values, cut.read(0).values)
    louder = FrameTap(SPEC)
    louder.process(np.repeat(np.maximum(frames[0:10:2], frames[1:10:2]), 2, axis=0))
    np.testing.assert_array_equal(whole.read(0).values, louder.read(0).values)


def test_who_reads_seldom_gets_the_newest_columns():
    tap = FrameTap(SPEC)
    tap.process(np.full((4000, 80), -8.0, np.float32))
    tap.process(np.full((2, 80), 9.0, np.float32))
    first, values = tap.read(3)
    assert first + len(values) == tap.written == 2001
    assert len(values) == 128
    assert values[-1].min() == 255 > values[-2].max()


def test_features_that_are_no_bands_are_not_drawn_as_such():
    assert FrameTap(FrontendSpec(features="waveform")).spec.features == "log_mel"
    assert FrameTap(SPEC).spec is SPEC

"""How tools/measure-denoise counts, and what it says; nothing is measured."""

from __future__ import annotations

import numpy as np
import pytest

from edgeaudio.evaluation.intervals import wilson_interval
from tools.denoising.__main__ import _change, _percent
from tools.denoising.material import cleaned
from tools.denoising.measuring import Errors, _si_sdr


def test_recordings_without_an_error_still_leave_room_for_some() -> None:
    errors = Errors([1] * 20, ["a"] * 20, {"off": [0] * 20, "light": [0] * 20})
    assert errors.rate("off") == (0.0, *wilson_interval(0, 20))
    assert _percent(errors.rate("off")) == "0.0% (0.0 to 16.1)"
    assert _change(errors)("light") == "+0.0 (+0.0 to +0.0)"


def test_a_change_is_that_of_the_same_recordings() -> None:
    # Speakers differ by far more than noise reduction changes, and that by the same for each of them.
    groups = [str(i) for i in range(20)]
    off = list(range(10, 30))
    errors = Errors([50] * 20, groups, {"off": off, "strong": [n - 5 for n in off]})
    value, low, high = errors.rate("off")
    assert low < value - 0.02 < value + 0.02 < high
    assert errors.change("strong") == pytest.approx((-0.1, -0.1, -0.1))
    assert _change(errors)("strong") == "**-10.0 (-10.0 to -10.0)**"


def test_the_ratio_of_signal_and_distortion_does_not_depend_on_the_level() -> None:
    rng = np.random.default_rng(1)
    signal, noise = rng.normal(0, 0.1, (2, 50_000)).astype(np.float32)
    noise -= signal * float(noise @ signal) / float(signal @ signal)
    assert _si_sdr(0.5 * (signal + 0.1 * noise), signal) == pytest.approx(20.0, abs=0.1)


def test_without_noise_reduction_a_recording_is_what_it_was() -> None:
    x = np.zeros(8000, np.float32)
    assert cleaned(x, "off") is x
    assert len(cleaned(x, "light")) == 8000

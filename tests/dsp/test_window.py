"""Windows against the formulas of scipy.signal, an implementation of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.signal import get_window

from edgeaudio.dsp.window import make_window


@pytest.mark.parametrize(
    ("name", "theirs", "periodic", "power"),
    [
        ("hann", "hann", False, 1.0),
        ("hann_periodic", "hann", True, 1.0),
        ("hamming", "hamming", False, 1.0),
        ("povey", "hann", False, 0.85),
    ],
)
@pytest.mark.parametrize("n", [160, 399, 400])
def test_equals_scipy(name: Any, theirs: str, periodic: bool, power: float, n: int) -> None:
    # The power 0.85 magnifies rounding where the window is nearly zero.
    want = np.maximum(get_window(theirs, n, fftbins=periodic), 0) ** power
    np.testing.assert_allclose(make_window(name, n), want, atol=1e-12)

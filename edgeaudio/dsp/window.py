"""Window functions."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["WindowName", "make_window"]

WindowName = Literal["povey", "hann", "hann_periodic", "hamming"]


def make_window(name: WindowName, n_samples: int) -> NDArray[np.float64]:
    """Return a window of `n_samples` weights, shape ``[n_samples]`` float64.

    ``hann`` and ``hamming`` are the symmetric forms (period ``n_samples - 1``), ``hann_periodic``
    has period ``n_samples``. ``povey`` is Kaldi's default: the symmetric Hann window to the
    power 0.85, which looks like Hamming but goes to zero at the ends.
    """
    period = n_samples if name == "hann_periodic" else n_samples - 1
    cosine = np.cos(2 * np.pi * np.arange(n_samples) / period)
    if name == "hamming":
        return np.asarray(0.54 - 0.46 * cosine)
    hann = 0.5 - 0.5 * cosine
    return np.asarray(hann**0.85 if name == "povey" else hann)

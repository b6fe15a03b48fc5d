"""The cosine transform from log-mel bands to cepstral coefficients."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["dct_matrix"]


def dct_matrix(n_mels: int, n_mfcc: int, lifter: float) -> NDArray[np.float64]:
    """Return the orthonormal DCT-II with Kaldi's cepstral lifter folded in.

    The lifter scales coefficient ``i`` by ``1 + lifter/2 * sin(pi * i / lifter)``, which brings
    high coefficients to the size of low ones; 0 switches it off.

    Returns
    -------
    array, shape [n_mels, n_mfcc] float64
        ``mfcc = log_mel @ matrix``.
    """
    order = np.arange(n_mfcc)
    matrix = np.cos(np.pi / n_mels * np.outer(np.arange(n_mels) + 0.5, order))
    matrix *= np.sqrt(2.0 / n_mels)
    matrix[:, 0] = np.sqrt(1.0 / n_mels)
    if lifter > 0:
        matrix *= 1.0 + 0.5 * lifter * np.sin(np.pi * order / lifter)
    return np.asarray(matrix)

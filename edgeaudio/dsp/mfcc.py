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
    array, shape [n_mfcc, n_mels] float64
        ``mfcc = matrix @ log_mel``.
    """
    order = np.arange(n_mfcc)[:, None]
    matrix = np.sqrt(2.0 / n_mels) * np.cos(np.pi / n_mels * order * (np.arange(n_mels) + 0.5))
    matrix[0] = np.sqrt(1.0 / n_mels)
    if lifter > 0:
        matrix *= 1.0 + 0.5 * lifter * np.sin(np.pi * order / lifter)
    return np.asarray(matrix)

"""The reference of every convolution: in numpy, offline, exact for integers that float64 can hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.training.graph import Conv, Conv2d

__all__ = ["convolve"]

Array = NDArray[Any]


def convolve(x: Array, node: Conv, weight: Array, rest: float) -> Array:
    """Causal convolution of ``x [n, in]`` with frames of ``rest`` before it.

    Returns ``[n / stride, out]``, or of a Conv2d ``[n / stride, bands, out]``.
    """
    if isinstance(node, Conv2d):
        return _over_bands(x, node, weight, rest)
    padded = np.concatenate([np.full((node.context, x.shape[1]), rest, x.dtype), x])
    kernel, groups = weight.shape[2], node.groups
    starts = np.arange(len(x) // node.stride)[:, None] * node.stride
    taps = padded[starts + np.arange(kernel) * node.dilation]  # [n_out, kernel, in]
    taps = taps.reshape(len(starts), kernel, groups, -1)
    weight = weight.reshape(groups, -1, *weight.shape[1:])
    parts = [np.tensordot(taps[:, :, g], weight[g], axes=([1, 2], [2, 1])) for g in range(groups)]
    return np.concatenate(parts, axis=1)


def _over_bands(x: Array, node: Conv2d, weight: Array, rest: float) -> Array:
    n_out, groups = len(x) // node.stride, node.groups
    outputs, per_group, kernel, band_kernel = weight.shape
    x = x.reshape(len(x), -1, groups * per_group)
    n_bands = node.bands(x.shape[1])
    x = np.concatenate([np.full((node.context, *x.shape[1:]), rest, x.dtype), x])
    x = np.pad(x, ((0, 0), (node.band_pad, node.band_pad), (0, 0)))
    weight = weight.reshape(groups, -1, *weight.shape[1:])
    total = np.zeros((groups, n_out * n_bands, outputs // groups), x.dtype)
    for k, band in np.ndindex(kernel, band_kernel):
        first = k * node.dilation
        taps = x[first : first + n_out * node.stride : node.stride, band :: node.band_stride][:, :n_bands]
        taps = taps.reshape(n_out * n_bands, groups, per_group).transpose(1, 0, 2)
        total += taps @ weight[:, :, :, k, band].transpose(0, 2, 1)
    out: Array = total.transpose(1, 0, 2).reshape(n_out, n_bands, outputs)
    return out

"""Forwards and backwards through a network in NumPy: many sequences at once, all their frames at once.

Tensors are ``[batch, frames, bands, channels]``, of the floats that the frames come in; one that is a list of
channels has one band. A convolution is a matrix product for each place of its kernel, summed up, and so is
its gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.explaining.network import Network, Steps
from edgeaudio.training.graph import Conv, Conv2d

__all__ = ["Array", "Pass", "activate", "forward", "score_gradient"]

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Pass:
    """What a forward pass leaves behind: every tensor, and where its gradient goes through."""

    network: Network
    tensors: dict[str, Array]
    open: dict[str, NDArray[np.bool_]]

    @property
    def logits(self) -> Array:
        """``[batch, n / stride, n_labels]``."""
        return _flat(self.tensors[self.network.graph.logits])

    def backward(self, gradient: Array) -> dict[str, Array]:
        """Return the gradient of every tensor, shaped like it, where that of the logits is `gradient`.

        The frames' has the key ``frames``.
        """
        graph = self.network.graph
        logits = self.tensors[graph.logits]
        found: dict[str, Array] = {graph.logits: gradient.reshape(logits.shape)}
        for node in reversed(graph.nodes):
            arriving = found.get(node.output)
            if arriving is None:  # leads to nothing that is decided on
                continue
            # The logits' own range ends where a posterior is as good as 1: what raises it there still counts.
            if node.output != graph.logits:
                arriving = arriving * self.open[node.output]
            for source in (node.source,) if isinstance(node, Conv) else node.sources:
                x = self.tensors[source]
                part = _convolve_back(arriving, node, x.shape) if isinstance(node, Conv) else arriving
                found[source] = found[source] + part if source in found else part
        inputs = found[graph.input] * self.open[graph.input] / graph.input_scale
        return {**found, graph.input: inputs}


def forward(network: Network, frames: Array, *, rounded: bool = True) -> Pass:
    """Run whole sequences from rest.

    Parameters
    ----------
    network : Network
    frames : array, shape [batch, n, n_bands]
        n is a multiple of the stride.
    rounded : bool, optional
        Round tensors to the steps that they have in a runtime. Gradients pass through rounding as if it were
        not there; through what is cut off at the end of a range, they do not.
    """
    graph = network.graph
    limited, is_open = _limit(frames, network.steps.get(graph.input), False, rounded)
    x = (limited - graph.input_mean) / graph.input_scale
    # As bands of one channel each; a Conv takes them for a list of channels.
    tensors: dict[str, Array] = {graph.input: x[..., None]}
    passing = {graph.input: is_open[..., None]}
    for node in graph.nodes:
        if isinstance(node, Conv):
            y = _convolve(tensors[node.source], node)
        else:
            y = tensors[node.sources[0]] + tensors[node.sources[1]]
        tensors[node.output], passing[node.output] = _limit(
            y, network.steps.get(node.output), node.relu, rounded
        )
    return Pass(network, tensors, passing)


def activate(logits: Array, activation: str) -> Array:
    """Posteriors of ``[..., n_labels]`` logits."""
    if activation == "sigmoid":
        # Of whichever sign the exponential does not overflow.
        small = np.exp(-np.abs(logits))
        whole: Array = np.where(logits >= 0, 1.0, small) / (1.0 + small)
        return whole
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    share: Array = powers / powers.sum(axis=-1, keepdims=True)
    return share


def score_gradient(logits: Array, activation: str, label: int, weights: Array) -> Array:
    """Gradient of the weighted sum over output frames of a label's posterior, with respect to the logits.

    `weights` is ``[n_out]``. The complement of a posterior is summed up from the others', so that it does not
    vanish where a network is certain.
    """
    if activation == "sigmoid":
        gradient = np.zeros_like(logits)
        mine = logits[..., label]
        gradient[..., label] = activate(mine, "sigmoid") * activate(-mine, "sigmoid")
    else:
        posteriors = activate(logits, "softmax")
        gradient = -posteriors[..., label, None] * posteriors
        gradient[..., label] = 0.0
        gradient[..., label] = -gradient.sum(axis=-1)
    weighted: Array = gradient * weights[:, None]
    return weighted


def _flat(x: Array) -> Array:
    return x.reshape(*x.shape[:2], -1)


def _limit(x: Array, steps: Steps | None, relu: bool, rounded: bool) -> tuple[Array, NDArray[np.bool_]]:
    """Cut off what a tensor cannot hold, and round what it can; say where nothing was cut off."""
    least, most = (-np.inf, np.inf) if steps is None else steps.limits
    if relu:
        least = max(least, 0.0)
    passing = (x > least) & (x < most)
    if rounded and steps is not None:
        x = np.rint(x / steps.size) * steps.size
    return np.clip(x, least, most), passing


def _kernel(node: Conv, like: Array) -> Array:
    """``[groups, out / groups, in / groups, frames, bands]``."""
    weight = node.weight.astype(like.dtype)
    if weight.ndim == 3:
        weight = weight[..., None]
    return weight.reshape(node.groups, -1, *weight.shape[1:])


def _geometry(node: Conv) -> tuple[int, int]:
    """Stride and padding of the bands."""
    return (node.band_stride, node.band_pad) if isinstance(node, Conv2d) else (1, 0)


def _taps(node: Conv, kernel: Array, n_out: int, n_bands: int) -> Any:
    """Yield each place of the kernel: its weights, and what of the padded source meets them."""
    band_stride, _ = _geometry(node)
    for k, band in np.ndindex(kernel.shape[3:]):
        first = k * node.dilation
        along = slice(first, first + (n_out - 1) * node.stride + 1, node.stride)
        across = slice(band, band + (n_bands - 1) * band_stride + 1, band_stride)
        yield kernel[..., k, band], (slice(None), along, across)


def _listed(x: Array, node: Conv) -> Array:
    """``[batch, n, bands, channels]`` as the convolution reads it: a Conv, as one list."""
    return x if isinstance(node, Conv2d) else _flat(x)[:, :, None]


def _convolve(x: Array, node: Conv) -> Array:
    x = _listed(x, node)
    batch, n = x.shape[:2]
    kernel = _kernel(node, x)
    groups, per_group = kernel.shape[:2]
    _, pad = _geometry(node)
    n_bands = node.bands(x.shape[2]) if isinstance(node, Conv2d) else 1
    n_out = n // node.stride
    padded = np.pad(x, ((0, 0), (node.context, 0), (pad, pad), (0, 0)))
    total = np.zeros((batch * n_out * n_bands, groups, per_group), x.dtype)
    for weight, place in _taps(node, kernel, n_out, n_bands):
        heard = padded[place].reshape(len(total), groups, -1)
        for group in range(groups):
            total[:, group] += heard[:, group] @ weight[group].T
    summed: Array = total.reshape(batch, n_out, n_bands, -1) + node.bias.astype(x.dtype)
    return summed


def _convolve_back(gradient: Array, node: Conv, shape: tuple[int, ...]) -> Array:
    """Return the gradient of the source, of this shape, from that of the convolution's output."""
    batch, n_out, n_bands = gradient.shape[:3]
    kernel = _kernel(node, gradient)
    groups = len(kernel)
    _, pad = _geometry(node)
    width = kernel.shape[2] * groups
    read = shape if isinstance(node, Conv2d) else (*shape[:2], 1, width)
    padded = np.zeros((batch, read[1] + node.context, read[2] + 2 * pad, width), gradient.dtype)
    grouped = gradient.reshape(batch * n_out * n_bands, groups, -1)
    for weight, place in _taps(node, kernel, n_out, n_bands):
        parts = [grouped[:, group] @ weight[group] for group in range(groups)]
        padded[place] += np.concatenate(parts, axis=1).reshape(batch, n_out, n_bands, width)
    return padded[:, node.context :, pad : pad + read[2]].reshape(shape)

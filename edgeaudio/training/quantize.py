"""From a float graph and calibration frames to int8: scales, weights, biases, and a reference.

The scheme is the one both runtimes share: activations per tensor and asymmetric, weights per
output channel and symmetric, biases int32 at the accumulator's scale. A tensor behind a ReLU has
zero point -128, so that the clamp of the int8 range *is* the ReLU and costs nothing.

Scales minimise the squared rounding and clipping error over the calibration frames. What rounding
the weights adds to the mean of each channel is taken off its bias again (Nagel et al., "Data-Free
Quantization Through Weight Equalization and Bias Correction", 2019, section 4.2; here the means
are measured, not derived).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.errors import ModelError
from edgeaudio.training.convolving import convolve
from edgeaudio.training.graph import Add, Conv, Conv2d, Graph
from edgeaudio.types import Frames

__all__ = [
    "QuantizedConv",
    "QuantizedGraph",
    "Scale",
    "fold_input",
    "quantize",
    "run_float",
    "run_int8",
]

Int8s = NDArray[np.int8]
Array = NDArray[Any]

_SAMPLES_PER_TENSOR = 100_000
_SHRINK = np.linspace(0.25, 1.0, 61)
"""Parts of the full range that are tried as clipping limits."""


def _to_int8(x: Array) -> Int8s:
    clipped: Int8s = np.clip(x, -128, 127).astype(np.int8)
    return clipped


@dataclass(frozen=True)
class Scale:
    """``real = scale * (q - zero_point)`` with int8 q; ``scale`` is exactly a float32.

    ``rest`` is what q is where nothing was heard yet: the zero point, except for the input, where
    it stands for the mean frame.
    """

    scale: float
    zero_point: int
    rest: int

    def quantize(self, x: Array) -> Int8s:
        """Nearest representable values, ties to even as in ONNX QuantizeLinear."""
        return _to_int8(np.rint(np.asarray(x, np.float32) / np.float32(self.scale)) + self.zero_point)

    def dequantize(self, q: Int8s) -> NDArray[np.float32]:
        """Real values as float32."""
        real: NDArray[np.float32] = (q.astype(np.float32) - np.float32(self.zero_point)) * np.float32(
            self.scale
        )
        return real


@dataclass(frozen=True)
class QuantizedConv:
    """Integers of one convolution: a weight of the float one's shape, ``bias [out] int32``."""

    weight: Int8s
    bias: NDArray[np.int32]
    weight_scale: NDArray[np.float32]


@dataclass(frozen=True)
class QuantizedGraph:
    """A graph (input normalisation folded in) and its integers, by tensor and output name."""

    graph: Graph
    scales: dict[str, Scale]
    convs: dict[str, QuantizedConv]


def fold_input(graph: Graph) -> Graph:
    """Move the input's normalisation into the convolutions that read it.

    ``sum w (x - mean) / scale + b  =  sum (w / scale) x + (b - mean * sum w / scale)``. The result
    takes raw frames; its ``input_mean`` is still what rest looks like.

    Raises
    ------
    ModelError
        If something other than a convolution reads the input, a tensor is read before it exists or by
        what cannot read it, a weight is not finite, or an output is never computed or comes at another
        rate than the logits.
    """
    _check(graph)
    nodes: list[Conv | Add] = []
    for node in graph.nodes:
        if isinstance(node, Conv) and node.source == graph.input:
            weight = node.weight.astype(np.float64) / graph.input_scale
            bias = node.bias - graph.input_mean * _sums(weight)
            node = replace(node, weight=weight.astype(np.float32), bias=bias.astype(np.float32))  # noqa: PLW2901
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes), input_scale=1.0)


def _check(graph: Graph) -> None:
    bands = graph.bands
    known = {graph.input}
    for node in graph.nodes:
        sources = (node.source,) if isinstance(node, Conv) else node.sources
        readable = known.issuperset(sources)
        if isinstance(node, Conv2d):
            readable &= node.source == graph.input or node.source in bands
        elif isinstance(node, Add):
            first, second = (bands.get(source) for source in sources)
            readable &= graph.input not in sources and first == second
        if not readable:
            raise ModelError(f"graph node {node.output} cannot read {', '.join(sources)}")
        if isinstance(node, Conv2d) and node.source == graph.input and node.band_pad and graph.input_mean:
            raise ModelError(f"convolution {node.output} pads frames that rest at {graph.input_mean:g}")
        if isinstance(node, Conv) and not (np.isfinite(node.weight).all() and np.isfinite(node.bias).all()):
            raise ModelError(f"convolution {node.output} has weights that are NaN or infinite")
        known.add(node.output)
    for name in graph.outputs.values():
        if name not in known:
            raise ModelError(f"the graph computes no tensor '{name}'")
        if graph.strides[name] != graph.stride:
            raise ModelError(f"the graph's outputs come at different rates: {name}, {graph.logits}")


def _sums(weight: Array) -> Array:
    """The sum of each output channel's weights."""
    sums: Array = weight.reshape(len(weight), -1).sum(axis=1)
    return sums


def run_float(graph: Graph, frames: Frames, output: str = "logits") -> NDArray[np.float32]:
    """Run a whole sequence in float: ``frames [n, n_bands]`` to ``logits [n / stride, n_labels]``.

    ``output`` is a key of :attr:`~edgeaudio.training.graph.Graph.outputs`.
    """
    folded = fold_input(graph)
    return _run_float(folded, frames)[graph.outputs[output]].astype(np.float32)


def run_int8(quantized: QuantizedGraph, frames: Frames, output: str = "logits") -> NDArray[np.float32]:
    """Run a whole sequence in integers, as the runtimes do; as :func:`run_float` otherwise."""
    graph, scales = quantized.graph, quantized.scales
    wanted = graph.outputs[output]
    tensors = {graph.input: scales[graph.input].quantize(frames)}
    for node in graph.nodes:
        tensors[node.output] = _int8_node(quantized, node, tensors)
    return scales[wanted].dequantize(tensors[wanted])


def quantize(
    graph: Graph, calibration: Sequence[Frames], inner: Mapping[str, Sequence[Frames]] | None = None
) -> QuantizedGraph:
    """Quantize ``graph`` to int8.

    Parameters
    ----------
    graph : Graph
        The trained network.
    calibration : sequence of arrays [n, n_bands] float32
        Sequences like those it will hear, quiet ones included: a value never seen here is clipped.
        A few thousand frames are enough; each sequence is cut to whole output frames.
    inner : mapping, optional
        Tensor → further sequences of its values, where no frames are at hand that lead to them: they have
        a say in the scales of all that follows from that tensor alone.

    Raises
    ------
    ModelError
        If there are no calibration frames, or they are not finite.
    """
    folded = fold_input(graph)
    stride = graph.stride
    sequences = [np.asarray(x[: len(x) // stride * stride], np.float32) for x in calibration]
    sequences = [x for x in sequences if len(x)]
    if not sequences or not all(np.isfinite(x).all() for x in sequences):
        raise ModelError("calibration needs at least one sequence of finite frames")
    reals = [_run_float(folded, x) for x in sequences]
    scales = {graph.input: _input_scale(_sample(sequences), graph.input_mean)}
    given = [{name: np.asarray(x, np.float32)} for name, some in (inner or {}).items() for x in some]
    seen = [*reals, *(_run_on(folded, tensors) for tensors in given)]
    for node in folded.nodes:
        values = [tensors[node.output] for tensors in seen if node.output in tensors]
        scales[node.output] = _activation_scale(_sample(values), node.relu)
    quantized = QuantizedGraph(folded, scales, {})
    ints = [{graph.input: scales[graph.input].quantize(x)} for x in sequences]
    for node in folded.nodes:
        if isinstance(node, Conv):
            conv = _quantize_conv(folded, node, scales)
            quantized.convs[node.output] = _correct_bias(quantized, node, conv, reals, ints)
        for tensors in ints:
            tensors[node.output] = _int8_node(quantized, node, tensors)
    return quantized


def _run_float(folded: Graph, frames: Frames) -> dict[str, Array]:
    return _run_on(folded, {folded.input: np.asarray(frames, np.float32)})


def _run_on(folded: Graph, given: Mapping[str, Array]) -> dict[str, Array]:
    """The given tensors, and all that follows from them alone."""
    tensors = dict(given)
    for node in folded.nodes:
        if not tensors.keys() >= {*((node.source,) if isinstance(node, Conv) else node.sources)}:
            continue
        if isinstance(node, Conv):
            rest = folded.input_mean if node.source == folded.input else 0.0
            y = _frames(convolve(tensors[node.source], node, node.weight, rest) + node.bias)
        else:
            y = tensors[node.sources[0]] + tensors[node.sources[1]]
        tensors[node.output] = np.maximum(y, 0.0) if node.relu else y
    return tensors


def _frames(x: Array) -> Array:
    """``[n, ..., channels]`` as one list of values for each frame."""
    return x.reshape(len(x), -1)


def _accumulate(quantized: QuantizedGraph, node: Conv, conv: QuantizedConv, q: Int8s) -> NDArray[np.int64]:
    scale = quantized.scales[node.source]
    # Integers below 2**53 are exact in float64, and only floats have a fast matrix product.
    x = q.astype(np.float64) - scale.zero_point
    acc = convolve(x, node, conv.weight.astype(np.float64), scale.rest - scale.zero_point)
    total: NDArray[np.int64] = acc.astype(np.int64) + conv.bias
    return total


def _int8_node(quantized: QuantizedGraph, node: Conv | Add, tensors: dict[str, Int8s]) -> Int8s:
    scales = quantized.scales
    out = scales[node.output]
    if isinstance(node, Conv):
        conv = quantized.convs[node.output]
        acc = _accumulate(quantized, node, conv, tensors[node.source])
        factor = np.float32(scales[node.source].scale) * conv.weight_scale / np.float32(out.scale)
        return _to_int8(np.rint(_frames(acc.astype(np.float32) * factor)) + out.zero_point)
    first, second = (scales[name].dequantize(tensors[name]) for name in node.sources)
    return out.quantize(first + second)


def _quantize_conv(graph: Graph, node: Conv, scales: dict[str, Scale]) -> QuantizedConv:
    source, out = scales[node.source], scales[node.output]
    flat = np.abs(node.weight.reshape(len(node.weight), -1)).max(axis=1).astype(np.float64)
    # A channel of (nearly) zero weights must neither overflow its bias nor leave the range in
    # which the runtimes can rescale.
    floor = np.maximum(np.abs(node.bias) / (source.scale * 2**30), out.scale / source.scale * 2.0**-24)
    scale = np.maximum(flat / 127.0, floor).astype(np.float32)
    steps = scale.reshape(-1, *(1,) * (node.weight.ndim - 1))
    weight = np.clip(np.rint(node.weight / steps), -127, 127).astype(np.int8)
    # The bias holds -mean * sum(w) with exact weights; at rest the rounded ones must cancel as well:
    # sum w_q (q - zero_point) - (rest - zero_point) * sum w_q  =  sum w_q (q - rest).
    sums = _sums(weight.astype(np.int64))
    mean = graph.input_mean if node.source == graph.input else 0.0
    bias = node.bias + mean * _sums(node.weight.astype(np.float64))
    integers = np.rint(bias / (source.scale * scale.astype(np.float64)))
    integers -= (source.rest - source.zero_point) * sums
    return QuantizedConv(weight, integers.astype(np.int32), scale)


def _correct_bias(
    quantized: QuantizedGraph,
    node: Conv,
    conv: QuantizedConv,
    reals: list[dict[str, Array]],
    ints: list[dict[str, Int8s]],
) -> QuantizedConv:
    """Take the mean error of each channel before the ReLU off its bias."""
    folded = quantized.graph
    unit = quantized.scales[node.source].scale * conv.weight_scale.astype(np.float64)
    rest = folded.input_mean if node.source == folded.input else 0.0
    error, count = np.zeros(len(conv.bias)), 0
    for real, integer in zip(reals, ints, strict=True):
        wanted = convolve(real[node.source], node, node.weight, rest) + node.bias
        got = _accumulate(quantized, node, conv, integer[node.source]) * unit
        error += (got - wanted).reshape(-1, len(conv.bias)).sum(axis=0)
        count += wanted.size // len(conv.bias)
    correction = np.rint(error / count / unit)
    return replace(conv, bias=(conv.bias - correction).astype(np.int32))


def _sample(arrays: Sequence[Array]) -> Array:
    """Evenly spaced values of all arrays, enough to choose a scale."""
    values = np.concatenate([a.ravel() for a in arrays])
    step = max(1, len(values) // _SAMPLES_PER_TENSOR)
    # The extremes must be among the candidates even where the stride misses them.
    return np.concatenate([values[::step], [values.min(), values.max()]]).astype(np.float64)


def _activation_scale(values: Array, relu: bool) -> Scale:
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    if relu:
        return _best(values, lambda part: _range_scale(0.0, high * part))
    return _best(values, lambda part: _range_scale(low * part, high * part))


def _input_scale(values: Array, mean: float) -> Scale:
    low, high = min(float(values.min()), mean), max(float(values.max()), mean)

    def candidate(part: float) -> Scale:
        # QuantizeLinear's zero point is an int8, so the range must contain the real 0.
        start, end = min(mean + (low - mean) * part, 0.0), max(mean + (high - mean) * part, 0.0)
        step = max(end - start, 1e-6) / 255
        # Widen the step a little, so that the mean frame is a whole number of steps: rest is exact.
        steps = int(abs(mean) / step)
        step = abs(mean) / steps if steps else step
        zero_point = int(np.clip(np.rint(-128 - start / step), -128, 127))
        rest = int(np.clip(zero_point + np.rint(mean / step), -128, 127))
        return Scale(float(np.float32(step)), zero_point, rest)

    return _best(values, candidate)


def _range_scale(low: float, high: float) -> Scale:
    step = float(np.float32(max(high - low, 1e-6) / 255))
    zero_point = int(np.clip(np.rint(-128 - low / step), -128, 127))
    return Scale(step, zero_point, zero_point)


def _best(values: Array, candidate: Callable[[float], Scale]) -> Scale:
    """Return the candidate with the least squared error on ``values``."""
    scales = [candidate(part) for part in _SHRINK]
    errors = [float(np.mean((s.dequantize(s.quantize(values)) - values) ** 2)) for s in scales]
    return scales[int(np.argmin(errors))]

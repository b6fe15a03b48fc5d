"""The one description of a streaming network between PyTorch and every exported form.

A :class:`Graph` is a list of causal convolutions and additions in execution order, batch norm
already folded. The float reference, both ONNX files and the TFLite file are written from this one
object, so they cannot drift apart.

Time alignment
--------------
Every convolution is causal and aligned to its *newest* input frame. With kernel ``k``,
dilation ``d`` and stride ``s`` its left context is ``left_pad(k, d, s) = d*(k-1) - (s-1)``::

    k = 5, s = 2, d = 1         state (3 frames)   chunk (4 frames)
                                 a  b  c            0  1  2  3
    first output sees           [a  b  c            0  1]
    second output sees                 [c           0  1  2  3]

so a chunk whose length is a multiple of the total stride yields whole output frames and a
streaming run equals an offline one. ``k >= s`` keeps the context from being negative.

Bands
-----
A frame is a list of channels to a :class:`Conv`. A :class:`Conv2d` moves along the bands of a frame as
well, and each of its output frames is a list of bands with a list of channels each. A Conv reads
such a frame as one list, band after band; that is how a network over time and bands ends::

    frames [n, 40] ── Conv2d ── [n, 18 bands, 16] ── Conv2d ── [n, 3 bands, 48] ── Conv ── [n, n_labels]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Add", "Conv", "Conv2d", "Graph", "left_pad"]


def left_pad(kernel: int, dilation: int, stride: int) -> int:
    """Frames of left context that a causal convolution carries from chunk to chunk."""
    return dilation * (kernel - 1) - (stride - 1)


@dataclass(frozen=True)
class Conv:
    """A causal convolution, optionally followed by ReLU.

    ``weight`` has shape ``[out, in // groups, kernel]``, ``bias`` ``[out]``; both float32.
    """

    source: str
    output: str
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    relu: bool = False

    @property
    def context(self) -> int:
        """Frames of state: 0 means that no state tensor exists."""
        return left_pad(self.weight.shape[2], self.dilation, self.stride)


@dataclass(frozen=True)
class Conv2d(Conv):
    """A convolution over time, where it is causal, and bands, optionally followed by ReLU.

    ``weight`` has shape ``[out, in // groups, kernel, band_kernel]``; stride and dilation are those in
    time. It reads the graph's input, as bands of one channel each, or another Conv2d. At either edge
    it sees ``band_pad`` bands of zeros; none where it reads an input whose frames at rest are not zero.
    """

    band_stride: int = 1
    band_pad: int = 0

    def bands(self, bands: int) -> int:
        """Bands of the output where the source has ``bands``."""
        kernel = int(self.weight.shape[3])
        return (bands + 2 * self.band_pad - kernel) // self.band_stride + 1


@dataclass(frozen=True)
class Add:
    """A residual sum of two tensors of equal shape, optionally followed by ReLU."""

    sources: tuple[str, str]
    output: str
    relu: bool = False


@dataclass(frozen=True)
class Graph:
    """A streaming network: ``frames [n, n_bands]`` in, ``logits [n / stride, n_labels]`` out.

    ``input_mean`` and ``input_scale`` normalise the frames: ``(frames - mean) / scale``. Left
    context starts as zeros *after* normalisation, that is, as frames equal to the mean.

    ``embedding`` names the tensor that is given out beside the logits, one row for each of theirs: what
    the network makes of what it hears before it decides between labels. None gives out logits only.
    """

    n_bands: int
    input_mean: float
    input_scale: float
    nodes: tuple[Conv | Add, ...]
    input: str = "frames"
    logits: str = "logits"
    embedding: str | None = None

    @property
    def stride(self) -> int:
        """Input frames per output frame."""
        return self.strides[self.logits]

    @property
    def strides(self) -> dict[str, int]:
        """Input frames per frame of every tensor."""
        strides = {self.input: 1}
        for node in self.nodes:
            if isinstance(node, Conv):
                strides[node.output] = strides[node.source] * node.stride
            else:
                strides[node.output] = strides[node.sources[0]]
        return strides

    @property
    def outputs(self) -> dict[str, str]:
        """The tensor behind each output of the exported graphs."""
        return {"logits": self.logits} | ({} if self.embedding is None else {"embedding": self.embedding})

    @property
    def embedding_width(self) -> int:
        """Values of an embedding; 0 without one."""
        return 0 if self.embedding is None else self.shapes(self.stride)[self.embedding][0]

    @property
    def receptive_field_frames(self) -> int:
        """Input frames that one output frame depends on."""
        # (frames seen, input frames per frame) of each tensor; at an addition the longer one counts.
        seen = {self.input: (1, 1)}
        for node in self.nodes:
            if isinstance(node, Conv):
                frames, step = seen[node.source]
                frames += (node.weight.shape[2] - 1) * node.dilation * step
                seen[node.output] = (frames, step * node.stride)
            else:
                seen[node.output] = max(seen[source] for source in node.sources)
        return seen[self.logits][0]

    @property
    def bands(self) -> dict[str, int]:
        """How many bands the frames of a tensor have; tensors that are no Conv2d's are not in it."""
        bands: dict[str, int] = {}
        for node in self.nodes:
            if isinstance(node, Conv2d):
                # Whatever else a Conv2d should not read is refused before anything is computed.
                bands[node.output] = node.bands(bands.get(node.source, self.n_bands))
            elif isinstance(node, Add) and node.sources[0] in bands:
                bands[node.output] = bands[node.sources[0]]
        return bands

    def shapes(self, step_frames: int) -> dict[str, tuple[int, int]]:
        """``(values a frame, frames)`` of every tensor when ``step_frames`` frames come in at once."""
        bands, shapes = self.bands, {self.input: (self.n_bands, step_frames)}
        for node in self.nodes:
            if isinstance(node, Conv):
                values = len(node.weight) * bands.get(node.output, 1)
                shapes[node.output] = (values, shapes[node.source][1] // node.stride)
            else:
                shapes[node.output] = shapes[node.sources[0]]
        return shapes

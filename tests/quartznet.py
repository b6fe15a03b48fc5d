"""Small networks built like QuartzNet, as ONNX files in the forms in which such networks are published."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["Export", "infer"]

_BANDS, _WIDTH, _LABELS = 64, 16, 29
KERNEL, LAST_KERNEL, LAST_DILATION = 5, 7, 2
BLOCKS, REPEATS = 2, 2
RADIUS = 2 + 2 * (2 * BLOCKS * REPEATS + LAST_DILATION * 3)
"""Input frames on either side that an output frame depends on."""


class Export:
    """Builds one file; options are the differences between exporters.

    ``names`` are those of input and output, ``folded`` says whether batch norm is, ``masks`` adds lengths
    and masks, ``softmax`` ends with a log-softmax, ``quantized`` puts QuantizeLinear / DequantizeLinear
    pairs everywhere but at both ends, ``twice`` also between convolutions and their ReLUs.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        names: tuple[str, str] = ("audio_signal", "logprobs"),
        folded: bool = True,
        masks: bool = False,
        softmax: bool = True,
        quantized: bool = False,
        twice: bool = False,
        n_bands: int = _BANDS,
        n_labels: int = _LABELS,
        n_frames: int | str = "T",
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.folded, self.masks, self.quantized, self.twice = folded, masks, quantized, twice
        self.nodes: list[Any] = []
        self.consts: list[Any] = []
        source, output = names
        inputs = [helper.make_tensor_value_info(source, TensorProto.FLOAT, ["N", n_bands, n_frames])]
        if masks:
            inputs.append(helper.make_tensor_value_info("length", TensorProto.INT64, ["N"]))
            self.mask(source)
        x = self.separable(source, n_bands, _WIDTH, KERNEL, stride=2, plain=True)
        for _ in range(BLOCKS):
            x = self.block(x)
        x = self.separable(x, _WIDTH, _WIDTH, LAST_KERNEL, dilation=LAST_DILATION)
        x = self.conv(x, _WIDTH, n_labels, 1, gain=2.0, plain=True)
        x = self.op("Transpose", [x], perm=[0, 2, 1])
        x = self.op("LogSoftmax", [x], axis=-1) if softmax else x
        self.nodes[-1].output[0] = output
        shape = ["N", "T'", n_labels]
        graph = helper.make_graph(
            self.nodes,
            "net",
            inputs,
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
            initializer=self.consts,
        )
        self.model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
        onnx.checker.check_model(self.model)

    @property
    def data(self) -> bytes:
        """The file."""
        return bytes(self.model.SerializeToString())

    def block(self, x: str) -> str:
        beside = self.conv(x, _WIDTH, _WIDTH, 1)
        for _ in range(REPEATS - 1):
            x = self.separable(x, _WIDTH, _WIDTH, KERNEL)
        x = self.conv(x, _WIDTH, _WIDTH, KERNEL, groups=_WIDTH)
        x = self.op("Add", [self.conv(x, _WIDTH, _WIDTH, 1), beside])
        return self.requantize(self.op("Relu", [x]), 0)

    def separable(self, x: str, n_in: int, n_out: int, kernel: int, **options: Any) -> str:
        x = self.conv(x, n_in, n_in, kernel, groups=n_in, **options)
        x = self.conv(x, n_in, n_out, 1, relu=True)
        return self.requantize(self.op("Relu", [x]), 0)

    def conv(
        self,
        x: str,
        n_in: int,
        n_out: int,
        kernel: int,
        *,
        groups: int = 1,
        stride: int = 1,
        dilation: int = 1,
        gain: float = 1.0,
        plain: bool = False,
        relu: bool = False,
    ) -> str:
        shape = (n_out, n_in // groups, kernel)
        weight = gain * self.rng.standard_normal(shape) * np.sqrt(2 / (shape[1] * kernel))
        inputs = [self.masked(x) if kernel > 1 else x, self.weight(weight, plain)]
        if self.folded:
            inputs.append(self.const(0.3 * self.rng.standard_normal(n_out)))
        pad = dilation * (kernel - 1) // 2
        x = self.op(
            "Conv",
            inputs,
            kernel_shape=[kernel],
            strides=[stride],
            dilations=[dilation],
            group=groups,
            pads=[pad, pad],
        )
        if not self.folded:
            scale, shift, mean = 1 + 0.2 * self.rng.standard_normal((3, n_out))
            variance = self.rng.uniform(0.5, 2.0, n_out)
            statistics = [self.const(values) for values in (scale, shift, mean, variance)]
            x = self.op("BatchNormalization", [x, *statistics], epsilon=1e-3)
        last = plain and kernel == 1
        return x if last or (relu and not self.twice) else self.requantize(x, 128)

    def weight(self, values: Any, plain: bool) -> str:
        if not self.quantized or plain:
            return self.const(values)
        scale = np.abs(values).max(axis=(1, 2)) / 127
        whole = self.const(np.round(values / scale[:, None, None]), np.int8)
        zeros = self.const(np.zeros(len(scale)), np.int8)
        return self.op("DequantizeLinear", [whole, self.const(scale), zeros], axis=0)

    def requantize(self, x: str, zero_point: int) -> str:
        if not self.quantized:
            return x
        numbers = [self.const(12.0 / 255), self.const(zero_point, np.uint8)]
        return self.op("DequantizeLinear", [self.op("QuantizeLinear", [x, *numbers]), *numbers])

    def mask(self, source: str) -> None:
        """Make the condition that frames lie behind the length, as torch exports NeMo's masks."""
        shape = self.op("Shape", [source])
        n = self.op("Gather", [shape, self.const(2, np.int64)], axis=0)
        moments = self.op("Range", [self.const(0, np.int64), n, self.const(1, np.int64)])
        column = self.op("Unsqueeze", ["length", self.const([1], np.int64)])
        inside = self.op("Less", [moments, column])
        outside = self.op("Not", [inside])
        self.beyond = self.op("Unsqueeze", [outside, self.const([1], np.int64)])

    def masked(self, x: str) -> str:
        # Of the input only: behind the stride, the length would be another.
        if not self.masks or x != "audio_signal":
            return x
        return self.op("Where", [self.beyond, self.const(0.0), x])

    def const(self, values: Any, dtype: Any = np.float32) -> str:
        name = f"const_{len(self.consts)}"
        self.consts.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def op(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        name = f"x_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name


def infer(data: bytes, features: Any) -> Any:
    """Run a file over whole features ``[n, 64]``; returns ``[n / 2, 29]``."""
    import onnxruntime as ort

    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    values = [features.T[None].astype(np.float32), np.array([len(features)], np.int64)]
    return session.run(None, dict(zip(names, values, strict=False)))[0][0]

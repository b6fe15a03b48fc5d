"""Write a quantized graph as a streaming int8 TFLite file, tensor by tensor, without TensorFlow.

Time lies along the width of NHWC tensors: ``[1, 1, frames, channels]``. For each convolution with
left context ``c``, fed ``n`` frames a step::

    state_X [1, 1, c, C] ──┐
                           CONCATENATION ── [1, 1, c + n, C] ──┬── CONV_2D ── X
    source  [1, 1, n, C] ──┘                                   └── SLICE, last c ── next_state_X

Frames of bands lie along the height instead, ``[1, frames, bands, channels]``.

The ReLU of a layer is its output's zero point of -128, so no fused activation is needed. Scales and
integers are those of the ONNX file.

Source: the TFLite schema, https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.errors import MissingDependencyError, ModelError
from edgeaudio.training.graph import Add, Conv, Conv2d
from edgeaudio.training.quantize import QuantizedGraph, Scale

__all__ = ["export_tflite"]

SIGNATURE = "serving_default"

# Operator versions: the lowest that take int8 (tensorflow/compiler/mlir/lite/tools/versioning/op_version.cc).
_VERSIONS = {
    "ADD": 2,
    "CONCATENATION": 2,
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "DEQUANTIZE": 2,
    "PAD": 2,
    "QUANTIZE": 1,
    "RESHAPE": 1,
    "SLICE": 2,
}


def export_tflite(quantized: QuantizedGraph, step_frames: int) -> bytes:
    """Return the int8 graph as a TFLite file with the signature ``serving_default``.

    Raises
    ------
    ModelError
        If a convolution is grouped but not depthwise.
    MissingDependencyError
        If the package with the schema is not installed.
    """
    return _Writer(quantized, step_frames).write()


class _Writer:
    """Walks the graph once and collects tensors, buffers and operators."""

    def __init__(self, quantized: QuantizedGraph, step_frames: int) -> None:
        try:
            from ai_edge_litert import schema_py_generated as schema
        except ImportError as exc:
            raise MissingDependencyError(
                f"cannot write TFLite: {exc}", hint="pip install 'edgeaudio[train]'"
            ) from exc
        self.schema: Any = schema
        self.quantized = quantized
        self.graph = quantized.graph
        self.step_frames = step_frames
        self.shapes, self.bands = self.graph.shapes(step_frames), self.graph.bands
        self.tensors: list[Any] = []
        self.buffers: list[Any] = [schema.BufferT()]  # buffer 0 is empty by convention
        self.operators: list[Any] = []
        self.codes: list[str] = []
        self.inputs: dict[str, int] = {}
        self.outputs: dict[str, int] = {}
        self.index: dict[str, int] = {}

    def write(self) -> bytes:
        graph, scales = self.graph, self.quantized.scales
        self.inputs["frames"] = self.tensor("frames", (1, self.step_frames, graph.n_bands), np.float32)
        flat = self.tensor("q_frames", (1, self.step_frames, graph.n_bands), np.int8, scales[graph.input])
        self.op("QUANTIZE", [self.inputs["frames"]], flat)
        self.op(
            "RESHAPE", [flat, self.ints((1, 1, self.step_frames, graph.n_bands))], self.value(graph.input)
        )
        for node in graph.nodes:
            if isinstance(node, Conv):
                self.convolve(node, self.extend(node))
            else:
                self.add(node)
        for output, source in graph.outputs.items():
            self.give_out(source, output)
        return self.pack()

    def give_out(self, source: str, output: str) -> None:
        width, n_out = self.shapes[source]
        shape = (1, n_out, width)
        flat = self.tensor(f"q_{output}", shape, np.int8, self.quantized.scales[source])
        self.op("RESHAPE", [self.index[source], self.ints(shape)], flat)
        self.outputs[output] = self.tensor(output, shape, np.float32)
        self.op("DEQUANTIZE", [flat], self.outputs[output])

    def extend(self, node: Conv) -> int:
        """Put the convolution's context before its source; return the index of the whole."""
        context, (values, frames) = node.context, self.shapes[node.source]
        bands = self.bands.get(node.source, values) if isinstance(node, Conv2d) else 0
        source = self.reshaped(node.source, bands)
        if context == 0:
            return source
        scale = self.quantized.scales[node.source]
        shape = _shape(values, bands, context)
        name = f"state_{node.output}"
        self.inputs[name] = self.tensor(name, shape, np.int8, scale)
        whole = _shape(values, bands, context + frames)
        extended = self.tensor(f"extended_{node.output}", whole, np.int8, scale)
        options = self.schema.ConcatenationOptionsT()
        options.axis = 1 if bands else 2
        self.op("CONCATENATION", [self.inputs[name], source], extended, options)
        self.outputs[f"next_{name}"] = self.tensor(f"next_{name}", shape, np.int8, scale)
        self.op(
            "SLICE",
            [extended, self.ints((0, frames, 0, 0) if bands else (0, 0, frames, 0)), self.ints(shape)],
            self.outputs[f"next_{name}"],
            self.schema.SliceOptionsT(),
        )
        return extended

    def convolve(self, node: Conv, source: int) -> None:
        conv = self.quantized.convs[node.output]
        depthwise = node.groups > 1
        outputs, per_group = conv.weight.shape[:2]
        if depthwise and per_group != 1:
            raise ModelError(f"convolution {node.output}: groups must be 1 or one for each input channel")
        if isinstance(node, Conv2d):
            weight = conv.weight
            source = self.pad(node, source)
        else:
            weight = conv.weight[:, :, None]
        # [out, in, height, width] to [out, height, width, in], or for depthwise ones [1, height, width, out].
        weight = weight.transpose((1, 2, 3, 0) if depthwise else (0, 2, 3, 1))
        input_scale = np.float32(self.quantized.scales[node.source].scale)
        inputs = [
            source,
            self.constant(f"weight_{node.output}", weight, conv.weight_scale, axis=3 if depthwise else 0),
            self.constant(f"bias_{node.output}", conv.bias, conv.weight_scale * input_scale),
        ]
        schema = self.schema
        options = schema.DepthwiseConv2DOptionsT() if depthwise else schema.Conv2DOptionsT()
        options.padding = schema.Padding.VALID
        if isinstance(node, Conv2d):
            options.strideH, options.strideW = node.stride, node.band_stride
            options.dilationHFactor = node.dilation
        else:
            options.strideH, options.strideW = 1, node.stride
            options.dilationWFactor = node.dilation
        if depthwise:
            options.depthMultiplier = outputs // node.groups
        self.op("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", inputs, self.value(node.output), options)

    def pad(self, node: Conv2d, source: int) -> int:
        """Put bands of zeros around those of a convolution's source: SAME would pad the time as well."""
        if node.band_pad == 0:
            return source
        _, frames, bands, channels = self.tensors[source].shape
        margin = node.band_pad
        padded = self.tensor(
            f"padded_{node.output}",
            (1, int(frames), int(bands) + 2 * margin, int(channels)),
            np.int8,
            self.quantized.scales[node.source],
        )
        around = np.array([[0, 0], [0, 0], [margin, margin], [0, 0]], np.int32)
        paddings = self.once(f"paddings_{margin}", lambda name: self.constant(name, around))
        self.op("PAD", [source, paddings], padded, self.schema.PadOptionsT())
        return padded

    def reshaped(self, name: str, bands: int) -> int:
        """Return a tensor whose frames have so many bands, or are one list where there are 0."""
        if bands == self.bands.get(name, 0):
            return self.index[name]
        shape = _shape(self.shapes[name][0], bands, self.shapes[name][1])

        def make(new: str) -> int:
            index = self.tensor(new, shape, np.int8, self.quantized.scales[name])
            self.op("RESHAPE", [self.index[name], self.ints(shape)], index)
            return index

        return self.once(f"x_{name}_{'bands' if bands else 'flat'}", make)

    def once(self, name: str, make: Callable[[str], int]) -> int:
        if name not in self.index:
            self.index[name] = make(name)
        return self.index[name]

    def add(self, node: Add) -> None:
        inputs = [self.index[name] for name in node.sources]
        self.op("ADD", inputs, self.value(node.output), self.schema.AddOptionsT())

    def value(self, name: str) -> int:
        """Make the activation tensor ``name`` of the graph."""
        values, frames = self.shapes[name]
        shape = _shape(values, self.bands.get(name, 0), frames)
        self.index[name] = self.tensor(f"x_{name}", shape, np.int8, self.quantized.scales[name])
        return self.index[name]

    def ints(self, values: tuple[int, ...]) -> int:
        name = "ints_" + "_".join(str(value) for value in values)
        return self.once(name, lambda name: self.constant(name, np.array(values, np.int32)))

    def constant(
        self, name: str, data: NDArray[Any], scale: NDArray[np.float32] | None = None, axis: int = 0
    ) -> int:
        index = self.tensor(name, data.shape, data.dtype.type)
        tensor = self.tensors[index]
        tensor.buffer = len(self.buffers)
        self.buffers.append(_aligned_buffer(self.schema, data))
        if scale is not None:
            tensor.quantization = self.quantization(scale, np.zeros(len(scale), np.int64), axis)
        return index

    def tensor(self, name: str, shape: tuple[int, ...], dtype: Any, scale: Scale | None = None) -> int:
        types = self.schema.TensorType
        tensor = self.schema.TensorT()
        tensor.name = name
        tensor.shape = np.array(shape, np.int32)
        tensor.type = {np.float32: types.FLOAT32, np.int8: types.INT8, np.int32: types.INT32}[dtype]
        if scale is not None:
            zero_point = np.array([scale.zero_point], np.int64)
            tensor.quantization = self.quantization(np.array([scale.scale], np.float32), zero_point, 0)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def quantization(self, scale: NDArray[np.float32], zero_point: NDArray[np.int64], axis: int) -> Any:
        parameters = self.schema.QuantizationParametersT()
        parameters.scale, parameters.zeroPoint, parameters.quantizedDimension = scale, zero_point, axis
        return parameters

    def op(self, code: str, inputs: list[int], output: int, options: Any = None) -> None:
        if code not in self.codes:
            self.codes.append(code)
        operator = self.schema.OperatorT()
        operator.opcodeIndex = self.codes.index(code)
        operator.inputs = np.array(inputs, np.int32)
        operator.outputs = np.array([output], np.int32)
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, kind)
            operator.builtinOptions = options
        self.operators.append(operator)

    def pack(self) -> bytes:
        import flatbuffers

        schema = self.schema
        subgraph = schema.SubGraphT()
        subgraph.name = "main"
        subgraph.tensors, subgraph.operators = self.tensors, self.operators
        subgraph.inputs = np.array(list(self.inputs.values()), np.int32)
        subgraph.outputs = np.array(list(self.outputs.values()), np.int32)
        signature = schema.SignatureDefT()
        signature.signatureKey = SIGNATURE
        signature.inputs = [self.named(*item) for item in self.inputs.items()]
        signature.outputs = [self.named(*item) for item in self.outputs.items()]
        model = schema.ModelT()
        model.version = 3
        model.description = "edgeaudio"
        model.operatorCodes = [self.code(name) for name in self.codes]
        model.subgraphs, model.buffers, model.signatureDefs = [subgraph], self.buffers, [signature]
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def named(self, name: str, index: int) -> Any:
        entry = self.schema.TensorMapT()
        entry.name, entry.tensorIndex = name, index
        return entry

    def code(self, name: str) -> Any:
        code = self.schema.OperatorCodeT()
        code.builtinCode = getattr(self.schema.BuiltinOperator, name)
        # Readers from before 2020 look here; it holds codes up to 127 only, as all of ours are.
        code.deprecatedBuiltinCode = code.builtinCode
        code.version = _VERSIONS[name]
        return code


def _shape(values: int, bands: int, frames: int) -> tuple[int, ...]:
    """Shape of a tensor with so many values a frame, divided into bands or, where there are 0, not."""
    return (1, frames, bands, values // bands) if bands else (1, 1, frames, values)


def _aligned_buffer(schema: Any, data: NDArray[Any]) -> Any:
    """Hold constant data at the 16-byte alignment that the schema demands.

    The generated ``BufferT`` ignores the schema's ``force_align``, and a kernel may load vectors.
    """

    class Buffer(schema.BufferT):
        def Pack(self, builder: Any) -> Any:  # noqa: N802 - the generated code's name
            content = data.astype(data.dtype.newbyteorder("<")).tobytes()
            builder.StartVector(1, len(content), 16)
            for byte in reversed(content):
                builder.PrependByte(byte)
            vector = builder.EndVector()
            schema.BufferStart(builder)
            schema.BufferAddData(builder, vector)
            return schema.BufferEnd(builder)

    return Buffer()

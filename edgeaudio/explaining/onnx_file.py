"""What edgeaudio's own ONNX files hold, read without the package onnx.

An ONNX file is a message of protocol buffers: fields, each a number, a type and a value, one after the
other (https://protobuf.dev/programming-guides/encoding). The numbers of ONNX's fields stand in its
`onnx.proto`. Only what :mod:`edgeaudio.training.export_onnx` writes is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.errors import ModelError

__all__ = ["Node", "OnnxGraph", "read_onnx"]

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER = 1, 5
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE = 1, 2, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_INT, _ATTRIBUTE_INTS = 1, 3, 8
_TENSOR_DIMENSIONS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_DATA = 1, 2, 8, 9
_DTYPES = {1: "<f4", 2: "u1", 3: "i1", 6: "<i4", 7: "<i8"}
"""TensorProto.DataType: float, uint8, int8, int32, int64."""


@dataclass(frozen=True)
class Node:
    """One operator; of its attributes, those that are integers or lists of them."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class OnnxGraph:
    """Operators in order of execution, and the constants by name."""

    nodes: tuple[Node, ...]
    constants: dict[str, NDArray[Any]]


def read_onnx(data: bytes, what: str) -> OnnxGraph:
    """Read an ONNX file.

    Parameters
    ----------
    data : bytes
        The file.
    what : str
        How messages call it.

    Raises
    ------
    ModelError
        It is no ONNX file, or holds what edgeaudio does not write.
    """
    try:
        [graph] = (value for field, value in _fields(data) if field == _MODEL_GRAPH)
        body = list(_fields(graph))
        constants = dict(_constant(value) for field, value in body if field == _GRAPH_INITIALIZER)
        return OnnxGraph(tuple(_node(value) for field, value in body if field == _GRAPH_NODE), constants)
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise ModelError(f"{what} is no ONNX file that edgeaudio has written: {error}") from error


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield the number and the value of each field: an int, or bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        field, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield field, value
            continue
        if kind == _BYTES:
            length, at = _varint(data, at)
        elif kind in {_EIGHT_BYTES, _FOUR_BYTES}:
            length = 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"field {field} has the unknown type {kind}")
        if at + length > len(data):
            raise ValueError("it ends in the middle of a field")
        yield field, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at `at`, seven bits a byte, and where it ends."""
    value = 0
    for shift in range(0, 64, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number has no end")


def _integers(values: Sequence[Any]) -> tuple[int, ...]:
    """Return repeated numbers, packed into one field or each in its own."""
    numbers: list[int] = []
    for value in values:
        at = 0
        if isinstance(value, int):
            numbers.append(value)
            continue
        while at < len(value):
            number, at = _varint(value, at)
            numbers.append(number)
    return tuple(numbers)


def _node(data: bytes) -> Node:
    fields = list(_fields(data))

    def names(wanted: int) -> tuple[str, ...]:
        return tuple(value.decode() for field, value in fields if field == wanted)

    attributes = dict(_attribute(value) for field, value in fields if field == _NODE_ATTRIBUTE)
    [operator] = names(_NODE_OPERATOR)
    return Node(operator, names(_NODE_INPUT), names(_NODE_OUTPUT), attributes)


def _attribute(data: bytes) -> tuple[str, tuple[int, ...]]:
    fields = list(_fields(data))
    [name] = (value.decode() for field, value in fields if field == _ATTRIBUTE_NAME)
    return name, _integers([value for field, value in fields if field in {_ATTRIBUTE_INT, _ATTRIBUTE_INTS}])


def _constant(data: bytes) -> tuple[str, NDArray[Any]]:
    fields = list(_fields(data))
    [name] = (value.decode() for field, value in fields if field == _TENSOR_NAME)
    [kind] = (value for field, value in fields if field == _TENSOR_TYPE)
    [raw] = (value for field, value in fields if field == _TENSOR_DATA)
    shape = _integers([value for field, value in fields if field == _TENSOR_DIMENSIONS])
    return name, np.frombuffer(raw, _DTYPES[kind]).reshape(shape)

"""Networks of centred convolutions: read in all published forms, and the same on a stream as on a whole."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeaudio.errors import ModelError
from edgeaudio.models.convnet_onnx import Geometry, mirror_places, write_stream
from edgeaudio.models.convnet_reader import read_convnet
from tests.quartznet import RADIUS, Export, infer

FORMS = {
    "as NeMo exports it": {},
    "other names, fixed length": {"names": ("features", "output"), "n_frames": 192},
    "batch norm apart": {"folded": False},
    "lengths and masks": {"masks": True},
    "without a softmax": {"softmax": False},
    "quantized": {"quantized": True},
}


def features(n, seed=1):
    return np.random.default_rng(seed).standard_normal((n, 64)).astype(np.float32)


def log_softmax(logits):
    logits = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


class Stream:
    """A network, a file or what was read from one, written for a stream and run window after window."""

    def __init__(self, data, geometry, *, mirrored=False, **options):
        import onnxruntime as ort

        net = read_convnet(data, "net") if isinstance(data, bytes) else data
        graph = write_stream(net, geometry, mirrored=mirrored, **options)
        self.geometry = geometry
        self.session = ort.InferenceSession(graph.data, providers=["CPUExecutionProvider"])
        self.states = {
            value.name: np.full(
                value.shape, graph.states[value.name], np.uint8 if "uint8" in value.type else np.float32
            )
            for value in self.session.get_inputs()[1:]
        }

    def run(self, frames):
        logits, *states = self.session.run(None, {"frames": frames[None], **self.states})
        names = [value.name.removeprefix("next_") for value in self.session.get_outputs()[1:]]
        self.states = dict(zip(names, states, strict=True))
        return logits[0]

    def hear(self, frames):
        """Run over frames as often as the look-ahead lasts; zeros stand before them."""
        left, chunk = self.geometry.left, self.geometry.chunk
        padded = np.concatenate((np.zeros((left, 64), np.float32), frames))
        starts = range(0, len(frames) - chunk - self.geometry.lookahead + 1, chunk)
        return np.concatenate([self.run(padded[at : at + self.geometry.window]) for at in starts])


@pytest.mark.parametrize("form", FORMS)
def test_a_run_over_the_whole_is_what_the_file_computes(form):
    export = Export(**FORMS[form])
    x = features(192)
    answer = infer(export.data, x)
    found = Stream(export.data, Geometry(0, len(x), 0)).hear(x)
    # Float sums in another order. Quantized, onnxruntime may round sums of two to the other side.
    atol = 0.1 if form == "quantized" else 1e-4
    np.testing.assert_allclose(log_softmax(found), log_softmax(answer), atol=atol, rtol=1e-5)


@pytest.mark.parametrize("form", ["as NeMo exports it", "quantized"])
@pytest.mark.parametrize("signed", [True, False])
def test_with_enough_lookahead_a_stream_equals_the_whole(form, signed):
    data = Export(**FORMS[form]).data
    x = features(400)
    whole = Stream(data, Geometry(0, len(x), 0)).hear(x)
    lookahead = RADIUS + RADIUS % 2
    states = Stream(data, Geometry(0, 16, lookahead), signed=signed).hear(x)
    # As far as the look-ahead ends before the recording; integers are exact, float sums nearly.
    atol = 0 if form == "quantized" else 1e-4
    assert len(states) > 150
    np.testing.assert_allclose(states, whole[: len(states)], atol=atol, rtol=0)


def test_windows_with_enough_on_both_sides_equal_the_whole():
    data = Export().data
    x = features(400)
    whole = Stream(data, Geometry(0, len(x), 0)).hear(x)
    reach = RADIUS + RADIUS % 2
    windows = Stream(data, Geometry(reach, 16, reach)).hear(x)
    # Zeros before the recording are not what convolutions pad with further up, but for that it is exact.
    begin = reach // 2
    np.testing.assert_allclose(windows[begin:], whole[begin : len(windows)], atol=1e-4, rtol=0)


def test_behind_the_window_the_last_frames_are_seen_in_a_mirror():
    assert mirror_places(5, 3).tolist() == [3, 2, 1]
    assert mirror_places(3, 4).tolist() == [1, 0, 0, 0]
    data = Export().data
    x = features(32)
    reach = RADIUS + RADIUS % 2
    # One convolution on its own: a mirror behind it is a mirror behind its input.
    net = read_convnet(data, "net")
    first = replace(net, nodes=net.nodes[:1], logits=net.nodes[0].output)
    alone = Stream(first, Geometry(0, 32, 0), mirrored=True).hear(x)
    beyond = np.concatenate((x, x[mirror_places(32, reach)]))
    known = Stream(first, Geometry(0, 32, reach)).hear(beyond)
    np.testing.assert_allclose(alone, known, atol=1e-5)


def test_mirrored_or_not_makes_no_difference_where_all_is_known():
    data, x = Export(quantized=True).data, features(400)
    reach = RADIUS + RADIUS % 2
    plain, mirrored = (Stream(data, Geometry(0, 16, reach), mirrored=m).hear(x) for m in (False, True))
    np.testing.assert_array_equal(plain, mirrored)


def test_a_shorter_lookahead_sees_no_further():
    data = Export().data
    x = features(200)
    other = x.copy()
    other[100:] += 1.0
    one, two = (Stream(data, Geometry(0, 20, 20)).hear(frames) for frames in (x, other))
    # Chunks of ten output frames; the fourth ends at frame 80 and hears up to 100.
    np.testing.assert_array_equal(one[:40], two[:40])
    assert np.abs(one[40:50] - two[40:50]).max() > 0.1


def test_what_a_relu_takes_away_is_not_given_values():
    one = read_convnet(Export(quantized=True).data, "net")
    two = read_convnet(Export(quantized=True, twice=True).data, "net")
    for node in two.nodes:
        if node.relu:
            assert two.scales[node.output] == one.scales[node.output]


def conv_net(*nodes, shape=("N", 64, "T"), weights=None, external=False):
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        initializer=[
            numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in (weights or {}).items()
        ],
    )
    model = helper.make_model(graph)
    if external:
        onnx.external_data_helper.convert_model_to_external_data(model, size_threshold=0)
        onnx.external_data_helper.set_external_data(model.graph.initializer[0], "weights.bin")
    return model.SerializeToString()


def node(kind, *inputs, **attributes):
    return helper.make_node(kind, list(inputs), ["y"], name="odd", **attributes)


WEIGHT = {"w": np.ones((29, 64, 3))}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no ONNX file"),
        (b"\x00\x01\x02" * 100, "no ONNX file"),
        (Export().data[:-1000], "no ONNX file"),
        (conv_net(node("Relu", "x")), "begins with a ReLU"),
        (conv_net(node("Softplus", "x")), r"node Softplus \(odd\)"),
        (conv_net(node("Conv", "x", "w", pads=[2, 0]), weights=WEIGHT), "not padded alike"),
        (conv_net(node("Conv", "x", "w"), weights=WEIGHT), "not padded alike"),
        (conv_net(node("Conv", "x", "w", auto_pad="SAME_UPPER"), weights=WEIGHT), "not padded alike"),
        (conv_net(node("Conv", "x", "v", pads=[1, 1])), "input v of Conv is no constant"),
        (conv_net(node("Add", "x", "w"), weights=WEIGHT), "adds a constant"),
        (
            conv_net(node("Conv", "x", "w", pads=[1, 1]), shape=("N", "T"), weights=WEIGHT),
            "none of its inputs",
        ),
        (conv_net(node("Conv", "x", "w", pads=[1, 1]), weights=WEIGHT, external=True), "outside the file"),
        (conv_net(node("Conv", "x", "w", "b", pads=[1, 1]), weights={**WEIGHT, "b": [0.0]}), "1 biases"),
        (
            conv_net(node("Conv", "x", "w", pads=[1, 1]), shape=("N", 8, "T"), weights=WEIGHT),
            "the 8 channels",
        ),
        (conv_net(node("Conv", "x")), "do not fit each other"),
    ],
)
def test_anything_else_is_refused_with_the_reason(data, why):
    with pytest.raises(ModelError, match=why):
        read_convnet(data, "net.onnx")


def test_whatever_is_damaged_is_refused_with_words():
    forms = [onnx.load_from_string(Export(**form).data) for form in FORMS.values()]
    rng = random.Random(1)
    refused = 0
    for _ in range(200):
        model = onnx.ModelProto()
        model.CopyFrom(rng.choice(forms))
        damaged, tensor = rng.choice(model.graph.node), rng.choice(model.graph.initializer)
        part = rng.randrange(5)
        if part == 0:
            damaged.op_type = rng.choice(
                ["Add", "Conv", "Mul", "Transpose", "BatchNormalization", "constant"]
            )
        elif part == 1:
            del damaged.input[rng.randrange(len(damaged.input)) :]
        elif part == 2:
            tensor.data_type = rng.choice([TensorProto.INT8, TensorProto.STRING, 99])
        elif part == 3:
            tensor.dims.append(rng.choice([-1, 0, 1, 2**40]))
        else:
            model.graph.node.remove(damaged)
        try:
            read_convnet(model.SerializeToString(), "net.onnx")
        except ModelError:
            refused += 1
    assert refused > 100  # the others lost what does not matter: a mask, a quantization


def test_only_its_last_convolution_may_be_what_comes_out():
    export = Export()
    export.model.graph.output[0].name = "x_0"
    with pytest.raises(ModelError, match="not that of its last convolution"):
        read_convnet(export.model.SerializeToString(), "net.onnx")

"""Quantizing a float network by what it hears."""

from __future__ import annotations

import numpy as np

from edgeaudio.models.convnet import Conv
from edgeaudio.models.convnet_onnx import Geometry
from edgeaudio.models.convnet_quantize import quantize_convnet
from edgeaudio.models.convnet_reader import read_convnet
from tests.models.test_convnet import Stream, features
from tests.quartznet import Export


def quantized(net, *heard):
    return quantize_convnet(net, heard or [features(1100)])


def test_answers_nearly_as_in_float():
    data, x = Export(folded=False).data, features(512, seed=2)
    net = read_convnet(data, "net")
    geometry = Geometry(0, len(x), 0)
    exact = Stream(net, geometry).hear(x)
    found = Stream(quantized(net), geometry).hear(x)
    # Some twenty roundings, each 1 % of what goes through: a step is 1/255 of about eight deviations.
    assert np.std(found - exact) < 0.08 * np.std(exact)
    assert np.std(found - exact) > 0


def test_everything_between_the_first_and_the_last_convolution_is_integer():
    net = quantized(read_convnet(Export().data, "net"))
    convs = [node for node in net.nodes if isinstance(node, Conv)]
    assert [conv.integer is not None for conv in convs] == [False, *[True] * (len(convs) - 2), False]
    assert set(net.scales) == {node.output for node in net.nodes} - {net.logits}
    for node in net.nodes[:-1]:
        scale = net.scales[node.output]
        assert 0 <= scale.zero_point <= 255
        assert scale.zero_point == 0 or not node.relu


def test_the_scales_hold_all_that_was_heard():
    net = read_convnet(Export().data, "net")
    once, louder = (quantized(net, gain * features(600)) for gain in (1.0, 3.0))
    both = quantized(net, features(600), 3.0 * features(600))
    assert all(louder.scales[name].scale > scale.scale for name, scale in once.scales.items())
    assert both.scales == louder.scales
    short = quantized(net, features(600), 3.0 * features(50))
    assert all(short.scales[name].scale > scale.scale for name, scale in once.scales.items())


def test_a_channel_without_weights_keeps_its_bias():
    net = read_convnet(Export().data, "net")
    conv = net.nodes[1]
    conv.weight[3] = 0.0
    conv.bias[3] = 0.7
    x = features(512)
    found = Stream(quantized(net), Geometry(0, len(x), 0)).hear(x)
    exact = Stream(net, Geometry(0, len(x), 0)).hear(x)
    assert np.std(found - exact) < 0.08 * np.std(exact)

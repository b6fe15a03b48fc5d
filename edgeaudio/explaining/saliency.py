"""Three ways to ask which frames and bands a score came from.

Gradients are integrated along the straight way from the background to what was heard and multiplied by
the difference of the two (Sundararajan et al., "Axiomatic Attribution for Deep Networks", 2017): plain
gradients vanish where a network is certain, and those on the way do not.

Grad-CAM (Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", 2017) weights the channels of an inner tensor by their gradients.

Occlusion (Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2014) hides patches and
sees how far the score falls. It needs no gradients, only answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from edgeaudio.explaining.gradients import Array, Pass, forward, score_gradient
from edgeaudio.explaining.network import Network
from edgeaudio.explaining.question import Question
from edgeaudio.training.graph import Conv, Conv2d

__all__ = ["Method", "grad_cam", "integrated_gradients", "occlusion", "seen"]

Method = Literal["gradients", "grad-cam", "occlusion"]

_WAYPOINTS = 32
_BATCH = 8
_NEAR_MS = 250.0
_PATCH_S = 0.08
_PATCHES_ALONG, _PATCHES_ACROSS = 20, 6
"""Patches beside each other, without those that overlap them by half."""


def integrated_gradients(question: Question, network: Network) -> Array:
    """Return what each value of each frame adds to the score, ``[n, n_bands]``, also where it takes away."""
    frames, background = question.frames, question.background
    way = frames - background
    total = np.zeros(frames.shape)
    # The middles of equal parts of the way.
    places = ((np.arange(_WAYPOINTS) + 0.5) / _WAYPOINTS).astype(np.float32)
    for start in range(0, _WAYPOINTS, _BATCH):
        points = background + places[start : start + _BATCH, None, None] * way
        total += _gradients(question, network, points)["frames"][..., 0].sum(axis=0)
    contributions: Array = total / _WAYPOINTS * way
    return contributions


def grad_cam(question: Question, network: Network) -> Array:
    """Return how much the places of an inner tensor speak for the label, ``[n, n_bands]``, never negative.

    The tensor is the last that has bands; in a network without any, the last whose frames have not yet
    heard a quarter of a second each: behind it, what was heard spreads over time. Each of its channels
    is weighted by its gradient place by place, as in HiResCAM (Draelos and Carin, 2020): Grad-CAM's mean over
    all places makes sense only right before they are pooled. A place is drawn over all that it has heard.
    """
    run = forward(network, question.frames[None])
    heard = seen(network)
    name = _inner(network, heard, question)
    gradient = _backward(question, run)[name]
    speaking = np.maximum((gradient * run.tensors[name])[0].sum(axis=-1), 0.0)
    return _spread(speaking, heard[name], question.frames.shape)


def occlusion(question: Question, progress: Callable[[int, int], None] | None = None) -> Array:
    """Return how far the score falls where a patch is hidden, ``[n, n_bands]``, negative where it rises.

    A hidden patch sounds like the background. What hiding it costs is shared out among its frames and
    bands, and patches overlap each other by half.

    Parameters
    ----------
    question : Question
    progress : callable, optional
        Called with how many patches were hidden, and how many there are.
    """
    frames, background = question.frames, question.background
    n, n_bands = frames.shape
    hop_ms = question.heard.manifest.frontend.hop_ms
    along = _patches(n, max(round(1000 * _PATCH_S / hop_ms), n // _PATCHES_ALONG))
    one_dimensional = question.heard.manifest.frontend.features == "waveform"
    across = [slice(0, n_bands)] if one_dimensional else _patches(n_bands, max(2, n_bands // _PATCHES_ACROSS))
    fallen, times = np.zeros((n, n_bands)), np.zeros((n, n_bands))
    whole = question.score_of(frames)
    patches = [(time, bands) for time in along for bands in across]
    for done, place in enumerate(patches):
        hidden = frames.copy()
        hidden[place] = background[place[1]]
        fallen[place] += whole - question.score_of(hidden)
        times[place] += 1
        if progress is not None:
            progress(done + 1, len(patches))
    return np.asarray(fallen / times)


def _gradients(question: Question, network: Network, points: Array) -> dict[str, Array]:
    return _backward(question, forward(network, points))


def _backward(question: Question, run: Pass) -> dict[str, Array]:
    return run.backward(score_gradient(run.logits, question.activation, question.column, question.weights))


def _patches(n: int, length: int) -> list[slice]:
    """Cut `n` into patches that overlap by half; the last ends at the end."""
    length = min(n, length)
    starts = list(range(0, n - length, max(1, length // 2)))
    return [slice(start, start + length) for start in [*starts, n - length]]


class Seen(NamedTuple):
    """What one place of a tensor has heard: place ``i`` from ``i * step + first`` on, `length` long."""

    step: int
    first: int
    length: int


def seen(network: Network) -> dict[str, tuple[Seen, Seen]]:
    """Return what places of each tensor have heard, along time and across bands."""
    n_bands = network.graph.n_bands
    found = {network.graph.input: (Seen(1, 0, 1), Seen(1, 0, 1))}
    for node in network.graph.nodes:
        if not isinstance(node, Conv):
            first, second = (found[source] for source in node.sources)
            found[node.output] = max(first, second, key=lambda places: places[0].length)
            continue
        time, bands = found[node.source]
        kernel = (node.weight.shape[2] - 1) * node.dilation
        time = Seen(
            time.step * node.stride, time.first - node.context * time.step, time.length + kernel * time.step
        )
        if isinstance(node, Conv2d):
            reach = (node.weight.shape[3] - 1) * bands.step
            bands = Seen(
                bands.step * node.band_stride, bands.first - node.band_pad * bands.step, bands.length + reach
            )
        else:
            bands = Seen(n_bands, 0, n_bands)
        found[node.output] = time, bands
    return found


def _inner(network: Network, seen: dict[str, tuple[Seen, Seen]], question: Question) -> str:
    banded = [node.output for node in network.graph.nodes if node.output in network.graph.bands]
    if banded:
        return banded[-1]
    hop_ms = question.heard.manifest.frontend.hop_ms
    inner = [node.output for node in network.graph.nodes if node.relu]
    near = [name for name in inner if seen[name][0].length * hop_ms <= _NEAR_MS]
    return near[-1] if near else inner[0]


def _spread(places: Array, seen: tuple[Seen, Seen], shape: tuple[int, int]) -> Array:
    """Share each place's value out among the frames and bands that it has heard."""
    spread = np.zeros(shape)
    time, bands = seen
    for i, j in np.argwhere(places):
        start, low = i * time.step + time.first, j * bands.step + bands.first
        part = spread[max(0, start) : start + time.length, max(0, low) : low + bands.length]
        part += places[i, j] / max(1, part.size)
    return spread

"""What a network in training hears in whole recordings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from edgeaudio.frontend import Frontend, FrontendSpec
from edgeaudio.training.batches import offline_frames
from edgeaudio.training.nets import SpotterNet
from edgeaudio.types import Samples

__all__ = ["posteriors"]

_BATCH = 64


def posteriors(
    net: SpotterNet, recordings: Sequence[Samples], spec: FrontendSpec
) -> list[NDArray[np.float32]]:
    """Softmax posteriors ``[n / stride, n_labels]`` of whole recordings, each from a fresh state."""
    frontend, stride = Frontend(spec), net.spec.stride
    frames = [offline_frames(frontend, samples) for samples in recordings]
    lengths = [len(f) // stride for f in frames]
    out: list[NDArray[np.float32]] = [np.zeros((0, net.spec.n_labels), np.float32)] * len(frames)
    order = sorted((i for i, n in enumerate(lengths) if n), key=lambda i: lengths[i])
    device = next(net.parameters()).device
    net.eval()
    with torch.no_grad():
        for start in range(0, len(order), _BATCH):
            part = order[start : start + _BATCH]
            longest = lengths[part[-1]] * stride
            batch = np.zeros((len(part), longest, net.spec.n_bands), np.float32)
            for row, i in enumerate(part):
                batch[row, : lengths[i] * stride] = frames[i][: lengths[i] * stride]
            result = net(torch.from_numpy(batch).to(device)).softmax(-1).cpu().numpy()
            for row, i in enumerate(part):
                out[i] = result[row, : lengths[i]]
    return out

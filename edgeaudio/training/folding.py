"""A convolution and its batch norm as one convolution, and weights as numpy arrays."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["array", "fold_norm"]


def fold_norm(
    conv: nn.Conv1d | nn.Conv2d, norm: nn.BatchNorm1d | nn.BatchNorm2d
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weight and bias of ``conv`` with the running statistics of ``norm`` multiplied in."""
    mean, variance = cast(Tensor, norm.running_mean).double(), cast(Tensor, norm.running_var).double()
    gain = norm.weight.double() / torch.sqrt(variance + norm.eps)
    weight = conv.weight.double() * gain.reshape(-1, *(1,) * (conv.weight.ndim - 1))
    bias = norm.bias.double() - mean * gain
    return array(weight), array(bias)


def array(tensor: Tensor) -> NDArray[np.float32]:
    """The values of a tensor as they are now, in C order."""
    return np.ascontiguousarray(tensor.detach().cpu().numpy(), np.float32)

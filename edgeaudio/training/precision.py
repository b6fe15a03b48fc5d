"""The half of the precision where that makes training faster."""

from __future__ import annotations

import platform
from functools import lru_cache

import torch

__all__ = ["has_bfloat16", "mixed"]

_AMPERE = 8
"""The first generation of NVIDIA's GPUs with bfloat16; older ones emulate it."""


def mixed(device: torch.device) -> torch.autocast:
    """Context that computes in bfloat16 where the device does so in hardware, else in float32.

    bfloat16 halves the time on CPUs with AMX and has the range of float32, so that losses need no
    scaling; where it is emulated it takes several times as long.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device))


@lru_cache
def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return torch.version.hip is not None or torch.cuda.get_device_capability(device)[0] >= _AMPERE
    if device.type != "cpu" or not torch._C._has_mkldnn:
        return False
    # On x86 oneDNN also says yes to AVX-512 without bfloat16, which it emulates.
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    if platform.machine().lower() in {"x86_64", "amd64"} and native is not None:
        return bool(native())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())

"""Colours of loudness and saliency, and images made of them."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from edgeaudio.explaining.gradients import Array

__all__ = ["HEAT", "SOUND", "Image", "coloured", "heated", "png"]

SOUND = ("#0d1226", "#1b3358", "#2b6480", "#5fa59a", "#c4dcae", "#f7f7e4")
"""From quiet to loud: ever lighter, so that also a grey print and who sees no colours can order them."""
HEAT = ("#b3324a", "#f0703c", "#ffc94d", "#fff6c2")
"""From a little to most salient."""
_GREY = ("#14161c", "#8d9098")
_SHOWN_FROM = 0.04
"""Less of the greatest saliency stays grey."""

Image = NDArray[np.uint8]


def coloured(values: Array, ramp: tuple[str, ...]) -> Image:
    """Return ``[..., 3]`` colours of values from 0 to 1."""
    anchors = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in ramp], np.float64)
    places = np.clip(values, 0.0, 1.0) * (len(ramp) - 1)
    channels = [np.interp(places, np.arange(len(ramp)), anchors[:, i]) for i in range(3)]
    image: Image = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    return image


def heated(loudness: Array, saliency: Array) -> Image:
    """Return ``[..., 3]`` colours: grey sound, and heat over it where it is salient; both from 0 to 1."""
    ground = coloured(loudness, _GREY).astype(np.float64)
    over = coloured(saliency, HEAT)
    # Faint at first, so that its edge is none; soon opaque, so that its colour is that of the scale.
    cover = np.clip((saliency - _SHOWN_FROM) / 0.2, 0.0, 1.0)[..., None]
    image: Image = np.rint(ground * (1 - cover) + over * cover).astype(np.uint8)
    return image


def png(image: Image) -> bytes:
    """Return ``[height, width, 3]`` as a PNG file (W3C, "Portable Network Graphics", third edition)."""
    height, width, _ = image.shape
    # Each line begins with the number of its filter: none.
    lines = np.concatenate([np.zeros((height, 1), np.uint8), image.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body

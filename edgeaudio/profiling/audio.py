"""Recordings that come by the clock, again and again, as a microphone would bring them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from edgeaudio.sources.array import ArraySource
from edgeaudio.sources.file import FileSource
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["BUNDLED", "load", "recordings"]

BUNDLED = tuple(Path(__file__).parents[1] / "assets" / name for name in ("demo.flac", "speech.flac"))
"""Wake words, commands and sentences that come with edgeaudio."""
_BLOCK_SAMPLES = 8000
_LONGEST_S = 300


def recordings(paths: Sequence[Path] = BUNDLED, *, channel: int | None = None) -> ArraySource:
    """Return a paced source that plays files one after the other without end.

    They are read before the clock starts: a microphone needs no decoder. Of more than five minutes the
    first five are heard, since all of it is held in memory, 64 kB a second.

    Parameters
    ----------
    paths : sequence of Path
        Sound files that `FileSource` can read.
    channel : int, optional
        As for `FileSource`.

    Raises
    ------
    EdgeAudioError
        A file cannot be read.
    """
    samples = load(paths, channel=channel)
    source = ArraySource(itertools.repeat(samples), paced=True, block=_BLOCK_SAMPLES)
    source.name = " + ".join(path.name for path in paths)
    return source


def load(paths: Sequence[Path] = BUNDLED, *, channel: int | None = None) -> Samples:
    """Return what `recordings` plays, ``[n] float32`` at 16 kHz; it raises the same."""
    room = _LONGEST_S * SAMPLE_RATE_HZ
    heard = [block for path in paths for block in _blocks(path, channel, room)]
    return np.concatenate(heard)[:room]


def _blocks(path: Path, channel: int | None, most: int) -> Iterator[Samples]:
    """Read a file at 16 kHz, mono, up to a little more than `most` samples."""
    source = FileSource(path, channel=channel)
    try:
        n = 0
        while n < most and (waiting := source.wait(_BLOCK_SAMPLES, timeout_s=1.0)):
            block = source.ring.peek(waiting)
            if block is None:
                return
            yield block.copy()
            source.ring.advance(waiting)
            n += waiting
    finally:
        source.stop()

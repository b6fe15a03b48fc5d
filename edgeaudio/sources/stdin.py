"""Raw PCM from a pipe: ``arecord … | edgeaudio wake -``."""

from __future__ import annotations

import io
import logging
import os
import select
import sys
import time
from typing import BinaryIO

import numpy as np

from edgeaudio.errors import InputError, UsageError
from edgeaudio.sources.base import PulledSource
from edgeaudio.sources.resample import check_channel, mix
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["StdinSource"]

_log = logging.getLogger(__name__)

_FULL_SCALE = np.float32(32768)

_READ_BYTES = 16384
"""About half a second of 16 kHz; what a faster producer has more stays in its pipe."""

_GATHER_S = 0.03
"""Less audio than this is waited for in the pipe, more of it asleep."""

_MEMORY = 0.8
"""Part of the earlier reads' weight that each read leaves them."""


_MAGIC = {b"RIFF": "a WAV file", b"fLaC": "a FLAC file", b"OggS": "an Ogg file", b"ID3": "an MP3 file"}


class StdinSource(PulledSource):
    """Little-endian signed 16-bit PCM without a header, from standard input or any open pipe.

    Nothing is ever lost: a producer faster than the engine waits in its own write, a slower one
    (a live recorder) is waited for. The stream ends when the producer closes it; bytes that make
    no whole sample at its end are reported in the log and left out.

    Parameters
    ----------
    stream : binary file, optional
        Where to read. Default: standard input.
    sample_rate_hz : float
        Rate of the samples; other rates than 16 kHz are resampled.
    channels : int
        How many are interleaved.
    channel : int, optional
        The one to hear, counted from 0. Default: the mean of all.

    Raises
    ------
    UsageError
        Standard input is a terminal, or there is no such channel.
    InputError
        From `wait`: the stream ended before its first sample.

    Examples
    --------
    >>> source = StdinSource(io.BytesIO(bytes(640)))
    >>> source.wait(320, timeout_s=1.0)
    320
    """

    def __init__(
        self,
        stream: BinaryIO | None = None,
        *,
        sample_rate_hz: float = SAMPLE_RATE_HZ,
        channels: int = 1,
        channel: int | None = None,
    ) -> None:
        if channels < 1:
            raise UsageError(f"raw audio has at least one channel, got {channels}")
        if stream is None:
            if sys.stdin is None:
                raise InputError("standard input is closed", hint="Pipe raw audio into it.")
            stream = sys.stdin.buffer
        if stream.isatty():
            raise UsageError(
                "standard input is a terminal, not audio",
                hint="Pipe raw audio into it: arecord -t raw -f S16_LE -r 16000 -c 1 | edgeaudio wake -",
            )
        check_channel(channel, channels, "the raw audio")
        super().__init__("standard input", sample_rate_hz)
        self._rate_hz = sample_rate_hz
        self._channel = channel
        self._frame = np.dtype(("<i2", (channels,)))
        self._stream = stream
        self._poll = select.poll()
        try:
            self._fd: int | None = stream.fileno()
            self._poll.register(self._fd, select.POLLIN)
        except io.UnsupportedOperation:  # in memory: nothing to wait for
            self._fd = None
        self._rest = b""
        self._heard = False
        self._arrived_at = time.monotonic()
        self._took_s = self._heard_s = 0.0

    def captured_at(self, sample: int) -> float:
        """When the sample was captured, going back from the latest read at the producer's pace.

        A live recorder captured it in real time, whether or not it then waited in the pipe; what a
        faster producer wrote is as old as its arrival.
        """
        age_s = (self.ring.end - sample) / SAMPLE_RATE_HZ
        return self._arrived_at - self._pace * max(0.0, age_s)

    @property
    def _pace(self) -> float:
        """Seconds that a second of audio took lately, at most 1: a slower producer has only paused."""
        return min(1.0, self._took_s / self._heard_s) if self._heard_s else 0.0

    def _next_block(self, wanted_s: float, timeout_s: float) -> Samples | None:
        """All whole frames of one read; an empty block if nothing came in time."""
        if wanted_s >= _GATHER_S:
            # A recorder writes every few milliseconds, and each wake-up costs more than the work:
            # sleep until all that is wanted should be there.
            due_in = self._arrived_at + self._pace * wanted_s - time.monotonic()
            time.sleep(max(0.0, min(due_in, timeout_s)))
        chunk = self._read(timeout_s)
        if chunk is None:
            return np.zeros(0, np.float32)
        if not chunk:
            self._check_end()
            return None
        data = self._rest + chunk
        whole = len(data) - len(data) % self._frame.itemsize
        self._rest = data[whole:]
        if whole and not self._heard:
            self._heard = True
            self._check_start(data)
        before, self._arrived_at = self._arrived_at, time.monotonic()
        frames = np.frombuffer(data[:whole], self._frame)
        # Sums that forget, so that one early or late read does not count for much.
        self._took_s = _MEMORY * self._took_s + self._arrived_at - before
        self._heard_s = _MEMORY * self._heard_s + len(frames) / self._rate_hz
        return mix(frames.astype(np.float32) / _FULL_SCALE, self._channel)

    def _read(self, timeout_s: float) -> bytes | None:
        """What the pipe holds, ``b""`` once it is closed, None if it stays silent."""
        if self._fd is None:
            return self._stream.read(_READ_BYTES)
        if not self._poll.poll(timeout_s * 1000):
            return None
        try:
            return os.read(self._fd, _READ_BYTES)
        except BlockingIOError:  # somebody else read it first
            return None
        except OSError as error:
            raise InputError(f"cannot read {self.name}: {error.strerror}") from error

    def _check_start(self, data: bytes) -> None:
        """Say so if it is no raw audio: a recorder's default is often a WAV file."""
        for magic, kind in _MAGIC.items():
            if data.startswith(magic):
                _log.warning(
                    "%s begins as %s does, but is heard as raw samples; give a file by its name, and let "
                    "a recorder write raw audio (arecord -t raw)",
                    self.name, kind,
                )  # fmt: skip

    def _check_end(self) -> None:
        if self._rest:
            _log.warning(
                "%s ended inside a sample: %d of %d bytes left out",
                self.name, len(self._rest), self._frame.itemsize,
            )  # fmt: skip
        if not self._heard:
            raise InputError(
                f"{self.name} contains no audio: it ended before its first sample",
                hint="Does the command before the pipe work? Run it alone to see its messages.",
            )

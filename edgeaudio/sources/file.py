"""Sound files of every format that libsndfile knows, decoded block by block."""

from __future__ import annotations

import logging
import os
import re
import stat
import threading
from pathlib import Path
from typing import Any

import numpy as np

from edgeaudio.errors import InputError, MissingDependencyError
from edgeaudio.sources.base import PulledSource
from edgeaudio.sources.resample import RATES_HZ, check_channel, mix
from edgeaudio.types import Samples

__all__ = ["SUFFIXES", "FileSource", "open_sound"]

_log = logging.getLogger(__name__)

SUFFIXES = (
    *(".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".mp3"),
    *(".oga", ".ogg", ".opus", ".rf64", ".w64", ".wav"),
)
"""How names of sound files end, where a folder is searched for them."""
_BLOCK_FRAMES = 8192

_CUT_OFF = re.compile(r"data : \d+ \(should be|end-of-stream", re.IGNORECASE)
"""What libsndfile's own log says of a WAV or Ogg file that ends early: it mends the length and goes on."""


class FileSource(PulledSource):
    """Audio from a WAV, FLAC, Ogg or MP3 file of any rate, sample format and channel count.

    Parameters
    ----------
    path : path
        The file.
    paced : bool
        Hand out samples only as the clock passes, as a microphone would.
    channel : int, optional
        The channel to hear, counted from 0. Default: the mean of all.

    Raises
    ------
    InputError
        There is no such file, or it is not a sound file, or contains no audio. A file that is
        cut off is heard as far as it goes, with a warning in the log.
    UsageError
        No such channel.
    MissingDependencyError
        soundfile (or, for other rates than 16 kHz, soxr) is not installed.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, paced: bool = False, channel: int | None = None
    ) -> None:
        self._path = Path(path)
        self._file = open_sound(self._path)
        check_channel(channel, self._file.channels, str(self._path))
        super().__init__(str(self._path), self._file.samplerate, paced=paced)
        self._channel = channel
        self._buffer = np.empty((_BLOCK_FRAMES, self._file.channels), np.float32)
        self._decoded_frames = 0
        self._in_use = threading.Lock()

    def stop(self) -> None:
        """End and close the file, or let the thread that reads it do so: libsndfile would crash."""
        super().stop()
        self._close_if_stopped()

    def _close_if_stopped(self) -> None:
        # As in `Microphone`: a stop from a signal handler amid a read must not wait for that read.
        if self._stopped and self._in_use.acquire(blocking=False):
            try:
                self._file.close()
            finally:
                self._in_use.release()

    def _next_block(self, wanted_s: float, timeout_s: float) -> Samples | None:
        with self._in_use:
            block = None if self._stopped else self._decoded()
        self._close_if_stopped()
        return block

    def _decoded(self) -> Samples | None:
        try:
            block = self._file.read(out=self._buffer)
        except RuntimeError as error:  # LibsndfileError: the decoder met something broken
            _log.warning("%s: %s; heard until %.2f s", self._path, error, self._seconds())
            return None
        if len(block) == 0:
            if self._decoded_frames < self._file.frames:
                _log.warning("%s is cut off: heard until %.2f s", self._path, self._seconds())
            return None
        self._decoded_frames += len(block)
        samples: Samples = mix(block, self._channel).copy()
        return samples

    def _seconds(self) -> float:
        return float(self._decoded_frames / self._file.samplerate)


def _check(path: Path) -> None:
    """Refuse what libsndfile has no clear words for."""
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", hint="Check the path.") from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{path} is a folder, not a sound file")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(
            f"{path} is a pipe or a device, not a file",
            hint="16 kHz mono s16le can be piped in: … | edgeaudio wake -",
        )
    if path.suffix.lower() == ".raw":  # soundfile asks for a format, whatever is in it
        raise InputError(
            f"{path} is raw audio, which does not tell its rate and format",
            hint=f"16 kHz mono s16le can be piped in: edgeaudio wake - < {path}",
        )
    if status.st_size == 0:
        raise InputError(f"{path} contains no audio: the file is empty")


def open_sound(path: Path) -> Any:
    """The open `soundfile.SoundFile`, known to contain audio.

    Raises
    ------
    InputError
        There is no such file, or it is not a sound file, or contains no audio.
    MissingDependencyError
        soundfile is not installed.
    """
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: the package without its libsndfile
        raise MissingDependencyError(
            f"reading {path} needs soundfile ({error})", hint="pip install 'edgeaudio[files]'"
        ) from error
    _check(path)
    try:
        # As bytes: soundfile cannot encode a name that is not in the locale's encoding.
        file = soundfile.SoundFile(os.fsencode(path))
    except (soundfile.LibsndfileError, OSError) as error:
        raise InputError(
            f"{path} is not a sound file that can be read: {error}",
            hint="WAV, FLAC, Ogg and MP3 are understood; convert others with ffmpeg or sox.",
        ) from error
    if file.frames == 0:
        file.close()
        raise InputError(f"{path} contains no audio: it ends behind its header")
    if not RATES_HZ[0] <= file.samplerate <= RATES_HZ[1]:
        file.close()
        raise InputError(f"{path} is damaged: its header tells a sample rate of {file.samplerate} Hz")
    if _CUT_OFF.search(file.extra_info):
        _log.warning("%s is cut off: %.2f s are left", path, file.frames / file.samplerate)
    return file

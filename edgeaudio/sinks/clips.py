"""Keep what was heard: one WAV file for each word or sound, with the seconds before and after it.

A file appears under its name only when it is complete. The folder stays below a limit: the oldest
clips go first, and nothing but clips is ever deleted. A full disk does not stop the listening: it
is said once, clips are counted as failed, and saving goes on when there is room again.
"""

from __future__ import annotations

import errno
import io
import os
import re
import wave
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeaudio.errors import OutputError
from edgeaudio.events import Detection, Event, SoundEvent
from edgeaudio.sinks.cutter import Cutter, Tape
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["ClipSaver", "check_folder", "stamp", "to_pcm", "wav_bytes", "write_wav"]

_OURS = re.compile(r"\d{8}T\d{6}\.\d{3}Z-\d{4,}-[\w-]+\.wav(\.part)?")
_WAV_HEADER_BYTES = 44


class ClipSaver(Cutter):
    """Saves 16-bit WAV files named ``<UTC time>-<number>-<name>.wav``, one for each detection or sound.

    Of a sound longer than the tape, its end is kept.

    Parameters
    ----------
    folder : Path
        Made if it is missing.
    pre_roll_s, post_roll_s : float, optional
        Seconds kept before the start and after the end of the word or sound.
    limit_bytes : int, optional
        The most that the clips in the folder may take together.
    wait : bool, optional
        As for `Cutter`.
    tape : Tape, optional
        One that others cut from, too; at least as long as this needs it.

    Raises
    ------
    OutputError
        If the folder cannot be made or written to.
    """

    def __init__(
        self,
        folder: Path,
        *,
        pre_roll_s: float = 1.0,
        post_roll_s: float = 0.5,
        limit_bytes: int = 100_000_000,
        wait: bool = False,
        tape: Tape | None = None,
    ) -> None:
        check_folder(folder, "clips")
        self._pre = round(pre_roll_s * SAMPLE_RATE_HZ)
        self._post = round(post_roll_s * SAMPLE_RATE_HZ)
        self._limit_bytes = limit_bytes
        self._number = 0
        super().__init__(tape or Tape(pre_roll_s + post_roll_s), folder, "clips", wait=wait)

    def span(self, event: Event) -> tuple[int, int] | None:
        """Return what surrounds a detection or a sound; other events have no clip."""
        if not isinstance(event, Detection | SoundEvent):
            return None
        return event.start_sample - self._pre, event.end_sample + self._post

    def keep(self, event: Event, at: datetime, samples: Samples) -> None:
        """Write one file."""
        self._number += 1
        name = re.sub(r"[^\w-]", "_", getattr(event, "name", "")) or "_"
        self._save(f"{stamp(at)}-{self._number:04d}-{name}.wav", samples)

    def _save(self, name: str, samples: Samples) -> None:
        size = _WAV_HEADER_BYTES + 2 * len(samples)
        if size > self._limit_bytes:
            raise OSError(errno.EFBIG, f"one clip takes {size} bytes, more than the limit")
        self._make_room(size)
        part = self._folder / f"{name}.part"
        try:
            write_wav(part, samples)
            part.replace(self._folder / name)
        except OSError:
            part.unlink(missing_ok=True)
            raise

    def _make_room(self, size: int) -> None:
        clips = sorted(entry for entry in self._folder.iterdir() if _OURS.fullmatch(entry.name))
        sizes = [clip.stat().st_size for clip in clips]
        excess = sum(sizes) + size - self._limit_bytes
        for clip, clip_size in zip(clips, sizes, strict=True):
            if excess <= 0:
                return
            clip.unlink()
            excess -= clip_size


def write_wav(path: Path, samples: Samples) -> None:
    """Write mono 16 kHz audio as 16-bit PCM; samples beyond ±1 are cut off, NaN becomes 0."""
    path.write_bytes(wav_bytes(samples))


def wav_bytes(samples: Samples) -> bytes:
    """Return what `write_wav` writes."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE_HZ)
        out.writeframes(to_pcm(samples).tobytes())
    return buffer.getvalue()


def to_pcm(samples: Samples) -> NDArray[np.int16]:
    """Return ``[n]`` int16, little-endian.

    The scale is 32768 as in the decoders, so that 16-bit audio comes out as it went in.
    """
    scaled = np.nan_to_num(np.rint(samples * 32768.0), nan=0.0)
    pcm: NDArray[np.int16] = np.clip(scaled, -32768, 32767).astype("<i2")
    return pcm


def stamp(at: datetime) -> str:
    """Return a time in UTC as part of a file name that sorts by it."""
    return f"{at:%Y%m%dT%H%M%S}.{at.microsecond // 1000:03d}Z"


def check_folder(folder: Path, things: str) -> None:
    """Make the folder and write a byte, so that a wrong path is told at start, not at the first word.

    Raises
    ------
    OutputError
        It cannot be made or written to; `things` is what is to be saved there.
    """
    probe = folder / f".edgeaudio-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"{things} cannot be saved in {folder}: {error.strerror}",
            hint="Choose a folder that you may write to.",
        ) from None

"""Keep what was heard: one WAV file for each detection, with the seconds before and after it.

A file appears under its name only when it is complete. The folder stays below a limit: the oldest
clips go first, and nothing but clips is ever deleted. A full disk does not stop the listening: it
is said once, clips are counted as failed, and saving goes on when there is room again.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import queue
import re
import threading
import wave
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from edgeaudio.errors import OutputError
from edgeaudio.events import Detection, Event
from edgeaudio.history import History
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["ClipSaver", "write_wav"]

_LOG = logging.getLogger(__name__)
_OURS = re.compile(r"\d{8}T\d{6}\.\d{3}Z-\d{4,}-[\w-]+\.wav(\.part)?")
_WAV_HEADER_BYTES = 44
_QUEUED_CLIPS = 16
_SLACK_S = 5.0
"""The longest a word can be, and how late the news of it may come."""


class ClipSaver:
    """Saves 16-bit WAV files named ``<UTC time>-<number>-<name>.wav``.

    `emit` notes a detection; once all of its audio has gone through `history` it is copied out and
    handed to a worker, which writes it. So a slow disk never holds up the engine, and neither does a
    clip that waits for its last samples hold up the events after it.

    Parameters
    ----------
    folder : Path
        Made if it is missing.
    pre_roll_s, post_roll_s : float, optional
        Seconds kept before the start and after the end of the word.
    limit_bytes : int, optional
        The most that the clips in the folder may take together.
    wait : bool, optional
        Wait for a slow disk rather than leave a clip out: for files, where nothing is lost by waiting.

    Attributes
    ----------
    history : History
        What the engine must feed with all audio.
    saved, failed : int
        Clips written, and clips that could not be.

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
    ) -> None:
        _check_folder(folder)
        self.saved = 0
        self.failed = 0
        self._folder = folder
        self._pre = round(pre_roll_s * SAMPLE_RATE_HZ)
        self._post = round(post_roll_s * SAMPLE_RATE_HZ)
        self._limit_bytes = limit_bytes
        self._wait = wait
        self._pending: list[tuple[Detection, datetime]] = []
        self._lock = threading.Lock()
        self._last_error: int | None = None
        self._number = 0
        self._queue: queue.Queue[tuple[str, Samples] | None] = queue.Queue(_QUEUED_CLIPS)
        self._closed = False
        kept = self._pre + self._post + round(_SLACK_S * SAMPLE_RATE_HZ)
        self.history: History = _Tape(kept, self._collect)
        self._worker = threading.Thread(target=self._work, name="edgeaudio-clips", daemon=True)
        self._worker.start()

    def emit(self, event: Event) -> None:
        """Note a detection; other events have no clip."""
        if isinstance(event, Detection):
            with self._lock:
                self._pending.append((event, datetime.now(timezone.utc)))

    def close(self) -> None:
        """Save what is there of the clips still open and wait until all are written."""
        if self._closed:
            return
        self._closed = True
        self._wait = True
        self._collect(None)
        self._queue.put(None)
        self._worker.join()

    def fact(self) -> tuple[str, str]:
        """Say for the summary how many there are."""
        failed = f", {self.failed} not" if self.failed else ""
        return "clips", f"{self.saved} saved{failed}"

    def _collect(self, heard_samples: int | None) -> None:
        """Take the clips that end within `heard_samples`, or all, out of the history."""
        if not self._pending:
            return
        with self._lock:
            due: list[tuple[Detection, datetime]] = []
            later: list[tuple[Detection, datetime]] = []
            for detection, at in self._pending:
                complete = heard_samples is None or detection.end_sample + self._post <= heard_samples
                (due if complete else later).append((detection, at))
            self._pending = later
        for detection, at in due:
            self._hand_over(detection, at)

    def _hand_over(self, detection: Detection, at: datetime) -> None:
        start = max(detection.start_sample - self._pre, 0)
        samples = self.history.read(start, detection.end_sample + self._post)
        if not len(samples):
            self._leave_out("its audio was gone already")
            return
        self._number += 1
        stamp = f"{at:%Y%m%dT%H%M%S}.{at.microsecond // 1000:03d}Z"
        name = re.sub(r"[^\w-]", "_", detection.name) or "_"
        try:
            self._queue.put((f"{stamp}-{self._number:04d}-{name}.wav", samples), block=self._wait)
        except queue.Full:
            self._leave_out("the disk is too slow")

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            name, samples = item
            try:
                self._save(name, samples)
            except OSError as error:
                self._note_failure(error)
            else:
                self.saved += 1
                if self._last_error is not None:
                    self._last_error = None
                    _LOG.warning("clips are being saved again in %s", self._folder)

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

    def _note_failure(self, error: OSError) -> None:
        self.failed += 1
        if error.errno != self._last_error:
            self._last_error = error.errno
            _LOG.warning(
                "a clip was not saved in %s: %s (listening goes on; said once)", self._folder, error.strerror
            )

    def _leave_out(self, why: str) -> None:
        self.failed += 1
        _LOG.warning("a clip was left out: %s", why)


class _Tape(History):
    """A history that says how far it has got: after each block, and before a loss.

    A long loss leaves nothing in the history of the word before it.
    """

    def __init__(self, capacity_samples: int, heard: Callable[[int], None]) -> None:
        super().__init__(capacity_samples)
        self._heard = heard

    def append(self, block: Samples, start_sample: int) -> None:
        if start_sample > self.end_sample:
            self._heard(start_sample)
        super().append(block, start_sample)
        self._heard(self.end_sample)


def write_wav(path: Path, samples: Samples) -> None:
    """Write mono 16 kHz audio as 16-bit PCM; samples beyond ±1 are cut off, NaN becomes 0.

    The scale is 32768 as in the decoders, so that 16-bit audio comes out as it went in.
    """
    scaled = np.nan_to_num(np.rint(samples * 32768.0), nan=0.0)
    pcm = np.clip(scaled, -32768, 32767).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE_HZ)
        out.writeframes(pcm.tobytes())
    path.write_bytes(buffer.getvalue())


def _check_folder(folder: Path) -> None:
    """Make the folder and write a byte, so that a wrong path is told at start, not at the first word."""
    probe = folder / f".edgeaudio-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"clips cannot be saved in {folder}: {error.strerror}",
            hint="Choose a folder that you may write to.",
        ) from None

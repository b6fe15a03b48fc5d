"""Keeps clips of what sounded like a word, in a ledger; off unless asked for. Nothing leaves the device."""

from __future__ import annotations

import errno
import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edgeaudio.errors import EdgeAudioError
from edgeaudio.evaluation.ledger import LedgerClip, LedgerFolder, Limits
from edgeaudio.events import Detection, Event, NearMiss
from edgeaudio.sinks.clips import stamp, to_pcm, wav_bytes
from edgeaudio.sinks.cutter import Cutter, Tape
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["CLIP_S", "LedgerSink"]

_BEFORE_S, _AFTER_S = 2.0, 0.7
CLIP_S = _BEFORE_S + _AFTER_S
"""Seconds in a clip: around the moment at which the score was highest, or crossed the threshold."""
_PRUNE_S = 600.0


class _Deciding(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def threshold_of(self) -> dict[str, float]: ...


class LedgerSink(Cutter):
    """Adds each detection and near miss to a ledger, and keeps that within its limits at all times.

    Files are FLAC where soundfile is installed, else WAV. All of it happens in a thread of its own.

    Parameters
    ----------
    folder : Path
        Made if it is missing.
    limits : Limits, optional
        Kept at once, and from then on.
    wait : bool, optional
        As for `Cutter`.
    tape : Tape, optional
        One that others cut from, too, and that keeps at least `CLIP_S`.

    Raises
    ------
    OutputError
        If the folder cannot be made or written to, or holds another corpus.
    """

    def __init__(
        self, folder: Path, *, limits: Limits | None = None, wait: bool = False, tape: Tape | None = None
    ) -> None:
        self._ledger = LedgerFolder(folder)
        self._limits = limits or Limits()
        self._ledger.prune(self._limits)
        self._thresholds: dict[tuple[str, str], float] = {}
        self._number = 0
        super().__init__(tape or Tape(CLIP_S), folder, "ledger clips", wait=wait, idle_s=_PRUNE_S)

    def know(self, tasks: Iterable[_Deciding]) -> None:
        """Learn at which scores the words of `tasks` are detected, which detections do not say."""
        for task in tasks:
            self._thresholds |= {(task.name, word): score for word, score in task.threshold_of.items()}

    def span(self, event: Event) -> tuple[int, int] | None:
        """Return what surrounds a detection or near miss."""
        if not isinstance(event, (Detection, NearMiss)):
            return None
        before, after = round(_BEFORE_S * SAMPLE_RATE_HZ), round(_AFTER_S * SAMPLE_RATE_HZ)
        return event.end_sample - before, event.end_sample + after

    def keep(self, event: Event, at: datetime, samples: Samples) -> None:
        """Add one clip, and make room for it."""
        if not isinstance(event, (Detection, NearMiss)):
            return
        self._number += 1
        with _as_oserror():
            data, suffix = _encoded(samples)
        word = re.sub(r"[^\w-]", "_", event.name, flags=re.ASCII)[:80] or "_"
        name = f"{stamp(at)}-{self._number:04d}-{word}{suffix}"
        threshold = event.threshold if isinstance(event, NearMiss) else self._threshold(event)
        clip = LedgerClip(
            path=Path(name),
            seconds=len(samples) / SAMPLE_RATE_HZ,
            model=event.model,
            word=event.name,
            kind="near_miss" if event.score < threshold else "detection",
            score=event.score,
            threshold=threshold,
            heard_at=at,
        )
        with _as_oserror():
            self._ledger.add(name, data, clip)
            self._ledger.prune(self._limits)

    def rest(self) -> None:
        """Delete what the limits do not allow any more."""
        with _as_oserror():
            self._ledger.prune(self._limits)

    def fact(self) -> tuple[str, str]:
        """Say for the summary how many there are."""
        return "ledger", super().fact()[1]

    def _threshold(self, event: Detection) -> float:
        return self._thresholds.get((event.model, event.name), event.score)


@contextmanager
def _as_oserror() -> Iterator[None]:
    """Let nothing end the thread: a manifest that somebody has replaced is told as a disk that failed is."""
    try:
        yield
    except EdgeAudioError as error:
        cause = error.__cause__
        raise cause if isinstance(cause, OSError) else OSError(errno.EINVAL, error.message) from None
    except RuntimeError as error:  # soundfile's
        raise OSError(errno.EINVAL, str(error)) from None


def _encoded(samples: Samples) -> tuple[bytes, str]:
    """Return a file's content and suffix."""
    try:
        import soundfile
    except ImportError:
        return wav_bytes(samples), ".wav"
    buffer: Any = io.BytesIO()
    pcm: Any = to_pcm(samples).astype(np.int16)
    soundfile.write(buffer, pcm, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    return buffer.getvalue(), ".flac"

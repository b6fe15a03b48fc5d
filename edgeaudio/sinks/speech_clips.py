"""Keep what was said: one WAV file for each stretch of speech, long ones in pieces."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from edgeaudio.events import Event, SpeechEnd, SpeechStart
from edgeaudio.sinks.clips import ClipSaver, stamp
from edgeaudio.sinks.cutter import Tape
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["SpeechClips"]

_LONGEST_S = 60.0


class SpeechClips(ClipSaver):
    """Saves 16-bit WAV files named ``<UTC time>-<number>-speech.wav``, one for each stretch of speech.

    A clip begins where the stretch was told to begin, pre-roll included. What lasts longer than a minute is
    kept in pieces of a minute that follow each other without a gap, the first of them while it lasts.

    Parameters
    ----------
    folder : Path
        Made if it is missing.
    post_roll_s : float, optional
        Seconds kept after the end of the speech.
    limit_bytes : int, optional
        The most that the clips in the folder may take together.
    wait : bool, optional
        As for `Cutter`.

    Raises
    ------
    OutputError
        If the folder cannot be made or written to.
    """

    def __init__(
        self,
        folder: Path,
        *,
        post_roll_s: float = 0.2,
        limit_bytes: int = 100_000_000,
        wait: bool = False,
        longest_s: float = _LONGEST_S,
    ) -> None:
        self._open: tuple[SpeechStart, int] | None = None
        self._longest = round(longest_s * SAMPLE_RATE_HZ)
        tape = Tape(longest_s + post_roll_s)
        tape.watch(self._cut_off)
        super().__init__(
            folder, pre_roll_s=0.0, post_roll_s=post_roll_s, limit_bytes=limit_bytes, wait=wait, tape=tape
        )

    def emit(self, event: Event) -> None:
        """Note where speech begins, and where it ends."""
        if isinstance(event, SpeechStart):
            with self._lock:
                self._open = event, event.start_sample
        super().emit(event)

    def span(self, event: Event) -> tuple[int, int] | None:
        """Return what of a stretch of speech that is over was not kept yet; other events have no clip."""
        if not isinstance(event, SpeechEnd):
            return None
        with self._lock:
            start = event.start_sample if self._open is None else self._open[1]
            self._open = None
        end = event.end_sample + self._post
        return (start, end) if start < end else None

    def keep(self, event: Event, at: datetime, samples: Samples) -> None:
        """Write one file."""
        self._number += 1
        self._save(f"{stamp(at)}-{self._number:04d}-speech.wav", samples)

    def _cut_off(self, heard_samples: int) -> None:
        """Put by the first minute of what lasts longer."""
        with self._lock:
            while self._open is not None and heard_samples - self._open[1] >= self._longest:
                event, start = self._open
                behind = start + self._longest
                self._pending.append((event, (start, behind), datetime.now(timezone.utc)))
                self._open = event, behind

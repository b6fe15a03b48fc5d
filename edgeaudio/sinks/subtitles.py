"""Subtitles: committed words become cues that people can read, in the formats SRT and WebVTT.

A cue has at most two lines of 42 characters and stays for 1 to 7 seconds, cues never overlap, and
each is handed out once, when nothing can be added to it any more. Times are whole milliseconds
throughout, so that rounding cannot make an overlap.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from edgeaudio.events import Caption, Event
from edgeaudio.sinks.lines import printable

__all__ = ["MAX_LINE_CHARACTERS", "Cue", "CueMaker", "end_of_last_cue", "srt_cue", "vtt_cue"]

MAX_LINE_CHARACTERS = 42
_MIN_CUE_MS = 1000
_MAX_CUE_MS = 7000
_NEW_CUE_PAUSE_MS = 2000
"""After such a pause within a caption, words do not appear beside those before it."""
_GOOD_BREAK_MS = 250
"""A pause at which a full cue is rather broken than behind its last word."""

_TIMES = re.compile(r"^[\d:.,]+[ \t]+-->[ \t]+(?:(\d+):)?(\d\d):(\d\d)[.,](\d{3})", re.MULTILINE)
_INDEX = re.compile(r"^(\d+)\r?\n[\d:.,]+[ \t]+-->", re.MULTILINE)


@dataclass(frozen=True)
class Cue:
    """One subtitle: its number from 1, when it stands, and one or two lines."""

    index: int
    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


class _Word(NamedTuple):
    text: str
    start_ms: int
    end_ms: int


class CueMaker:
    """Cuts the committed words of captions into cues.

    A cue begins with its first word and ends with its last, or a second after its beginning; the next
    one waits for that end.

    Parameters
    ----------
    offset_ms : int, optional
        When the first sample was heard, in the time of the cues.
    n_before : int, optional
        How many cues there are already.

    Examples
    --------
    >>> from edgeaudio.events import CaptionWord
    >>> word = CaptionWord(text="hello", start_sample=16_000, end_sample=24_000, confidence=0.9)
    >>> caption = Caption(model="m", caption_id=1, words=(word,), tentative="", final=True,
    ...     start_sample=16_000, end_sample=32_000, latency_s=0.0)
    >>> CueMaker().add(caption)
    [Cue(index=1, start_ms=1000, end_ms=2000, lines=('hello',))]
    """

    def __init__(self, *, offset_ms: int = 0, n_before: int = 0) -> None:
        self._offset_ms = offset_ms
        self._n_cues = n_before
        self._free_from_ms = offset_ms
        self._pending: list[_Word] = []
        self._caption_id: int | None = None
        self._n_taken = 0

    def add(self, event: Event) -> list[Cue]:
        """Take what is new in a caption and return the cues that are complete now, often none."""
        if not isinstance(event, Caption):
            return []
        cues: list[Cue] = []
        if event.caption_id != self._caption_id:
            cues += self.finish()
            self._caption_id, self._n_taken = event.caption_id, 0
        for word in event.words[self._n_taken :]:
            start_ms, end_ms = (
                self._offset_ms + round(1000 * sample / event.sample_rate_hz)
                for sample in (word.start_sample, word.end_sample)
            )
            for piece in _pieces(_Word(_clean(word.text), start_ms, max(start_ms, end_ms))):
                cues += self._place(piece)
        self._n_taken = len(event.words)
        return cues + self.finish() if event.final else cues

    def finish(self) -> list[Cue]:
        """Return what is pending as the last cue."""
        return [self._close(len(self._pending))] if self._pending else []

    def _place(self, word: _Word) -> list[Cue]:
        cues = []
        while self._pending and (n_words := self._n_complete(word)):
            cues.append(self._close(n_words))
        self._pending.append(word)
        return cues

    def _n_complete(self, following: _Word) -> int:
        """How many pending words are a cue of their own, now that this word follows them; 0 for none."""
        words = self._pending
        start_ms = max(words[0].start_ms, self._free_from_ms)
        paused = following.start_ms - words[-1].end_ms > _NEW_CUE_PAUSE_MS
        if paused or following.end_ms - start_ms > _MAX_CUE_MS:
            return len(words)
        return 0 if _broken([*words, following]) else _natural_end(words)

    def _close(self, n_words: int) -> Cue:
        """Make a cue of the first `n_words` pending words."""
        words, self._pending = self._pending[:n_words], self._pending[n_words:]
        start_ms = max(words[0].start_ms, self._free_from_ms)
        end_ms = min(max(words[-1].end_ms, start_ms + _MIN_CUE_MS), start_ms + _MAX_CUE_MS)
        self._free_from_ms = end_ms
        self._n_cues += 1
        return Cue(self._n_cues, start_ms, end_ms, _broken(words) or ())


def _natural_end(words: list[_Word]) -> int:
    """How many words stay in a full cue: it ends at the longest pause of its second half, if there is one."""
    pauses_ms = {n: words[n].start_ms - words[n - 1].end_ms for n in range(len(words) // 2 + 1, len(words))}
    longest = max(pauses_ms, key=pauses_ms.__getitem__, default=0)
    return longest if longest and pauses_ms[longest] >= _GOOD_BREAK_MS else len(words)


def _broken(words: list[_Word]) -> tuple[str, ...] | None:
    """The words in one line or in two of about the same length; None where they do not fit."""
    text = " ".join(word.text for word in words)
    if len(text) <= MAX_LINE_CHARACTERS:
        return (text,)
    breaks = [at for at, character in enumerate(text) if character == " "]
    fitting = [at for at in breaks if max(at, len(text) - at - 1) <= MAX_LINE_CHARACTERS]
    if not fitting:
        return None
    at = min(fitting, key=lambda at: abs(len(text) - 1 - 2 * at))
    return text[:at], text[at + 1 :]


def _pieces(word: _Word) -> list[_Word]:
    """Cut a word that is longer than a line, and its time with it."""
    n = -(-len(word.text) // MAX_LINE_CHARACTERS)
    if n <= 1:
        return [word] if word.text else []
    times = [word.start_ms + (word.end_ms - word.start_ms) * i // n for i in range(n + 1)]
    return [
        _Word(word.text[i * MAX_LINE_CHARACTERS : (i + 1) * MAX_LINE_CHARACTERS], times[i], times[i + 1])
        for i in range(n)
    ]


def _clean(text: str) -> str:
    """An arrow within a text would be read as the times of a cue."""
    return printable(text).strip().replace("-->", "→")


def srt_cue(cue: Cue) -> str:
    r"""Write a cue as SubRip has it.

    Examples
    --------
    >>> srt_cue(Cue(1, 1000, 2500, ("hello", "world")))
    '1\n00:00:01,000 --> 00:00:02,500\nhello\nworld\n\n'
    """
    times = f"{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}"
    return "\n".join((str(cue.index), times, *cue.lines, "", ""))


def vtt_cue(cue: Cue) -> str:
    r"""Write a cue as WebVTT has it.

    Examples
    --------
    >>> vtt_cue(Cue(1, 1000, 2500, ("rock & roll",)))
    '00:00:01.000 --> 00:00:02.500\nrock &amp; roll\n\n'
    """
    times = f"{_clock(cue.start_ms, '.')} --> {_clock(cue.end_ms, '.')}"
    lines = (line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for line in cue.lines)
    return "\n".join((times, *lines, "", ""))


def _clock(ms: int, separator: str) -> str:
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{separator}{ms:03}"


def end_of_last_cue(text: str) -> tuple[int, int]:
    """Return number and end in milliseconds of the last cue in a file's tail; zeros if there is none."""
    times = _TIMES.findall(text)
    hours, minutes, seconds, ms = map(int, (part or "0" for part in times[-1])) if times else (0, 0, 0, 0)
    indices = _INDEX.findall(text)
    return int(indices[-1]) if indices else 0, ((hours * 60 + minutes) * 60 + seconds) * 1000 + ms

"""Captions that grow, on a terminal that is emulated."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.events import Gap
from edgeaudio.sinks.captions import LiveCaptions
from tests.sinks.samples import caption, spoken

pyte = pytest.importorskip("pyte")

TEXT = "the quick brown fox jumps over the lazy dog and then it sleeps"


class Terminal(io.StringIO):
    """A screen, what has scrolled off it, and the number of writes."""

    encoding = "utf-8"  # type: ignore[assignment]

    def __init__(self, columns: int = 40, lines: int = 10) -> None:
        super().__init__()
        self.screen = pyte.HistoryScreen(columns, lines, history=1000)
        self.screen.set_mode(pyte.modes.LNM)  # a newline returns, as a terminal's line discipline does
        self.size = (columns, lines)
        self._stream = pyte.Stream(self.screen)
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        self._stream.feed(text)
        return len(text)

    @property
    def rows(self) -> list[str]:
        columns = range(self.screen.columns)
        above = ["".join(row[x].data for x in columns).rstrip() for row in self.screen.history.top]
        return above + [row.rstrip() for row in self.screen.display]

    @property
    def text(self) -> list[str]:
        """All rows that are not empty, the status line left out."""
        return [row for row in self.rows if row and "dBFS" not in row]

    def is_dim(self, word: str) -> bool:
        last = "".join(self.writes)
        return re.search(rf"\x1b\[2m[^\x1b]*\b{word}\b", last[last.rfind("\r") :]) is not None


def live(terminal: Terminal) -> LiveCaptions:
    sink = LiveCaptions(terminal, size=lambda: terminal.size, clock=lambda: 100.0)
    sink.draw(-30.0, 1.0)
    return sink


def test_committed_words_are_solid_and_the_tail_is_dim() -> None:
    terminal = Terminal()
    sink = live(terminal)
    sink.emit(caption(*spoken("turn the"), tentative="lied on"))
    assert terminal.text == ["turn the lied on"]
    assert "turn the \x1b[2mlied on\x1b[22m" in terminal.writes[-1]


def test_a_tail_that_changes_leaves_nothing_behind() -> None:
    terminal = Terminal()
    sink = live(terminal)
    sink.emit(caption(*spoken("turn the"), tentative="light of the whole wide world and more of it"))
    sink.emit(caption(*spoken("turn the light"), tentative="off"))
    assert terminal.text == ["turn the light off"]
    sink.emit(caption(*spoken("turn the light off"), final=True))
    assert terminal.text == ["turn the light off"]
    assert not terminal.is_dim("off")


def test_captions_follow_one_another_and_the_status_line_stays_below() -> None:
    terminal = Terminal()
    sink = live(terminal)
    sink.emit(caption(*spoken("one"), final=True))
    sink.emit(caption(*spoken("two"), final=True, caption_id=2))
    sink.emit(caption(tentative="th", caption_id=3))
    assert terminal.rows[:3] == ["one", "two", "th"]
    assert "dBFS  listening 1 s" in terminal.rows[3]
    sink.close()
    sink.close()
    assert [row for row in terminal.rows if row] == ["one", "two", "th"]


def test_a_caption_of_which_nothing_remained_leaves_no_row() -> None:
    terminal = Terminal()
    sink = live(terminal)
    sink.emit(caption(tentative="hm"))
    sink.emit(caption(final=True))
    sink.emit(caption(*spoken("yes"), final=True, caption_id=2))
    assert terminal.text == ["yes"]


def test_rows_of_committed_words_are_never_drawn_again() -> None:
    terminal = Terminal(columns=20)
    sink = live(terminal)
    words = spoken(TEXT)
    for n in range(1, len(words) + 1):
        sink.emit(caption(*words[:n], tentative="perhaps"))
    # The word before the first row's end is drawn once more when the tail behind it moves on.
    assert sum("quick" in write for write in terminal.writes) == 3
    assert terminal.text[:2] == ["the quick brown fox", "jumps over the lazy"]
    sink.emit(caption(*words, final=True))
    assert " ".join(terminal.text) == TEXT


def test_nothing_is_written_while_nothing_changes() -> None:
    terminal = Terminal()
    sink = live(terminal)
    sink.emit(caption(*spoken("yes"), tentative="no"))
    n = len(terminal.writes)
    sink.emit(caption(*spoken("yes"), tentative="no"))
    sink.draw(-30.01, 1.1)
    assert len(terminal.writes) == n


def test_each_change_is_one_write_and_the_screen_is_never_cleared() -> None:
    terminal = Terminal()
    sink = live(terminal)
    n = len(terminal.writes)
    sink.emit(caption(*spoken("yes"), tentative="no"))
    assert len(terminal.writes) == n + 1
    assert "\x1b[2J" not in "".join(terminal.writes)


def test_trouble_is_told_above_the_running_caption() -> None:
    terminal = Terminal()
    sink = live(terminal)
    sink.emit(caption(*spoken("turn the"), tentative="li"))
    sink.emit(Gap(start_sample=16000, n_samples=8000, cause="consumer_lag"))
    sink.write("edgeaudio: WARNING: careful\n")
    assert terminal.rows[:3] == [
        "1.00 s  lost 0.50 s: the computer was to",
        "o slow",
        "edgeaudio: WARNING: careful",
    ]
    assert terminal.rows[3] == "turn the li"
    sink.draw(-30.0, 2.0)
    assert "! lost audio, 0.5 s in all" in terminal.rows[4]


def test_a_terminal_made_narrower_gets_rows_that_fit() -> None:
    terminal = Terminal(columns=60)
    sink = live(terminal)
    sink.emit(caption(*spoken("the quick"), tentative="brown fox jumps over the lazy dog"))
    terminal.size = (20, 10)
    before = len(terminal.writes)
    sink.draw(-30.0, 1.0)
    redrawn = re.sub(r"\x1b\[\d*[A-Zm]", "", terminal.writes[before]).replace("\r", "").split("\n")
    assert redrawn[:3] == ["the quick brown fox", "jumps over the lazy", "dog"]
    # Either of its rows, of 43 and 45 columns, had become three.
    assert terminal.writes[before].startswith("\r\x1b[5A")


def test_a_tail_taller_than_the_screen_does_not_break_it() -> None:
    terminal = Terminal(columns=10, lines=4)
    sink = live(terminal)
    sink.emit(caption(tentative=TEXT))
    sink.emit(caption(*spoken(TEXT), final=True))
    assert " ".join(terminal.text).endswith("and then it sleeps")


def test_wide_characters_take_two_columns() -> None:
    terminal = Terminal(columns=12)
    sink = live(terminal)
    sink.emit(caption(*spoken("日本語 日本語"), final=True))
    assert [row.replace(" ", "") for row in terminal.text] == ["日本語", "日本語"]


def test_what_would_steer_the_terminal_is_harmless() -> None:
    terminal = Terminal()
    sink = live(terminal)
    sink.emit(caption(("\x1b[2J", 0.0, 1.0), tentative="\r\n", final=False))
    assert terminal.text == ["?[2J ??"]


@settings(max_examples=60)
@given(
    st.integers(2, 40),
    st.lists(st.tuples(st.integers(1, 12), st.integers(0, 3), st.integers(0, 12)), max_size=20),
)
def test_everything_said_stands_there_once(columns: int, steps: list[tuple[int, int, int]]) -> None:
    """Length of each word, tentative words behind it, and which word it is the last of a caption."""
    terminal = Terminal(columns=columns, lines=6)
    sink = live(terminal)
    said: list[str] = []
    words: list[tuple[str, float, float]] = []
    number = 1
    for i, (length, n_tentative, kind) in enumerate(steps):
        word = (chr(97 + i) * length)[: columns - 1]
        said.append(word)
        words.append((word, i, i + 1))
        sink.emit(caption(*words, tentative="? " * n_tentative, caption_id=number))
        if kind == 0:
            sink.emit(caption(*words, final=True, caption_id=number))
            words, number = [], number + 1
    if words:
        sink.emit(caption(*words, final=True, caption_id=number))
    sink.close()
    assert " ".join(row for row in terminal.rows if row).split() == said

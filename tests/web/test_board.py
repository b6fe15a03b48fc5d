from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from edgeaudio.events import Gap
from edgeaudio.web.board import Board
from tests.sinks.samples import caption, spoken


def told(news):
    return [json.loads(message) for message in news.messages]


def words(message):
    return " ".join(word["text"] for word in message["words"])


def test_a_viewer_gets_the_newest_form_of_a_caption_and_nothing_twice():
    board = Board({})
    start = board.state()
    board.post(caption(*spoken("one"), tentative="tow"))
    board.post(caption(*spoken("one two")))
    board.post(caption(*spoken("one two three")))
    news = board.since(start.version)
    assert [words(message) for message in told(news)] == ["one two three"]
    assert board.since(news.version).messages == []


def test_news_keep_the_order_of_their_last_change():
    board = Board({})
    board.post(caption(*spoken("one"), caption_id=1))
    board.post(Gap(start_sample=0, n_samples=160, cause="ring_full"))
    board.post(caption(*spoken("one two"), caption_id=1, final=True))
    board.post(caption(*spoken("three"), caption_id=2))
    kinds = [(message["type"], message.get("caption_id")) for message in told(board.since(0))]
    assert kinds == [("gap", None), ("caption", 1), ("caption", 2)]


def test_a_late_viewer_gets_the_captions_so_far_and_the_input():
    board = Board({"model": "m"})
    board.show_input({"listening": "server"})
    for i in range(3):
        board.post(caption(*spoken(f"caption {i}"), caption_id=i, final=i < 2))
    (state,) = told(board.state())
    assert state["type"] == "state"
    assert state["model"] == "m"
    assert state["input"] == {"listening": "server"}
    assert [words(message) for message in state["captions"]] == ["caption 0", "caption 1", "caption 2"]
    assert [message["final"] for message in state["captions"]] == [True, True, False]


def test_a_viewer_that_is_too_far_behind_gets_the_state_anew():
    board = Board({})
    start = board.state().version
    for i in range(1000):
        board.post(caption(*spoken(f"caption {i}"), caption_id=i, final=True))
    (state,) = told(board.since(start))
    assert state["type"] == "state"
    assert words(state["captions"][-1]) == "caption 999"


def test_a_caption_of_which_nothing_remains_is_told_but_not_kept():
    board = Board({})
    board.post(caption(tentative="uh", caption_id=7))
    board.post(caption(final=True, caption_id=7))
    assert [message["final"] for message in told(board.since(0))] == [True]
    assert told(board.state())[0]["captions"] == []
    assert board.text() == ""


@given(st.lists(st.integers(0, 3), max_size=40))
def test_however_seldom_it_looks_a_viewer_ends_with_the_same_text(looks):
    """Each number is how many events pass before the viewer looks again."""
    board = Board({})
    shown: dict[int, str] = {}
    version = 0
    texts = [spoken(" ".join(f"w{k}" for k in range(n % 4 + 1))) for n in range(sum(looks))]
    events = iter([caption(*text, caption_id=n // 4, final=n % 4 == 3) for n, text in enumerate(texts)])
    for pause in looks:
        for _ in range(pause):
            board.post(next(events))
        news = board.since(version)
        version = news.version
        shown |= {message["caption_id"]: words(message) for message in told(news)}
    expected = {n // 4: " ".join(word for word, _, _ in text) for n, text in enumerate(texts)}
    assert shown == expected


def test_downloads():
    board = Board({})
    board.post(caption(*spoken("rock & roll"), final=True))
    board.post(caption(*spoken("is here", start_s=5.0), caption_id=2, final=True))
    assert board.text() == "rock & roll\nis here\n"
    assert board.srt() == (
        "1\n00:00:00,000 --> 00:00:01,200\nrock & roll\n\n2\n00:00:05,000 --> 00:00:06,000\nis here\n\n"
    )
    assert board.vtt().startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.200\nrock &amp; roll\n\n")


def test_every_change_is_announced():
    calls = []
    board = Board({}, lambda: calls.append(1))
    board.post(caption(*spoken("one")))
    board.show_input({})
    assert len(calls) == 2

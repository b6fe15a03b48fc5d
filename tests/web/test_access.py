from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeaudio.errors import UsageError
from edgeaudio.web.access import Access, Address, parse_address

TOKEN = "a-token-of-24-characters"  # noqa: S105 - of this test
LOOPBACK = Address("127.0.0.1", 8765)
EVERYWHERE = Address("0.0.0.0", 8765)  # noqa: S104 - never bound


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9000", Address("127.0.0.1", 9000)),
        ("localhost", Address("localhost", 8765)),
        ("9000", Address("127.0.0.1", 9000)),
        (":9000", Address("127.0.0.1", 9000)),
        ("[::1]:80", Address("::1", 80)),
        ("[::]", Address("::", 8765)),
        ("kitchen.local:8765", Address("kitchen.local", 8765)),
    ],
)
def test_addresses_are_read(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text", ["talk.wav", "-", "", "host:", "127.0.0.1:65536", "a b:1", "::1", "u@h:1", "h:1/x"]
)
def test_what_is_no_address_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match=r"HOST:PORT, for example 127\.0\.0\.1:8765"):
        parse_address(text)


@given(st.text(max_size=20))
def test_any_text_is_an_address_or_a_usage_error(text):
    with contextlib.suppress(UsageError):
        assert 0 <= parse_address(text).port <= 65535


def test_an_address_that_others_can_reach_needs_a_token():
    with pytest.raises(UsageError, match="other machines"):
        Access(EVERYWHERE)
    Access(LOOPBACK)


@pytest.mark.parametrize("token", ["", "short", "with blanks in between it", "ünïcödé-tökén-of-24-char"])
def test_weak_tokens_are_refused(token):
    with pytest.raises(UsageError, match="at least 16"):
        Access(LOOPBACK, token)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8765", "localhost:8765", "[::1]:8765", "LOCALHOST", "127.0.0.2:1"]
)
def test_loopback_goes_by_its_names(host):
    assert Access(LOOPBACK).refusal({"host": host}, None) is None


@pytest.mark.parametrize(
    "host",
    ["evil.example:8765", "", "127.0.0.1.evil.example", "192.168.1.5:8765", "localhost:1:2", "a@localhost"],
)
def test_other_names_are_refused(host):
    # A name that its owner pointed to 127.0.0.1 makes the browser send it here.
    refusal = Access(LOOPBACK).refusal({"host": host}, None)
    assert refusal is not None
    assert refusal.status == 421


def test_an_open_address_goes_by_numbers_but_not_by_foreign_names():
    access = Access(EVERYWHERE, TOKEN)
    assert access.refusal({"host": "192.168.1.5:8765"}, TOKEN) is None
    refusal = access.refusal({"host": "evil.example:8765"}, TOKEN)
    assert refusal is not None
    assert refusal.status == 421


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "",
        "http://127.0.0.1:9999",
        "file://",
        "ftp://127.0.0.1:8765",
        "http://[",
    ],
)
def test_other_origins_are_refused(origin):
    refusal = Access(LOOPBACK).refusal({"host": "127.0.0.1:8765", "origin": origin}, None)
    assert refusal is not None
    assert refusal.status == 403


def test_the_own_origin_and_none_are_welcome():
    headers = {"host": "127.0.0.1:8765"}
    assert Access(LOOPBACK).refusal(headers, None) is None
    assert Access(LOOPBACK).refusal({**headers, "origin": "http://127.0.0.1:8765"}, None) is None


@pytest.mark.parametrize(
    ("authorization", "query"),
    [(f"Bearer {TOKEN}", None), (f"bearer {TOKEN}", None), ("", TOKEN), ("Basic x", TOKEN)],
)
def test_the_token_may_stand_in_a_header_or_in_the_address(authorization, query):
    headers = {"host": "10.0.0.1", "authorization": authorization}
    assert Access(EVERYWHERE, TOKEN).refusal(headers, query) is None


@pytest.mark.parametrize(
    ("authorization", "query"),
    [
        ("", None),
        ("", ""),
        ("", TOKEN[:-1]),
        ("", "ü"),
        ("Bearer", None),
        (f"Basic {TOKEN}", None),
        (TOKEN, None),
    ],
)
def test_without_the_token_nobody_gets_in(authorization, query):
    refusal = Access(EVERYWHERE, TOKEN).refusal({"host": "10.0.0.1", "authorization": authorization}, query)
    assert refusal is not None
    assert refusal.status == 401
    assert TOKEN not in refusal.reason

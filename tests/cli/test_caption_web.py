"""`edgeaudio caption --web`: the page beside the command."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.cli.scripted import running
from tests.pulse import until

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")
sync_client = pytest.importorskip("websockets.sync.client")

WAIT_S = 60.0


@contextmanager
def serving(*args: str | Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run the command with a page; its address without the last slash."""
    with running("caption", *args) as process:
        assert process.stderr is not None
        for line in process.stderr:
            found = re.search(rb"captions at (http://\S+)/", line)
            if found:
                yield process, found[1].decode()
                return
        raise AssertionError("it ended without serving a page")


def fetched(address: str) -> str:
    with urllib.request.urlopen(address, timeout=WAIT_S) as answer:  # noqa: S310 - of this test's own server
        text: str = answer.read().decode()
        return text


def test_the_page_shows_what_is_printed_and_stays_when_the_recording_is_over(five_seconds: Path) -> None:
    with serving(five_seconds, "--web", "127.0.0.1:0") as (process, address):
        with sync_client.connect(f"ws{address.removeprefix('http')}/live?spectrum=0", proxy=None) as viewer:
            messages: list[dict[str, Any]] = []
            while not messages or "has ended" not in messages[-1].get("message", ""):
                messages.append(json.loads(viewer.recv(timeout=WAIT_S)))
        assert messages[0]["type"] == "state"
        assert messages[0]["model"] == "scripted"
        captions = [message for message in messages if message["type"] == "caption"]
        assert [word["text"] for word in captions[-1]["words"]][:2] == ["one", "two"]
        until(lambda: "one two three\n" in fetched(f"{address}/captions.txt"), WAIT_S, "all is there")
        assert "00:00:00,400 --> " in fetched(f"{address}/captions.srt")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    assert out.startswith(b"one two three\n")
    assert b"Traceback" not in err


def test_a_machine_without_a_microphone_serves_those_who_have_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whatever sound server this machine has, this process cannot find it. (A sound card it would find; then
    # this is about a browser's microphone that takes the place of the server's.)
    for name in ("PULSE_SERVER", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))
    with serving("--web", "127.0.0.1:0") as (process, address):
        socket = f"ws{address.removeprefix('http')}"
        with sync_client.connect(f"{socket}/live?spectrum=0", proxy=None) as viewer:
            assert "browser" in json.loads(viewer.recv(timeout=WAIT_S))["input"]["choices"]
            with sync_client.connect(f"{socket}/microphone", proxy=None) as microphone:
                for _ in range(40):
                    microphone.send(bytes(2560))
                while True:
                    message = json.loads(viewer.recv(timeout=WAIT_S))
                    if message["type"] == "caption" and message["words"]:
                        break
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0


def test_an_address_in_use_ends_it(five_seconds: Path) -> None:
    with (
        serving(five_seconds, "--web", "127.0.0.1:0") as (_, address),
        running("caption", five_seconds, "--web", address.removeprefix("http://")) as second,
    ):
        _, err = second.communicate(timeout=WAIT_S)
    assert second.returncode == 8
    assert b"Address already in use" in err
    assert b"Traceback" not in err


@pytest.mark.usefixtures("scripted")
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--token", "a-token-of-24-characters"), "--token is for --web"),
        (("--fast", "--web"), "--fast leaves no time"),
        (("--web", "0.0.0.0:0", "--token", "abc"), "at least 16"),
        (("--web", "127.0.0.1:99999"), "no address"),
    ],
)
def test_what_makes_no_sense_is_refused(
    run: Run, five_seconds: Path, args: tuple[str, ...], message: str
) -> None:
    outcome = run("caption", five_seconds, *args)
    assert outcome.code == 2
    assert message in outcome.err


def test_a_file_behind_the_option_is_the_source(run: Run) -> None:
    outcome = run("caption", "--web", "no-such-file.wav")
    assert outcome.code == 3
    assert "cannot read no-such-file.wav" in outcome.err

"""`edgeaudio listen`: its file, what is checked, what is kept when the file is read again."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgeaudio import ArraySource, Engine
from edgeaudio.cli.listen_config import Config, FileSection, OutputEntry, SourceEntry, load_config
from edgeaudio.cli.listen_example import example
from edgeaudio.cli.listen_outputs import Lines, OutputSet, clip_seconds, stdout_form
from edgeaudio.cli.listen_reload import Reloader, Running
from edgeaudio.cli.listen_sections import TaskEntry
from edgeaudio.cli.listen_tasks import Place, TaskSet
from edgeaudio.profiles import Profile
from edgeaudio.sinks.cutter import Tape
from tests.cli.conftest import Run
from tests.cli.scripted import ROOT, read_until, running
from tests.staged import noise

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, five_seconds: Path) -> Write:
    """Write a file whose source is five seconds of noise, heard as fast as possible."""

    def call(tasks: str = "[wake: {}]", outputs: str = "[stdout: json]", *, more: str = "") -> Path:
        path = tmp_path / "listen.yaml"
        source = f"{{file: {{path: {os.path.relpath(five_seconds, tmp_path)}, fast: true}}}}"
        path.write_text(f"source: {source}\ntasks: {tasks}\noutputs: {outputs}\n{more}")
        return path

    return call


# The file that --init writes.


def test_init_writes_the_defaults(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    assert run("listen", "--init", path).code == 0
    assert load_config(path) == Config()


def test_init_overwrites_nothing(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("precious")
    outcome = run("listen", "--init", path)
    assert (outcome.code, path.read_text()) == (8, "precious")
    assert "is there already" in outcome.err


def test_all_that_is_commented_out_is_good_and_the_defaults_too(tmp_path: Path) -> None:
    text = re.sub(r"^( +)#(?=- | |[a-z])(?! [A-Z])", r"\1", example(), flags=re.MULTILINE)
    text = re.sub(r"^  microphone:\n(    .*\n)+", "", text, flags=re.MULTILINE)
    path = tmp_path / "all.yaml"
    path.write_text(text.replace("  stdin:\n", ""))
    config = load_config(path)
    for entries, kind in ((config.tasks, type(config.tasks[0])), (config.outputs, type(config.outputs[0]))):
        assert [entry.kind for entry in entries] == list(kind.__struct_fields__)
        for entry in entries:
            if isinstance(entry.value, msgspec.Struct):
                # What must be given has an example; all else is the default.
                given = {
                    field.name: getattr(entry.value, field.name)
                    for field in msgspec.structs.fields(entry.value)
                    if field.required
                }
                assert entry.value == type(entry.value)(**given)
    assert config.source == SourceEntry(file=FileSection(path="recording.wav"))


def test_the_file_in_the_docs_is_good_and_shows_what_is_told_of_it(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "listen.md").read_text(encoding="utf-8")
    path = tmp_path / "docs.yaml"
    path.write_text(re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)[0])
    config = load_config(path)
    assert [entry.kind for entry in config.tasks] == ["wake", "wake", "caption", "sounds", "vad"]
    kinds = (*SourceEntry.kinds, *TaskEntry.kinds, *OutputEntry.kinds)
    assert {kind for kind in kinds if f"`{kind}`" not in text} == set()


def test_every_key_is_explained() -> None:
    lines = example().splitlines()
    keys = [n for n, line in enumerate(lines) if re.match(r" *#?( *|- )[a-z_]+:", line)]
    assert len(keys) > 35
    for n in keys:
        assert re.match(r" *#? *# .*[.:]$|.* [^ ]+$", lines[n - 1])
        assert "#" in lines[n - 1] or lines[n - 1].rstrip().endswith(":")


# What is wrong is told.


@pytest.mark.parametrize(
    ("tasks", "outputs", "code", "message"),
    [
        ("[{wke: }]", "[]", 7, "Did you mean 'wake'?"),
        ("[{wake: {treshold: 0.3}}]", "[]", 7, "Did you mean 'threshold'?"),
        ("[{wake: {threshold: 3}}]", "[]", 7, "< 1.0 - at `$.tasks[0].wake.threshold`"),
        ("[{wake: , caption: }]", "[]", 7, "is wanted, here are wake, caption - at `$.tasks[0]`"),
        ("[]", "[]", 7, "length >= 1 - at `$.tasks`"),
        ("[{wake: {model: wake-computr}}]", "[]", 5, "wake-computer"),
        ("[{wake: }, {wake: }]", "[]", 7, "with the model 'wake-computer', give it once"),
        ("[{caption: {grammar: none.yaml}}]", "[]", 7, "none.yaml"),
        ("[{caption: {grammar: a, hotwords: [b]}}]", "[]", 7, "leave hotwords out"),
        ("[{wake: }]", "[{file: }]", 7, "file: Object missing required field `path`"),
        ("[{wake: }]", "[{file: {path: none/a.jsonl}}]", 7, "there is no folder"),
        ("[{wake: }]", "[{file: {path: .}}]", 7, "is a folder"),
        (
            "[{wake: }]",
            "[{file: {path: a}}, {file: {path: a}}]",
            7,
            "2 files named a, give it once",
        ),
        ("[{wake: }]", "[{exec: {command: no-such-program}}]", 2, "'no-such-program' was not found"),
        ("[{wake: }]", "[{exec: {command: cat, events: [detektion]}}]", 7, "no event 'detektion', but 'det"),
        ("[{wake: }]", "[{stdout: text}, {stdout: json}]", 7, "give stdout once"),
        ("[{wake: }]", "[{clips: {folder: a, limit: lots}}]", 7, "$.outputs[0].clips.limit"),
    ],
)
def test_check_tells_what_is_wrong(
    run: Run, write: Write, *, tasks: str, outputs: str, code: int, message: str
) -> None:
    outcome = run("listen", "--check", write(tasks, outputs))
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err


@pytest.mark.parametrize("options", [["--check"], []])
@pytest.mark.parametrize("name", ["listen.yaml", "link.yaml"])
def test_its_own_file_is_no_output(
    run: Run, write: Write, tmp_path: Path, *, options: list[str], name: str
) -> None:
    path = write("[{wake: }]", f"[{{file: {{path: {name}}}}}]")
    (tmp_path / "link.yaml").symlink_to(path)
    before = path.read_bytes()
    outcome = run("listen", *options, path)
    assert outcome.code == 7
    assert "over this very file" in outcome.err
    assert path.read_bytes() == before


@pytest.mark.usefixtures("scripted")
def test_check_says_that_a_file_is_good_and_touches_nothing(run: Run, write: Write, tmp_path: Path) -> None:
    path = write("[{wake: }, {caption: }]", "[{file: {path: out.jsonl}}, {clips: {folder: clips}}]")
    outcome = run("listen", "--check", path)
    assert outcome.code == 0
    assert "is good: wake-computer" in outcome.out
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("args", "message"),
    [([], "no FILE was named"), (["none.yaml"], "none.yaml"), (["--init", "--check"], "Leave one out")],
)
def test_wrong_use_is_told(run: Run, args: list[str], message: str) -> None:
    outcome = run("listen", *args)
    assert outcome.code in (2, 7)
    assert message in outcome.err


# What is heard.


@pytest.mark.usefixtures("scripted")
def test_it_hears_what_each_command_alone_hears(run: Run, write: Write, five_seconds: Path) -> None:
    def told(text: str, kind: str) -> list[dict[str, Any]]:
        events = map(json.loads, text.splitlines())
        return [{**event, "model": ""} for event in events if event["type"] == kind]

    together = run("listen", write("[{wake: }, {caption: }, {vad: }]")).out
    for kind, command in (("detection", "wake"), ("caption", "caption"), ("speech_start", "vad")):
        alone = told(run(command, five_seconds, "--fast", "--json").out, kind)
        assert told(together, kind) == alone
        assert len(alone) >= 5


@pytest.mark.usefixtures("scripted")
def test_people_get_a_line_for_each_word_and_each_finished_caption(run: Run, write: Write) -> None:
    outcome = run("listen", write("[{wake: }, {caption: }]", "[{stdout: text}]"))
    assert [line.split("  ")[1] for line in outcome.out.splitlines()].count("one two three") == 2
    assert outcome.out.count("computer (wake-computer)") == 5
    assert "tasks     wake-computer, captions-en-small" in outcome.err
    assert "lost      nothing\n" in outcome.err


@pytest.mark.usefixtures("scripted")
def test_events_go_where_the_file_says_relative_to_it(
    run: Run, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "note.sh"
    program.write_text('#!/bin/sh\ncat >> "$1"\n')
    program.chmod(0o755)
    heard, orders = tmp_path / "heard", tmp_path / "orders"
    outputs = (
        f"[{{file: {{path: all.jsonl}}}}, {{file: {{path: said.txt, format: text}}}}, "
        f"{{exec: {{command: ./note.sh {heard}}}}}, "
        f"{{exec: {{command: ./note.sh {orders}, events: [detection, caption], names: [lamp]}}}}, "
        "{clips: {folder: clips}}, {ledger: {folder: kept}}]"
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    outcome = run("listen", write("[{wake: }, {caption: }]", outputs))
    assert (outcome.code, outcome.out) == (0, "")
    events = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    words = [event for event in events if event["type"] == "detection"]
    assert len(words) == 5
    assert [json.loads(line) for line in heard.read_text().splitlines()] == words
    assert (tmp_path / "said.txt").read_text() == "one two three\none two three\n"
    assert not orders.exists()
    assert len(list((tmp_path / "clips").glob("*.wav"))) == 5
    assert len(list((tmp_path / "kept").glob("*-computer.*"))) == 5
    assert list((tmp_path / "elsewhere").iterdir()) == []


# The file, read again.


class Screen:
    """Stands for the session: what it was told, and who receives events."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.others: list[Any] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def exchange(self, others: list[Any]) -> None:
        self.others = others


class Listening:
    """What runs, and its file read again."""

    def __init__(self, path: Path) -> None:
        config = load_config(path)
        profile, tape = Profile(), Tape(clip_seconds(config))
        place = Place(path.parent, profile, config.backend)
        tasks = TaskSet(config, place)
        self.engine = Engine(ArraySource(noise(0.1)), *tasks.tasks)
        self.screen = Screen()
        with Path(os.devnull).open("wb") as nowhere:
            self.lines = Lines(nowhere, stdout_form(config))
        running = Running(config, tasks, OutputSet(config, place, tape, wait=True))
        self.reloader = Reloader(path, running, profile, tape, clip_s=clip_seconds(config), wait=True)

    def reload(self) -> str:
        """Return what was said."""
        self.reloader.reload(self.engine, self.screen, self.lines)  # type: ignore[arg-type]
        said, self.screen.said = self.screen.said, []
        return "".join(said)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("edgeaudio"), "propagate", True)
    return caplog


@pytest.mark.usefixtures("scripted")
def test_what_the_file_says_as_before_stays(write: Write, tmp_path: Path) -> None:
    both = "[{file: {path: a.jsonl}}, {file: {path: b.jsonl}}]"
    listening = Listening(write("[{wake: }]", both))
    (spotter,) = listening.engine.tasks
    _, kept = listening.reloader.running.outputs.sinks
    write("[{caption: }, {wake: {}}]", "[{file: {path: b.jsonl}}, {stdout: text}]")
    assert listening.reload() == "reloaded  stays: wake-computer; new: captions-en-small"
    recognizer, same = listening.engine.tasks
    assert same is spotter
    assert listening.screen.others == [kept]
    assert listening.lines.form == "text"
    write("[{caption: {end_silence_s: 0.5}}]", "[]")
    assert listening.reload() == "reloaded  new: captions-en-small; gone: captions-en-small, wake-computer"
    assert listening.engine.tasks[0] is not recognizer
    assert listening.screen.others == []
    listening.reloader.close()


@pytest.mark.usefixtures("scripted")
def test_what_lies_beside_the_file_is_looked_at_too(write: Write, tmp_path: Path) -> None:
    grammar = tmp_path / "orders.yaml"
    grammar.write_text("first")
    listening = Listening(write("[{wake: }, {caption: {grammar: orders.yaml}}]"))
    assert listening.reload() == "reloaded  stays: wake-computer, captions-en-small"
    grammar.write_text("second one")
    assert (
        listening.reload()
        == "reloaded  stays: wake-computer; new: captions-en-small; gone: captions-en-small"
    )
    write("[{wake: }, {caption: {grammar: orders.yaml}}]", more="backend: onnx\n")
    assert "stays" not in listening.reload()


@pytest.mark.usefixtures("scripted")
@pytest.mark.parametrize(
    ("tasks", "outputs", "message"),
    [
        ("[{wke: }]", "[]", "unknown field `wke`"),
        ("[{wake: {model: none-such}}]", "[]", "none-such"),
        ("[{wake: }, {wake: {threshold: 0.4}}]", "[]", "give it once"),
        ("[{caption: }]", "[{file: {path: new.jsonl}}, {exec: {command: none-such}}]", "was not found"),
        ("[{wake: }]", "[{clips: {folder: a, pre_roll_s: 9}}]", "at the next start only"),
    ],
)
def test_a_file_that_became_wrong_changes_nothing(
    write: Write, logged: pytest.LogCaptureFixture, tasks: str, outputs: str, message: str
) -> None:
    listening = Listening(write(outputs="[{file: {path: a.jsonl}}]"))
    before, heard_by = listening.reloader.running, listening.engine.tasks
    write(tasks, outputs)
    assert listening.reload() == ""
    assert message in logged.text
    assert "nothing was changed" in logged.text
    assert listening.reloader.running is before
    assert listening.engine.tasks == heard_by
    listening.reloader.close()


@pytest.mark.usefixtures("scripted")
def test_a_bug_in_what_is_new_changes_nothing_either(
    write: Write, logged: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    listening = Listening(write())
    before = listening.reloader.running

    def broken(*_tasks: object) -> None:
        raise RuntimeError("its graph is upside down")

    monkeypatch.setattr(listening.engine, "replace_tasks", broken)
    write("[{caption: }]", "[{file: {path: new.jsonl}}]")
    assert listening.reload() == ""
    assert "this is a bug: RuntimeError: its graph is upside down" in logged.text
    assert listening.reloader.running is before


@pytest.mark.usefixtures("scripted")
def test_what_only_a_new_start_changes_is_said_so(write: Write, logged: pytest.LogCaptureFixture) -> None:
    listening = Listening(write())
    path = write("[{wake: }, {caption: }]", more="profile: raspberry-pi-4\n")
    path.write_text(path.read_text().replace("fast: true", "fast: false"))
    assert "new: captions-en-small" in listening.reload()
    assert "profile has changed: that takes effect at the next start" in logged.text
    assert "source has changed" in logged.text
    assert listening.reloader.running.config.profile is None


def test_a_hang_up_has_a_running_process_read_its_file_without_losing_a_sample(
    tmp_path: Path, one_minute: Path
) -> None:
    path = tmp_path / "listen.yaml"
    text = f"source: {{file: {{path: {one_minute}}}}}\ntasks: [{{wake: }}]\noutputs: [{{stdout: json}}]\n"
    path.write_text(text)
    with running("listen", path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = [process.stdout.readline()]
        path.write_text("tasks: [{caption: ]")
        process.send_signal(signal.SIGHUP)
        read_until(process, b"nothing was changed")
        path.write_text(text.replace("[{wake: }]", "[{wake: }, {caption: }]"))
        process.send_signal(signal.SIGHUP)
        read_until(process, b"reloaded  stays: wake-computer; new: captions-en-small")
        while b'"caption"' not in lines[-1]:
            lines.append(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"lost      nothing" in err
    events = [json.loads(line) for line in [*lines, *out.splitlines()]]
    words = [event["end_s"] for event in events if event["type"] == "detection"]
    # The unchanged task hears its word every second of the audio, to the sample, and misses none.
    assert words == pytest.approx([0.5 + n for n in range(len(words))], abs=0.07)
    assert "gap" not in {event["type"] for event in events}
    heard_s = float(re.search(rb"heard +([0-9.]+) s", err)[1])  # type: ignore[index]
    assert abs(len(words) - heard_s) < 1.0

"""docs/cli.md tells of every option, exit code and event, and its examples are true."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import get_args

import click
import msgspec
import pytest

from edgeaudio import errors
from edgeaudio.cli.main import cli
from edgeaudio.events import Event, encode_event
from edgeaudio.sinks.lines import describe
from tests.cli.scripted import ROOT

TEXT = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
CHAPTERS = {part.split()[1]: part for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]}
EVENT_LINES = re.findall(r'^\{"type".*\}$', TEXT, flags=re.MULTILINE)


def options(command: click.Command, context: click.Context) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            subcommand = command.get_command(context, name)
            assert subcommand is not None
            yield from options(subcommand, context)
    yield from (param.opts[0] for param in command.params if isinstance(param, click.Option))


@pytest.mark.parametrize("name", sorted(cli.list_commands(click.Context(cli))))
def test_every_option_is_told_in_its_chapter(name: str) -> None:
    context = click.Context(cli)
    command = cli.get_command(context, name)
    assert command is not None
    told = set(re.findall(r"`(--[a-z0-9-]+)", CHAPTERS[name] + TEXT.partition("\n## ")[0]))
    assert set(options(command, context)) - told == set()


def test_no_option_is_told_that_does_not_exist() -> None:
    context = click.Context(cli)
    told = set(re.findall(r"^\| `(--[a-z0-9-]+)", TEXT, flags=re.MULTILINE))
    assert told - set(options(cli, context)) == set()


def test_every_exit_code_is_told() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d) \|", TEXT, flags=re.MULTILINE)}
    assert told == {0, *(getattr(errors, name).exit_code for name in errors.__all__)}


def test_every_event_has_an_example() -> None:
    told = {json.loads(line)["type"] for line in EVENT_LINES}
    assert told == {kind.__struct_config__.tag for kind in get_args(Event)}


@pytest.mark.parametrize("line", EVENT_LINES)
def test_examples_are_what_is_printed(line: str) -> None:
    event = msgspec.json.decode(line, type=Event)  # type: ignore[arg-type]
    assert encode_event(event).decode() == line


def test_the_line_for_people_is_true() -> None:
    detection = next(line for line in EVENT_LINES if '"detection"' in line)
    assert describe(msgspec.json.decode(detection, type=Event)) in TEXT  # type: ignore[arg-type]


def test_all_json_parses() -> None:
    blocks = re.findall(r"```json\n(.*?)```", TEXT, flags=re.DOTALL)
    assert len(blocks) >= 9
    for block in blocks:
        for line in block.splitlines():
            json.loads(line)

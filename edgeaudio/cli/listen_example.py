"""What ``edgeaudio listen --init`` writes: every key with its default, and what it means."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import msgspec
import yaml

from edgeaudio.cli.listen_config import Config, OutputEntry, SourceEntry
from edgeaudio.cli.listen_sections import OneOf, TaskEntry

__all__ = ["example"]

_COLUMNS = 100
_HEAD = """\
# What edgeaudio listen does: one source, any tasks, any outputs. All that is written here is the default.
# What begins with # directly before a key is another possibility: take the # away.
#
#   edgeaudio listen --check FILE    says whether it is good, without listening
#   edgeaudio listen FILE            listens
#   kill -HUP PID                    has it read the file again, without losing a sample
#
# Paths are relative to the folder of this file.
"""
_ENTRIES: dict[str, type[OneOf]] = {"source": SourceEntry, "tasks": TaskEntry, "outputs": OutputEntry}


def example() -> str:
    """Return the file's text: read as `Config`, it is the defaults."""
    lines = [_HEAD]
    for field in msgspec.inspect.type_info(Config).fields:  # type: ignore[attr-defined]  # a StructType
        lines += _comment(field, "")
        if field.name in _ENTRIES:
            lines.append(f"{field.name}:")
            chosen = field.default
            if field.name == "source":
                lines += _choices(_ENTRIES[field.name], {chosen.kind}, "")
            else:
                lines += _choices(_ENTRIES[field.name], {entry.kind for entry in chosen}, "- ")
        else:
            lines.append(_value(field))
        lines.append("")
    return "\n".join(lines)


def _choices(entry: type[OneOf], chosen: set[str], dash: str) -> Iterator[str]:
    """Yield one block for each kind, those that are not chosen commented out."""
    fields = {field.name: field for field in msgspec.inspect.type_info(entry).fields}  # type: ignore[attr-defined]
    for kind in sorted(fields, key=lambda name: name not in chosen):  # else as declared
        yield from _comment(fields[kind], "  ")
        mark = "" if kind in chosen else "#"
        section = entry.kinds[kind]
        if not isinstance(section, type):
            yield f"  {mark}{dash}{kind}: text"
            continue
        inner = msgspec.inspect.type_info(section).fields  # type: ignore[attr-defined]
        yield f"  {mark}{dash}{kind}:"
        for field in inner:
            for line in (*_comment(field, ""), _value(field)):
                yield f"  {mark}{'    ' if dash else '  '}{line}"


def _comment(field: Any, indent: str) -> list[str]:
    text = _meta(field)["description"]
    return textwrap.wrap(text, _COLUMNS - 8, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")


def _value(field: Any) -> str:
    if field.required:
        value = _meta(field)["examples"][0]
    else:
        made = field.default is msgspec.NODEFAULT
        value = msgspec.to_builtins(field.default_factory() if made else field.default)
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=1000)
    return f"{field.encode_name}: {text.removesuffix('...' + chr(10)).strip()}"


def _meta(field: Any) -> dict[str, Any]:
    """Return what the outermost annotation of a field says."""
    facts: dict[str, Any] = field.type.extra_json_schema
    return facts

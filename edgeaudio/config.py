"""Strict YAML: every file from outside is bounded, typed, and wrong in a way one can mend."""

from __future__ import annotations

import difflib
import re
import stat
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from edgeaudio.errors import ConfigError, EdgeAudioError

__all__ = ["load_yaml", "nearest", "read_bounded"]

MAX_YAML_BYTES = 256 * 1024
MAX_DEPTH = 30

T = TypeVar("T")

# libyaml is ten times faster where PyYAML was built with it; both give the same values.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _StrictLoader(_Base):
    """A safe loader that refuses a key given twice instead of keeping the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be one word", key.start_mark)
            if key.value in seen:
                problem = f"key '{key.value}' is given twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return dict(super().construct_mapping(node, deep))


def read_bounded(path: Path, max_bytes: int, error: type[EdgeAudioError] = ConfigError) -> bytes:
    """Read a regular file of at most ``max_bytes`` bytes.

    Raises
    ------
    EdgeAudioError
        Of class ``error``: missing, unreadable, not a regular file (a pipe would block, a
        device would never end), or too large.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise error(f"{path} is not a regular file")
        if status.st_size <= max_bytes:
            with path.open("rb") as file:
                # One byte more than allowed, should the file grow while it is read.
                data = file.read(max_bytes + 1)
            if len(data) <= max_bytes:
                return data
    except OSError as exc:
        raise error(f"cannot read {path}: {exc.strerror or exc}") from exc
    raise error(f"{path} is larger than the {max_bytes / 1024:.0f} KB allowed here")


def nearest(word: str, known: list[str]) -> str | None:
    """Return the known word that ``word`` was probably meant to be, or None."""
    found = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.5)
    return found[0] if found else None


def load_yaml(path: Path, type_: type[T], *, error: type[EdgeAudioError] = ConfigError) -> T:
    """Read a YAML file as an instance of ``type_``, a msgspec structure.

    Parameters
    ----------
    path : Path
        A file of at most 256 KB. Aliases and repeated keys are refused: the first can unfold
        into gigabytes, the second hides a value.
    type_ : type
        What the file must contain; values are never coerced ("1" is no number).
    error : type, optional
        The class of the error raised for everything that is wrong with the file.

    Raises
    ------
    ConfigError
        Or ``error``: names the file, the key and, for an unknown key, the nearest known one.
    """
    text = read_bounded(path, MAX_YAML_BYTES, error)
    try:
        _check_events(text)
        value = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - derived from the safe loader
    except yaml.YAMLError as exc:
        raise error(f"{path} is no valid YAML: {_yaml_problem(exc)}") from exc
    except Exception as exc:  # PyYAML's constructors let through what an impossible date or number raises
        raise error(f"{path} is no valid YAML: {exc or type(exc).__name__}") from exc
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as exc:
        raise error(f"{path}: {exc}", hint=_hint(str(exc), type_)) from exc
    except EdgeAudioError as exc:  # a structure's own check
        raise error(f"{path}: {exc.message}", hint=exc.hint) from exc


def _check_events(text: bytes) -> None:
    """Refuse what is small to write and large to read, before anything is built from it."""
    depth = 0
    for event in yaml.parse(text, Loader=_Base):
        if isinstance(event, yaml.AliasEvent):
            raise _refusal("aliases (*name) are not accepted: write the value out", event)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _refusal(f"more than {MAX_DEPTH} levels", event)


def _refusal(problem: str, event: Any) -> yaml.YAMLError:
    return yaml.MarkedYAMLError(None, None, problem, event.start_mark)


def _yaml_problem(exc: yaml.YAMLError) -> str:
    if isinstance(exc, yaml.MarkedYAMLError) and exc.problem_mark is not None:
        mark = exc.problem_mark
        return f"{exc.problem} (line {mark.line + 1}, column {mark.column + 1})"
    return str(exc).splitlines()[0]


def _hint(message: str, type_: Any) -> str | None:
    """Turn msgspec's complaint into advice."""
    unknown = re.match(r"Object contains unknown field `([^`]*)`(?: - at `(\$[^`]*)`)?", message)
    if unknown:
        known = _fields_at(msgspec.inspect.type_info(type_), unknown[2] or "$")
        guess = nearest(unknown[1], known)
        if guess:
            return f"Did you mean '{guess}'?"
        return f"Known keys here: {', '.join(known)}." if known else None
    if message.startswith("Expected `str`, got `bool`"):
        return "YAML reads yes, no, on and off as true or false: put them in quotes."
    return None


def _fields_at(info: Any, path: str) -> list[str]:
    """Return the encoded field names of the structure at ``path``, e.g. ``$.graphs.onnx``."""
    for step in re.findall(r"\.([^.\[]+)|(\[[^\]]*\])", path):
        info = _plain(info)
        if step[0] and isinstance(info, msgspec.inspect.StructType):
            info = next((f.type for f in info.fields if f.encode_name == step[0]), None)
        else:
            info = getattr(info, "item_type", None) or getattr(info, "value_type", None)
    info = _plain(info)
    return [f.encode_name for f in info.fields] if isinstance(info, msgspec.inspect.StructType) else []


def _plain(info: Any) -> Any:
    """Return the structure that may be described, and may be None."""
    if isinstance(info, msgspec.inspect.Metadata):
        info = info.type
    if isinstance(info, msgspec.inspect.UnionType):
        return next((t for t in info.types if isinstance(t, msgspec.inspect.StructType)), info)
    return info

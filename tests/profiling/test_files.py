from __future__ import annotations

import math
import os
import random
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.errors import InputError, OutputError
from edgeaudio.profiling import files
from edgeaudio.profiling.compare import compare
from edgeaudio.profiling.files import check_writable, decode, encode, read_measurement, write_whole
from edgeaudio.profiling.gate import check
from edgeaudio.profiling.html import page
from edgeaudio.profiling.table import render
from edgeaudio.profiling.trace import trace
from tests.profiling.synthetic import measurement

RUN = measurement(5.0)
FACTS = msgspec.to_builtins(RUN)


def written(path: Path, **changes: object) -> Path:
    path.write_bytes(msgspec.json.encode(FACTS | changes))
    return path


def changed_stage(**changes: object) -> list[object]:
    first, *others = FACTS["stages"]
    return [first | changes, *others]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_whole(path, encode(RUN))
    assert read_measurement(path) == RUN
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize(("version", "age"), [(2, "newer"), (0, "older"), (-7, "older")])
def test_another_version_is_told_even_if_nothing_else_is_as_it_was(
    tmp_path: Path, version: int, age: str
) -> None:
    path = tmp_path / "run.json"
    path.write_text(f'{{"format": {version}, "made": "then", "stages": {{}}, "new": 1}}')
    with pytest.raises(
        InputError, match=rf"run\.json has format {version}, .* reads format 1\n.*{age} edgeaudio"
    ):
        read_measurement(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"format": 1}',
        b'{"format": "1", "made": "", "stages": []}',
        b'{"format": 1.5, "made": "", "stages": []}',
        b'{"format": 1, "made": "\xff", "stages": []}',
        b'{"type": "detection", "name": "computer"}',
        b"[" * 100_000,
    ],
)
def test_something_else_is_no_measurement(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(data)
    with pytest.raises(InputError, match="is no measurement: "):
        read_measurement(path)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"more": 1}, "unknown field `more`"),
        ({"seconds": "5"}, r"Expected `float`, got `str` - at `\$.seconds`"),
        ({"seconds": 0.0}, "it lasted 0 s"),
        ({"seconds": -3}, "it lasted -3 s"),
        ({"seconds": 1e-300}, "it lasted 1e-300 s"),
        ({"stages": changed_stage(max_ms=1e300)}, "it holds a number beyond 1e\\+15"),
        ({"profile_settings": {"budgets": {"cpu_share": -(2**62)}}}, "it holds a number beyond 1e\\+15"),
        ({"stages": [*FACTS["stages"], FACTS["stages"][0]]}, "stage 'wait' is there twice"),
        ({"stages": changed_stage(mean_ms=-1)}, "stage 'wait' has negative figures"),
        ({"stages": changed_stage(p95_interval_ms=[3, 2])}, "an interval that ends before it begins"),
        ({"stages": changed_stage(group="lunch")}, "Invalid enum value 'lunch'"),
        ({"stages": changed_stage(samples=[[1]])}, r"at `\$.stages\[0\].samples\[0\]`"),
    ],
)
def test_what_no_run_finds_is_refused(tmp_path: Path, changes: dict[str, object], problem: str) -> None:
    with pytest.raises(InputError, match=f"is a spoiled measurement: .*{problem}"):
        read_measurement(written(tmp_path / "run.json", **changes))


def test_numbers_beyond_all_bounds_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    text = encode(RUN).decode()
    for nonsense in ("NaN", "Infinity", "1e999"):
        path.write_text(text.replace('"seconds": 5.0', f'"seconds": {nonsense}'))
        with pytest.raises(InputError):
            read_measurement(path)


@pytest.mark.parametrize("depth", [700, 950, 50_000])
def test_settings_nested_without_end_are_refused(tmp_path: Path, depth: int) -> None:
    path = tmp_path / "run.json"
    deep = "[" * depth + "]" * depth
    path.write_text(encode(RUN).decode().replace('"block_ms": 40', f'"block_ms": {deep}'))
    with pytest.raises(InputError):
        read_measurement(path)


@settings(max_examples=30)
@given(st.randoms(use_true_random=False))
def test_whatever_a_file_says_is_refused_or_compared_and_told(rng: random.Random) -> None:
    text = encode(RUN).decode()
    numbers = [match.span() for match in re.finditer(r"-?\d+\.?\d*(e-?\d+)?", text)]
    for begin, end in sorted(rng.sample(numbers, rng.choice([1, 2, 20])), reverse=True):
        nonsense = rng.choice(["0", "-1", "1e14", "1e-308", "18446744073709551615", "null", "[]", '"\x1b"'])
        text = text[:begin] + nonsense + text[end:]
    try:
        run = decode(text.encode(), "run.json")
    except InputError:
        return
    for comparison in (compare(RUN, run), compare(run, RUN)):
        assert all(math.isfinite(change.after) for change in comparison.changes)
    assert "\x1b" not in render(run, check(run))
    assert page(run, check(run)).startswith("<!")
    assert trace(run)["traceEvents"]


def test_too_large_and_strange_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_MAX_BYTES", 1000)
    with pytest.raises(InputError, match="is larger than"):
        read_measurement(written(tmp_path / "run.json"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="is not a regular file"):
        read_measurement(tmp_path / "pipe")
    with pytest.raises(InputError, match="cannot read"):
        read_measurement(tmp_path / "missing.json")


def test_a_file_that_was_there_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("before")
    (tmp_path / "link").symlink_to(path)
    write_whole(tmp_path / "link", "after")
    assert path.read_text() == "after"
    assert (tmp_path / "link").is_symlink()


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("before")
    with pytest.raises(OutputError, match=r"cannot write .*run\.json: "):
        write_whole(path, _Unwritable())  # type: ignore[arg-type]
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]


class _Unwritable(str):
    """Fails where a full disk would."""

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        raise OSError(28, "No space left on device")


def test_what_cannot_be_written_is_found_out_before(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, problem in {
        "missing/run.json": "the folder .* does not exist",
        "pipe": "is not a regular file",
        ".": "is not a regular file",
        "x" * 300: "cannot write",
        "loop": "cannot write|does not exist|not a regular",
    }.items():
        with pytest.raises(OutputError, match=problem):
            check_writable(tmp_path / name)
    with pytest.raises(OutputError, match="is not a regular file"):
        check_writable(Path(os.devnull))
    check_writable(tmp_path / "run.json")

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeaudio.config import load_yaml, nearest
from edgeaudio.errors import ConfigError, ModelError


class Band(msgspec.Struct, forbid_unknown_fields=True):
    low_hz: float
    high_hz: float = 8000.0


class Settings(msgspec.Struct, forbid_unknown_fields=True):
    block_ms: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    words: tuple[str, ...] = ()
    bands: list[Band] = []
    named: dict[str, Band] = {}
    main: Band | None = None
    told: Annotated[Band | None, msgspec.Meta(description="Described.")] = None

    def __post_init__(self) -> None:
        if self.block_ms == 13.0:
            raise ConfigError("13 is unlucky", hint="Take 12.")


def load(tmp_path: Path, text: str | bytes) -> Settings:
    path = tmp_path / "settings.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_yaml(path, Settings)


def test_values_arrive_typed(tmp_path: Path) -> None:
    found = load(tmp_path, "block_ms: 20\nwords: ['yes', go]\nnamed: {a: {low_hz: 1}}\nmain: {low_hz: 2.5}\n")
    assert found == Settings(block_ms=20.0, words=("yes", "go"), named={"a": Band(1.0)}, main=Band(2.5))


@pytest.mark.parametrize(
    ("text", "problem", "advice"),
    [
        ("blok_ms: 1", "unknown field `blok_ms`", "Did you mean 'block_ms'?"),
        ("qqqq: 1", "unknown field `qqqq`", "Known keys here: block_ms, words, bands, named, main, told."),
        ("main: {low_hz: 1, hi_hz: 2}", "`$.main`", "Did you mean 'high_hz'?"),
        ("told: {low_hz: 1, hi_hz: 2}", "`$.told`", "Did you mean 'high_hz'?"),
        ("bands: [{low_hz: 1, hih_hz: 2}]", "`$.bands[0]`", "Did you mean 'high_hz'?"),
        ("named: {a: {lo_hz: 1}}", "`$.named[...]`", "Did you mean 'low_hz'?"),
        ("words: [yes, no]", "Expected `str`, got `bool` - at `$.words[0]`", "put them in quotes"),
        ("block_ms: '10'", "Expected `float`, got `str` - at `$.block_ms`", ""),
        ("block_ms: 0", "`$.block_ms`", ""),
        ("block_ms: 13", "13 is unlucky", "Take 12."),
        ("main: {}", "missing required field `low_hz`", ""),
        ("", "Expected `object`, got `null`", ""),
        ("just text", "Expected `object`, got `str`", ""),
        ("block_ms: [", "no valid YAML", ""),
        ("a: 1\nb: ]", "line 2, column 4", ""),
        ("block_ms: 1\nblock_ms: 2", "key 'block_ms' is given twice (line 2, column 1)", ""),
        ("bands: &x [{low_hz: 1}]\nnamed: *x", "aliases", "write the value out"),
        ("block_ms: 2026-13-99", "settings.yaml", ""),
        ("block_ms: " + "1:" * 400 + "1.5", "no valid YAML", ""),
        ("block_ms: !!bool maybe", "no valid YAML", ""),
        ("block_ms: !!timestamp x", "no valid YAML", ""),
        ("block_ms: !!int ''", "no valid YAML", ""),
        ("? [a]\n: 1", "a key must be one word", ""),
        ("!!python/object/apply:os.system [true]", "no valid YAML", ""),
        (b"\xff\xfe\x00", "no valid YAML", ""),
        ("{" * 250_000, "more than 30 levels", ""),
        ("- " * 120_000, "more than 30 levels", ""),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str | bytes, problem: str, advice: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert str(tmp_path / "settings.yaml") in message
    assert problem in message
    assert advice in message
    assert caught.value.exit_code == 7


def test_a_billion_laughs_are_not_told(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60)]
    with pytest.raises(ConfigError, match="aliases"):
        load(tmp_path, "\n".join(lines))


def test_size_kind_and_absence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="larger than the 256 KB"):
        load(tmp_path, "#" * 300_000)
    with pytest.raises(ConfigError, match="No such file"):
        load_yaml(tmp_path / "absent.yaml", Settings)
    with pytest.raises(ConfigError, match="not a regular file"):
        load_yaml(tmp_path, Settings)
    with pytest.raises(ModelError, match="No such file"):
        load_yaml(tmp_path / "absent.yaml", Settings, error=ModelError)


@given(st.one_of(st.binary(max_size=200), st.text(alphabet="ab:-[]{}&*!?|>'\"#%@\n\t 01", max_size=60)))
def test_no_bytes_are_a_surprise(tmp_path_factory: pytest.TempPathFactory, content: bytes | str) -> None:
    folder = tmp_path_factory.getbasetemp()
    with contextlib.suppress(ConfigError):
        assert isinstance(load(folder, content), Settings)


def test_nearest() -> None:
    assert nearest("Computr", ["computer", "yes"]) == "computer"
    assert nearest("zzz", ["computer", "yes"]) is None

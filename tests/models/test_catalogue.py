from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeaudio.errors import ModelError
from edgeaudio.models import catalogue
from edgeaudio.models.catalogue import find_language, find_model, list_models, search_path


@pytest.fixture
def installed(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's own model folder with three models, one of them broken, and no bundled ones."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(
        catalogue, "__file__", str(tmp_path / "site" / "edgeaudio" / "models" / "catalogue.py")
    )
    root = tmp_path / "data" / "edgeaudio" / "models"
    for name in ("wake-computer", "commands-12", "broken"):
        shutil.copytree(pristine, root / name)
    (root / "broken" / "model.yaml").write_text("name: [")
    (root / "not-a-model").mkdir()
    return root


def test_a_checkout_finds_the_models_beside_the_package() -> None:
    bundled = search_path()[0]
    assert bundled.name == "models"
    assert (bundled.parent / "pyproject.toml").is_file()


def test_an_installed_package_finds_the_models_inside_it(installed: Path) -> None:
    assert search_path()[0].parts[-3:] == ("edgeaudio", "_bundled", "models")
    assert search_path()[1] == installed


def test_names_are_found(installed: Path) -> None:
    assert find_model("wake-computer") == installed / "wake-computer"


def test_the_bundled_model_wins_over_the_users(installed: Path, pristine: Path) -> None:
    bundled = search_path()[0] / "wake-computer"
    shutil.copytree(pristine, bundled)
    assert find_model("wake-computer") == bundled


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("wake-computr", "wake-computer"), ("WAKE-COMPUTER", "wake-computer"), ("comands12", "commands-12")],
)
def test_an_unknown_name_suggests_the_nearest(installed: Path, wrong: str, right: str) -> None:
    with pytest.raises(ModelError, match=f"unknown model '{wrong}'") as caught:
        find_model(wrong)
    message = str(caught.value)
    assert f"Did you mean '{right}'?" in message
    for folder in search_path():
        assert str(folder) in message
    assert caught.value.exit_code == 5


def test_a_name_like_no_other_lists_all(installed: Path) -> None:
    with pytest.raises(ModelError) as caught:
        find_model("qqq")
    assert "Known: broken, commands-12, wake-computer" in str(caught.value)


def test_paths(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = installed / "wake-computer"
    assert find_model(folder) == folder
    assert find_model(str(folder)) == folder
    assert find_model(folder / "model.yaml") == folder
    with pytest.raises(ModelError, match="holds no model"):
        find_model(installed / "absent")
    monkeypatch.chdir(installed)
    assert find_model("./commands-12") == Path("commands-12")
    with pytest.raises(ModelError, match="not-a-model"):
        find_model("not-a-model")
    (installed / "not-a-model").rename(installed / "local")
    with pytest.raises(ModelError) as caught:
        find_model("local")
    assert "./local" in str(caught.value)


def test_a_user_without_a_home_has_the_bundled_models(homeless: None) -> None:
    assert {entry.path.parent for entry in list_models()} <= {search_path()[0]}
    with pytest.raises(ModelError, match="holds no model"):
        find_model("~/models/mine")


@pytest.mark.parametrize("name", ["x" * 300, "./" + "x" * 300])
def test_names_that_no_file_can_have(installed: Path, name: str) -> None:
    with pytest.raises(ModelError, match=r"unknown model|holds no model"):
        find_model(name)


def test_languages_are_found_by_name_and_by_path(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = installed / "english-small"
    folder.mkdir()
    (folder / "language.bin").write_bytes(b"")
    file = folder / "language.bin"
    assert find_language("english-small") == file
    for path in (folder, str(folder), file, str(file)):
        assert find_language(path) == file
    monkeypatch.chdir(folder)
    assert find_language("./language.bin") == Path("language.bin")
    assert "english-small" not in {entry.name for entry in list_models()}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("english-smal", "(?s)unknown language model 'english-smal'.*Did you mean 'english-small'"),
        ("commands-12", "unknown language model 'commands-12'"),
        ("./nowhere", "nowhere: there is no such language model"),
        (Path("nowhere.bin"), "nowhere.bin: there is no such language model"),
    ],
)
def test_an_unknown_language_says_what_was_looked_for(installed: Path, wrong: str, message: str) -> None:
    (installed / "english-small").mkdir()
    (installed / "english-small" / "language.bin").write_bytes(b"")
    with pytest.raises(ModelError, match=message):
        find_language(wrong)


@pytest.mark.parametrize(("made", "kind"), [(Path.touch, "file"), (Path.mkdir, "folder")])
def test_what_has_that_name_here_is_pointed_out(
    installed: Path, monkeypatch: pytest.MonkeyPatch, made: Callable[[Path], None], kind: str
) -> None:
    monkeypatch.chdir(installed)
    made(installed / "talks.arpa")
    with pytest.raises(ModelError, match=f"For the {kind} of that name write './talks.arpa'"):
        find_language("talks.arpa")


def test_listing_shows_what_is_broken_and_why(installed: Path) -> None:
    entries = {entry.name: entry for entry in list_models()}
    assert list(entries) == ["broken", "commands-12", "wake-computer"]
    assert entries["commands-12"].manifest is not None
    assert entries["broken"].manifest is None
    assert "no valid YAML" in (entries["broken"].error or "")

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeaudio.errors import ModelError, OutputError, UsageError
from edgeaudio.models.catalogue import find_model
from edgeaudio.training.place import check_place, place

MODEL = find_model("wake-computer")


def contents(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(output: Path, change: Callable[[Path], None]) -> None:
    with place(output) as folder:
        shutil.copytree(MODEL, folder)
        change(folder)


def test_a_finished_model_is_moved_into_place(tmp_path: Path) -> None:
    output = tmp_path / "models" / "lamp"
    with place(output) as folder:
        assert folder.name == "lamp"
        shutil.copytree(MODEL, folder)
        assert not output.exists()
    assert contents(output) == contents(MODEL)
    assert contents(output.parent) == ["lamp"], "no draft is left"


def test_a_replaced_model_keeps_what_the_new_one_lacks(tmp_path: Path) -> None:
    output = tmp_path / "lamp"
    shutil.copytree(MODEL, output)
    (output / "notes.txt").write_text("mine")
    (output / "README.md").write_text("old")
    (output / "takes").mkdir()
    (output / "takes" / "1.txt").write_text("mine, too")
    with place(output) as folder:
        shutil.copytree(MODEL, folder)
    assert (output / "notes.txt").read_text() == "mine"
    assert (output / "takes" / "1.txt").read_text() == "mine, too"
    assert (output / "README.md").read_text() != "old"
    assert contents(tmp_path) == ["lamp"]


def test_a_model_that_answers_wrongly_is_not_written(tmp_path: Path) -> None:
    output = tmp_path / "lamp"
    shutil.copytree(MODEL, output)
    (output / "README.md").write_text("old")

    def spoil(folder: Path) -> None:
        (folder / "golden.npz").write_bytes(b"PK of nothing")

    def interrupt(folder: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(ModelError, match="the model was not written: golden"):
        write(output, spoil)
    with pytest.raises(KeyboardInterrupt):
        write(output, interrupt)
    assert (output / "README.md").read_text() == "old"
    assert contents(tmp_path) == ["lamp"]


def test_a_model_that_cannot_be_moved_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "lamp"
    shutil.copytree(MODEL, output)
    (output / "README.md").write_text("old")
    rename = Path.rename

    def full(path: Path, target: Path) -> Path:
        if target == output and path.name == output.name:
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OutputError, match="No space left"):
        write(output, lambda _: None)
    assert (output / "README.md").read_text() == "old"


def test_a_place_is_checked_before_the_work(tmp_path: Path) -> None:
    check_place(tmp_path / "new" / "lamp", overwrite=False)
    shutil.copytree(MODEL, tmp_path / "lamp")
    with pytest.raises(UsageError, match="holds a model already"):
        check_place(tmp_path / "lamp", overwrite=False)
    check_place(tmp_path / "lamp", overwrite=True)
    (tmp_path / "photos").mkdir()
    with pytest.raises(UsageError, match="is no model"):
        check_place(tmp_path / "photos", overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        check_place(tmp_path / "file" / "lamp", overwrite=False)

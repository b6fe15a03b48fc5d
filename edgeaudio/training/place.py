"""Where a new model goes: tried before the work begins, filled at its end, and all at once."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeaudio.errors import ModelError, OutputError, UsageError
from edgeaudio.models.bundle import load_bundle
from edgeaudio.models.manifest import holds_model
from edgeaudio.models.verify import verify

__all__ = ["check_place", "place"]


def check_place(output: Path, *, overwrite: bool) -> None:
    """Make sure that a model can be written there, before an hour goes into it.

    Raises
    ------
    UsageError
        Something is there already.
    OutputError
        Nothing can be written there.
    """
    if output.exists():
        if not holds_model(output):
            raise UsageError(f"{output} exists and is no model", hint="Name another place: --output DIR")
        if not overwrite:
            raise UsageError(
                f"{output} holds a model already",
                hint="--overwrite replaces it once the new one is finished; --output DIR names another.",
            )
    with _draft(output):
        pass


@contextmanager
def place(output: Path) -> Iterator[Path]:
    """Yield a folder of the same name beside it; it is verified afterwards, and moved into place.

    A model that stood there is replaced, its further files and folders are kept. Where anything
    fails, everything is as it was.

    Raises
    ------
    ModelError
        What was written does not answer as it did in training.
    OutputError
        Nothing can be written there.
    """
    with _draft(output) as scratch:
        folder = scratch / output.name
        yield folder
        for check in verify(load_bundle(folder)):
            if check.outcome == "failed":
                raise ModelError(f"the model was not written: {check.name}: {check.detail}")
        _move(folder, output, scratch)


@contextmanager
def _draft(output: Path) -> Iterator[Path]:
    scratch = None
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}-"))
        yield scratch
    except OSError as error:
        raise OutputError(
            f"cannot write {output}: {error.strerror or error}", hint="Name another place: --output DIR"
        ) from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def _move(folder: Path, output: Path, scratch: Path) -> None:
    if not output.exists():
        folder.rename(output)
        return
    for path in output.iterdir():
        if (folder / path.name).exists():
            continue
        if path.is_dir():
            shutil.copytree(path, folder / path.name, symlinks=True)
        else:
            shutil.copy2(path, folder, follow_symlinks=False)
    old = scratch / "old"
    output.rename(old)
    try:
        folder.rename(output)
    except OSError:
        old.rename(output)
        raise

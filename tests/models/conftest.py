from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.networks import write_random_bundle


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "random"
    write_random_bundle(folder)
    return folder


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    """A valid bundle of the test's own, to be broken."""
    return Path(shutil.copytree(pristine, tmp_path / "random"))

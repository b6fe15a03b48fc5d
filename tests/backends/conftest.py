from __future__ import annotations

from pathlib import Path

import pytest

from edgeaudio.models.bundle import Bundle, load_bundle
from tests.networks import write_random_bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder: Path = tmp_path_factory.mktemp("bundles") / "random"
    write_random_bundle(folder)
    return load_bundle(folder)

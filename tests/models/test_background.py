"""A model's background: what is written is read, stretches end with their excerpts, damage is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeaudio.errors import ModelError
from edgeaudio.models.background import (
    BACKGROUND_FILE,
    Background,
    embedding_fingerprint,
    load_background,
    save_background,
)
from edgeaudio.models.bundle import load_bundle


@pytest.fixture
def background(folder: Path) -> Background:
    manifest = load_bundle(folder).manifest
    segments = np.random.default_rng(0).uniform(0, 3, (30, manifest.embedding_width)).astype(np.float32)
    return Background(segments, np.array([10, 12, 30]), 7, 4.2, embedding_fingerprint(manifest))


def test_what_is_saved_is_loaded(folder: Path, background: Background) -> None:
    save_background(folder, background)
    found = load_background(folder, load_bundle(folder).manifest)
    # Half a step of 255 to a value's largest.
    assert np.abs(found.segments - background.segments).max() <= 0.5 * 3 / 255 * 1.001
    assert found.ends.tolist() == [10, 12, 30]
    assert (found.segment_frames, found.seconds) == (7, 4.2)


def test_stretches_stay_inside_an_excerpt(background: Background) -> None:
    joined, excerpts = background.stretches(3)
    assert excerpts.tolist() == [0] * 8 + [2] * 16
    assert np.array_equal(joined[8], background.segments[12:15].reshape(-1))


def test_that_of_another_model_is_refused(folder: Path, background: Background) -> None:
    save_background(folder, Background(**{**vars(background), "fingerprint": "f" * 64}))
    with pytest.raises(ModelError, match="another version"):
        load_background(folder, load_bundle(folder).manifest)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 nothing", b"\x80\x04."])
def test_what_is_no_background_is_refused(folder: Path, data: bytes) -> None:
    (folder / BACKGROUND_FILE).write_bytes(data)
    with pytest.raises(ModelError, match="holds no background"):
        load_background(folder, load_bundle(folder).manifest)


def test_without_one_nothing_can_be_enrolled(folder: Path) -> None:
    with pytest.raises(ModelError, match="cannot be enrolled with"):
        load_background(folder, load_bundle(folder).manifest)

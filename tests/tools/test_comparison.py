"""The table of networks and frontends for sounds, and what its learnable frontends begin as."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="tools/test --train installs PyTorch")

import torch

from edgeaudio.frontend import Frontend
from edgeaudio.training.batches import offline_frames
from edgeaudio.training.sounds import SHARED_SPEC
from edgeaudio.types import SAMPLE_RATE_HZ
from tools.comparison import page
from tools.comparison.ears import spectrum_ear, two_ears
from tools.comparison.networks import GaussianBands
from tools.comparison.variants import PLAIN, SHIPPED, VARIANTS

FACTS = {"clips": 320, "of_folds": [0.8], "parameters": 1000, "ms": 0.5, "circumstances": "here"}
FOUND = {PLAIN: {**FACTS, "right": 240}, SHIPPED: {**FACTS, "right": 288}}


@pytest.fixture
def sweep() -> np.ndarray:  # type: ignore[type-arg]
    t = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    sound = np.sin(2 * np.pi * (200.0 + 3000.0 * t) * t) + np.random.default_rng(0).normal(0.0, 0.1, t.size)
    return (0.1 * sound).astype(np.float32)


def test_gaussian_filters_begin_as_mel_bands(sweep: np.ndarray) -> None:  # type: ignore[type-arg]
    mel = offline_frames(Frontend(SHARED_SPEC), sweep)
    with torch.no_grad():
        bands = GaussianBands(80)(torch.from_numpy(spectrum_ear().frames_of(sweep))[None])[0].numpy()
    assert bands.shape == mel.shape
    # Above 1 kHz, where bands are wider than bins, a Gaussian differs from a triangle by its tails.
    assert np.abs(bands - mel)[:, 40:].mean() < 0.5


def test_two_resolutions_end_together(sweep: np.ndarray) -> None:  # type: ignore[type-arg]
    ear = two_ears()
    frames = ear.frames_of(sweep)
    assert frames.shape == (len(offline_frames(Frontend(SHARED_SPEC), sweep)), 160)
    assert len(ear.positions) == 160


def test_the_table_says_what_each_row_gains() -> None:
    text = page.page(FOUND, "tools/compare-sounds RECORDINGS", 500, 1)
    assert f"| {VARIANTS[SHIPPED].title} | 90.0% (86.2% to 92.8%) | +15.0 | 1,000 | 0.50 ms |" in text


def test_only_the_table_of_the_document_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = tmp_path / "sounds.md"
    monkeypatch.setattr(page, "DOCUMENT", document)
    document.write_text("# All\n\n## Sounds\n\nWords.\n\n## Speakers\n\nMore.\n")
    page.write_docs("one")
    page.write_docs("two")
    assert document.read_text() == (
        "# All\n\n## Sounds\n\nWords.\n\n<!-- compare-sounds -->\ntwo\n<!-- /compare-sounds -->\n"
        "\n## Speakers\n\nMore.\n"
    )

"""What is drawn: readable without eyes, complete in itself, and the same in both forms."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import numpy as np
import pytest

from edgeaudio.explaining.colours import HEAT, SOUND, coloured, heated, png
from edgeaudio.explaining.explanation import Explanation, explain
from edgeaudio.explaining.page import page
from edgeaudio.explaining.picture import picture
from edgeaudio.explaining.view import sentences
from edgeaudio.models.bundle import load_bundle
from edgeaudio.models.catalogue import find_model
from edgeaudio.types import Samples

image = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def written(explained: Explanation) -> str:
    return page(explained)


def test_a_page_needs_nothing_else(written: str) -> None:
    assert len(written.encode()) < 1_000_000
    assert "<script" not in written
    # Nothing is loaded but what lies in the page itself.
    assert set(re.findall(r'(?:href|src)="([^:"]*:)', written)) == {"data:"}
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in written.replace("&#x27;", "'")
    assert "prefers-color-scheme: dark" in written


def test_a_page_is_told_in_words_too(written: str, explained: Explanation) -> None:
    for sentence in sentences(explained):
        assert sentence.replace("'", "&#x27;") in written
    pictures = re.findall(
        r'<svg class="chart" role="img"[^>]*><title>([^<]+)</title><desc>([^<]+)</desc>', written
    )
    assert [title.replace("&#x27;", "'") for title, _ in pictures] == [
        "Waveform",
        "Spectrogram",
        "What spoke for 'computer'",
        "Score of 'computer' over time",
    ]
    assert re.search(r"Most of it lies from 1\.\d\d s to \d\.\d\d s, [\d.]+ k?Hz to [\d.]+ k?Hz\.", written)


def test_a_page_of_a_waveform_model_has_no_bands(in_noise: Samples) -> None:
    raw = load_bundle(find_model("commands-12-raw"))
    found = explain(in_noise, raw, clip="<b>$x.wav", label="silence")
    written = page(found)
    assert "Spectrogram" not in written
    assert "<b>$x" not in written
    assert "&lt;b&gt;$x.wav" in written


def test_a_picture_is_a_png_with_its_words(explained: Explanation) -> None:
    drawn = image.open(io.BytesIO(picture(replace(explained, clip="$x^2"))))
    assert drawn.size[0] == 1200
    assert drawn.info["Description"] == " ".join(sentences(explained))


def test_where_nothing_speaks_for_it_it_is_said(explained: Explanation) -> None:
    empty = replace(explained, saliency=np.zeros_like(explained.saliency), mattered=None)
    assert sentences(empty)[1] == "Nothing in the recording spoke for it, says integrated gradients."
    assert "Nothing in the recording spoke for it" in page(empty)


@pytest.mark.parametrize("ramp", [SOUND, HEAT])
def test_ramps_grow_ever_lighter(ramp: tuple[str, ...]) -> None:
    colours = coloured(np.linspace(0, 1, 50), ramp).astype(float)
    lightness = colours @ [0.2126, 0.7152, 0.0722]  # Rec. 709
    assert (np.diff(lightness) > 0).all()


def test_images_are_what_they_were() -> None:
    rng = np.random.default_rng(0)
    pixels = heated(rng.random((5, 7)), rng.random((5, 7)))
    np.testing.assert_array_equal(np.asarray(image.open(io.BytesIO(png(pixels)))), pixels)

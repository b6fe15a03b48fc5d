"""Where nobody speaks nothing is written down: noise, music, an hour and a half with animals and cries."""

from __future__ import annotations

import numpy as np
import pytest

from edgeaudio.engine import Engine
from edgeaudio.evaluation.manifest import read_clip, read_manifest
from edgeaudio.events import Caption
from edgeaudio.tasks.recognizer import Recognizer
from edgeaudio.testing import ArraySource

MODEL = "captions-en-small"


@pytest.fixture(scope="module")
def recognizer():
    return Recognizer.load(MODEL)


def captions(recognizer, samples):
    """All that is ever shown of a recording, tentative text included."""
    events = Engine(ArraySource(samples), recognizer).run_until_finished()
    return [event for event in events if isinstance(event, Caption)]


def recordings(corpus):
    return [read_clip(row) for row in read_manifest(corpus / "manifest.tsv")]


def n_captions(recognizer, corpus):
    """How many captions a whole corpus gives, each recording by itself."""
    shown = [captions(recognizer, samples) for samples in recordings(corpus)]
    return sum(len({event.caption_id for event in events}) for events in shown)


@pytest.mark.parametrize("level", [0.0, 1e-4, 0.01, 0.3])
def test_nothing_comes_of_silence_and_hiss(recognizer, level):
    hiss = np.random.default_rng(1).normal(0, 1, 16000 * 20).astype(np.float32)
    assert captions(recognizer, level * hiss) == []


def test_nothing_comes_of_tones_and_clicks(recognizer):
    seconds = np.arange(16000 * 10) / 16000
    chords = [
        sum(np.sin(2 * np.pi * f * seconds) for f in (f0, 1.25 * f0, 1.5 * f0)) for f0 in (131, 220, 440)
    ]
    clicks = np.zeros(16000 * 10)
    clicks[::8000] = 1.0
    for sound in (*chords, 4 * clicks):
        assert captions(recognizer, (0.2 * sound).astype(np.float32)) == []


@pytest.mark.shared
def test_next_to_nothing_comes_of_noise_and_music(recognizer, shared_dir):
    """A quarter of an hour: kitchens, streets, rain, machines, music. One bird's song passes for speech."""
    assert n_captions(recognizer, shared_dir / "data" / "noise") <= 1


@pytest.mark.shared
@pytest.mark.slow
def test_next_to_nothing_comes_of_an_hour_and_a_half_of_animals_and_cries(recognizer, shared_dir):
    """What is made by a throat resembles speech most: dogs, roosters, sneezes, crying babies."""
    assert n_captions(recognizer, shared_dir / "data" / "esc10_folds1to4") <= 4  # 27 minutes
    assert n_captions(recognizer, shared_dir / "data" / "donateacry") <= 20  # 53 minutes

"""A real word at a known place, and what the shipped models say of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgeaudio
from edgeaudio.explaining.explanation import Explanation, explain
from edgeaudio.explaining.hearing import load_clip
from edgeaudio.models.bundle import Bundle, load_bundle
from edgeaudio.models.catalogue import find_model
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

DEMO = Path(edgeaudio.__file__).parent / "assets" / "demo.flac"
WORD, FROM_S, TO_S = "computer", 1.5, 2.2
"""Where the word lies in `in_noise`: as long as in the demo, where it was spoken from 7.2 s to 7.91 s."""


@pytest.fixture(scope="session")
def in_noise() -> Samples:
    """One real word in three seconds of quiet noise."""
    noise = 10 ** (-65 / 20) * np.random.default_rng(0).standard_normal(round(3.0 * SAMPLE_RATE_HZ))
    word = load_clip(DEMO)[round(7.2 * SAMPLE_RATE_HZ) : round(7.91 * SAMPLE_RATE_HZ)]
    start = round(FROM_S * SAMPLE_RATE_HZ)
    noise[start : start + len(word)] += word
    return noise.astype(np.float32)


@pytest.fixture(scope="session")
def wake() -> Bundle:
    return load_bundle(find_model("wake-computer"))


@pytest.fixture(scope="session")
def explained(in_noise: Samples, wake: Bundle) -> Explanation:
    return explain(in_noise, wake, clip="word.wav")

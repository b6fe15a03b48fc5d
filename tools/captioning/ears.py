"""The recognisers that are compared: each hears a recording and writes it down."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

import numpy as np

from edgeaudio.decoding.text import normalise
from edgeaudio.engine import Engine
from edgeaudio.errors import MissingDependencyError
from edgeaudio.events import Caption
from edgeaudio.sources.array import ArraySource
from edgeaudio.tasks.recognizer import Recognizer
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["Ear", "Ours", "PocketSphinx"]


class Ear(Protocol):
    """Writes down recordings, each from a fresh state, and counts what it computes meanwhile."""

    name: str
    busy_s: float
    """CPU time of all recordings so far."""

    def write_down(self, samples: Samples) -> list[str]:
        """The normalised words heard in ``samples``, ``[n] float32`` at 16 kHz."""


class Ours:
    """A model of this project, as a stream in blocks of 80 ms; committed words count."""

    def __init__(self, model: str) -> None:
        self._recognizer = Recognizer.load(model)
        self.name, self.busy_s = self._recognizer.manifest.name, 0.0
        self.write_down(np.zeros(SAMPLE_RATE_HZ, np.float32))  # compiles
        self.busy_s = 0.0

    def write_down(self, samples: Samples) -> list[str]:
        """See :class:`Ear`."""
        begin = time.process_time()
        events = list(Engine(ArraySource(samples), self._recognizer).replay())
        self.busy_s += time.process_time() - begin
        finals = [event.text for event in events if isinstance(event, Caption) and event.final]
        return normalise(" ".join(finals))


class PocketSphinx:
    """PocketSphinx 5 with its American English model, dictionary and trigrams, whole recordings at once."""

    def __init__(self) -> None:
        try:
            import pocketsphinx
        except ImportError as error:
            raise MissingDependencyError(
                "pocketsphinx is missing", hint="pip install pocketsphinx"
            ) from error
        trigrams = Path(pocketsphinx.get_model_path("en-us/en-us.lm.bin"))
        self._decoder = pocketsphinx.Decoder(lm=str(trigrams), loglevel="FATAL")
        self.name, self.busy_s = "PocketSphinx", 0.0

    def write_down(self, samples: Samples) -> list[str]:
        """See :class:`Ear`."""
        begin = time.process_time()
        self._decoder.start_utt()
        self._decoder.process_raw(np.round(samples * 32767.0).astype(np.int16).tobytes(), full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        self.busy_s += time.process_time() - begin
        return normalise(found.hypstr) if found else []

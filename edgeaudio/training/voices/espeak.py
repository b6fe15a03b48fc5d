"""espeak-ng, a formant synthesiser with many accents and voice variants."""

from __future__ import annotations

import ctypes.util
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import numpy as np

from edgeaudio.training.voices.engine import Spoken, Utterance, missing, output
from edgeaudio.training.voices.espeak_worker import HEADER

__all__ = ["Espeak"]

# Where `python -m` finds this package even if it is not installed.
_ROOT = Path(__file__).parents[3]


class Espeak:
    """Every accent of English, combined with every voice variant that sounds like a person.

    A process of its own serves each batch; :mod:`edgeaudio.training.voices.espeak_worker` says why.
    """

    name = "espeak-ng"
    install = "apt-get install espeak-ng"
    marks_words = True

    ACCENTS = (
        "en-us", "en-us", "en-us-nyc", "en", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbclan",
        "en-gb-x-gbcwmd", "en-029",
    )  # fmt: skip
    # Effects rather than voices; whispers carry no pitch to vary.
    NOT_A_PERSON = re.compile(r"robo|whisper|demonic|announcer|fast|croak", re.IGNORECASE)

    BATCH = 500
    _WORKER = (sys.executable, "-m", "edgeaudio.training.voices.espeak_worker")

    @cached_property
    def voices(self) -> tuple[str, ...]:
        """``accent+variant`` names."""
        if ctypes.util.find_library("espeak-ng") is None:
            return ()
        variants = output(self._WORKER, cwd=_ROOT).decode().splitlines()
        people = [variant for variant in variants if not self.NOT_A_PERSON.search(variant)]
        return tuple(f"{accent}+{variant}" for accent in self.ACCENTS for variant in people)

    def say(self, utterances: Sequence[Utterance]) -> Iterator[Spoken | None]:
        """See :meth:`Engine.say`."""
        if not self.voices:
            raise missing(self)
        for i in range(0, len(utterances), self.BATCH):
            yield from self._batch(utterances[i : i + self.BATCH])

    def _batch(self, utterances: Sequence[Utterance]) -> Iterator[Spoken | None]:
        lines = "".join(json.dumps(asdict(utterance)) + "\n" for utterance in utterances)
        answer = output((*self._WORKER, "say"), lines.encode(), cwd=_ROOT)
        place = 0
        for _ in utterances:
            # A crash ends the answer early: this utterance and those after it are lost.
            header = answer[place : place + HEADER.size]
            n, rate, start, end = HEADER.unpack(header) if len(header) == HEADER.size else (-1, 0, 0, 0)
            first, place = place + HEADER.size, place + HEADER.size + 2 * max(n, 0)
            if n < 0 or place > len(answer):
                yield None
                continue
            samples = np.frombuffer(answer, "<i2", n, first) * np.float32(1 / 32768)
            yield Spoken(samples, rate, start, end)

"""espeak-ng, a formant synthesiser with many accents and voice variants."""

from __future__ import annotations

import ctypes.util
import re
import sys
from collections.abc import Iterator, Sequence
from functools import cached_property

from edgeaudio.training.voices.engine import ROOT, Spoken, Utterance, answers, missing, output

__all__ = ["WORKER", "Espeak"]

WORKER = (sys.executable, "-m", "edgeaudio.training.voices.espeak_worker")


class Espeak:
    """Every accent of English, combined with every voice variant that sounds like a person.

    A process of its own serves each batch; :mod:`edgeaudio.training.voices.espeak_worker` says why.
    """

    name = "espeak-ng"
    install = "apt-get install espeak-ng"
    marks_words = True
    known: tuple[str, ...] = ()

    ACCENTS = (
        "en-us", "en-us", "en-us-nyc", "en", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbclan",
        "en-gb-x-gbcwmd", "en-029",
    )  # fmt: skip
    # Effects rather than voices; whispers carry no pitch to vary.
    NOT_A_PERSON = re.compile(r"robo|whisper|demonic|announcer|fast|croak", re.IGNORECASE)

    BATCH = 500

    @cached_property
    def voices(self) -> tuple[str, ...]:
        """``accent+variant`` names."""
        if ctypes.util.find_library("espeak-ng") is None:
            return ()
        variants = output(WORKER, cwd=ROOT).decode().splitlines()
        people = [variant for variant in variants if not self.NOT_A_PERSON.search(variant)]
        return tuple(f"{accent}+{variant}" for accent in self.ACCENTS for variant in people)

    def say(self, utterances: Sequence[Utterance]) -> Iterator[Spoken | None]:
        """See :meth:`Engine.say`."""
        if not self.voices:
            raise missing(self)
        for i in range(0, len(utterances), self.BATCH):
            yield from answers((*WORKER, "say"), utterances[i : i + self.BATCH])

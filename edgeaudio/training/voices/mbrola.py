"""MBROLA: recorded diphones, for which espeak-ng finds phones, lengths and pitch."""

from __future__ import annotations

import ctypes.util
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from edgeaudio.training.voices.engine import Spoken, Utterance, answers, missing
from edgeaudio.training.voices.espeak import WORKER

__all__ = ["Mbrola"]


class Mbrola:
    """MBROLA behind espeak-ng's library (about 40 ms an utterance), which marks no words for it.

    Voices of other languages, where they are installed, speak English with their accent.
    """

    name = "mbrola"
    install = (
        "apt-get install espeak-ng mbrola mbrola-us1 mbrola-us2 mbrola-us3 mbrola-en1"
        "  # the voices are in Debian's non-free section: no product that holds them may be sold"
    )
    marks_words = False
    known: tuple[str, ...] = ("mb-us1", "mb-us2", "mb-us3", "mb-en1")

    ACCENTED = (
        *("mb-af1-en", "mb-de1-en", "mb-de2-en", "mb-de3-en", "mb-de4-en", "mb-de5-en", "mb-de6-en"),
        *("mb-fr1-en", "mb-fr4-en", "mb-gr2-en", "mb-hu1-en", "mb-nl2-en", "mb-pl1-en", "mb-ro1-en"),
        *("mb-sw1-en", "mb-sw2-en"),
    )
    # Where espeak-ng looks for the diphones.
    PLACES = ("/usr/share/mbrola/{0}", "/usr/share/mbrola/{0}/{0}", "/usr/share/mbrola/voices/{0}")
    BATCH = 100

    @cached_property
    def voices(self) -> tuple[str, ...]:
        """Installed ones, by espeak-ng's names."""
        if shutil.which("mbrola") is None or ctypes.util.find_library("espeak-ng") is None:
            return ()
        return tuple(voice for voice in (*self.known, *self.ACCENTED) if self._is_there(voice))

    def _is_there(self, voice: str) -> bool:
        data = voice.split("-")[1]
        return any(Path(place.format(data)).is_file() for place in self.PLACES)

    def say(self, utterances: Sequence[Utterance]) -> Iterator[Spoken | None]:
        """See :meth:`Engine.say`."""
        if not self.voices:
            raise missing(self)
        for i in range(0, len(utterances), self.BATCH):
            batch = utterances[i : i + self.BATCH]
            for utterance, spoken in zip(batch, answers((*WORKER, "say"), batch), strict=True):
                if spoken is None or utterance.before or utterance.after:
                    yield None
                    continue
                # The one mark that there is comes late.
                yield replace(spoken, start=0, end=spoken.samples.size)

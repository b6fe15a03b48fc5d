"""SVOX Pico: one American and one British voice, joined from recorded pieces."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from edgeaudio.training.voices.engine import Spoken, Utterance, missing, output, spoken_alone

__all__ = ["Pico"]


class Pico:
    """pico2wave, one process an utterance (about 40 ms); it does not tell where a word stands."""

    name = "pico"
    install = "apt-get install libttspico-utils  # in Debian's non-free section"
    marks_words = False
    known: tuple[str, ...] = ("en-US", "en-GB")

    @cached_property
    def voices(self) -> tuple[str, ...]:
        """Both of them, or none."""
        return self.known if shutil.which("pico2wave") else ()

    def say(self, utterances: Sequence[Utterance]) -> Iterator[Spoken | None]:
        """See :meth:`Engine.say`."""
        if not self.voices:
            raise missing(self)
        with tempfile.TemporaryDirectory() as folder:
            for utterance in utterances:
                yield self._say(utterance, Path(folder) / "speech.wav")

    def _say(self, utterance: Utterance, path: Path) -> Spoken | None:
        path.unlink(missing_ok=True)
        speed, pitch = (f"{100 * value:.0f}" for value in (utterance.rate, utterance.pitch))
        text = f'<speed level="{speed}"><pitch level="{pitch}">{utterance.phrase}</pitch></speed>'
        output(["pico2wave", "-l", utterance.voice, "-w", str(path), text])
        return spoken_alone(utterance, path)

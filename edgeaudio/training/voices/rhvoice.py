"""RHVoice: statistical voices with natural prosody, American and Scottish."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from edgeaudio.training.voices.engine import Spoken, Utterance, missing, output, spoken_alone

__all__ = ["RHVoice"]


class RHVoice:
    """RHVoice, one process an utterance (about 0.2 s); it does not tell where a word stands."""

    name = "rhvoice"
    install = "apt-get install rhvoice rhvoice-english  # the voices are in Debian's non-free section"
    marks_words = False
    # The others that come with them forbid commercial use.
    known: tuple[str, ...] = ("alan", "bdl", "clb", "slt")

    # Words at the end of a sentence are drawn out: "computer" alone takes 0.85 s, with others 0.5 s.
    SHORT_WORDS, SHORT_RATE = 3, 1.35

    FOLDERS = (Path("/usr/share/RHVoice/voices"), Path("/usr/local/share/RHVoice/voices"))

    @cached_property
    def voices(self) -> tuple[str, ...]:
        """Installed ones among the voices with a permissive licence."""
        if shutil.which("RHVoice-test") is None:
            return ()
        return tuple(voice for voice in self.known if any((at / voice).is_dir() for at in self.FOLDERS))

    def say(self, utterances: Sequence[Utterance]) -> Iterator[Spoken | None]:
        """See :meth:`Engine.say`."""
        if not self.voices:
            raise missing(self)
        with tempfile.TemporaryDirectory() as folder:
            for utterance in utterances:
                yield self._say(utterance, Path(folder) / "speech.wav")

    def _say(self, utterance: Utterance, path: Path) -> Spoken | None:
        path.unlink(missing_ok=True)
        short = len(utterance.phrase.split()) <= self.SHORT_WORDS
        rate = utterance.rate * (self.SHORT_RATE if short else 1)
        percent = [f"{100 * value:.0f}" for value in (rate, utterance.pitch)]
        output(
            ["RHVoice-test", "-p", utterance.voice, "-r", percent[0], "-t", percent[1], "-o", str(path)],
            given=utterance.phrase.encode(),
        )
        return spoken_alone(utterance, path)

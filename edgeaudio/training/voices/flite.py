"""flite, a small synthesiser with five American and Scottish voices built in."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from edgeaudio.training.voices.engine import Spoken, Utterance, missing, output, read

__all__ = ["Flite"]


class Flite:
    """flite, one process an utterance (about 20 ms); the word is found by its phones."""

    name = "flite"
    install = "apt-get install flite"
    marks_words = True
    known: tuple[str, ...] = ("awb", "kal", "kal16", "rms", "slt")

    # Mean pitch and its spread, Hz, measured at the voices' own settings. rms ignores what it is asked.
    PITCH: ClassVar = {
        "awb": (130, 20),
        "kal": (95, 11),
        "kal16": (95, 11),
        "rms": (101, 15),
        "slt": (170, 25),
    }

    def __init__(self) -> None:
        self._phones: dict[tuple[str, str], list[str]] = {}

    @cached_property
    def voices(self) -> tuple[str, ...]:
        """Built-in voices."""
        if shutil.which("flite") is None:
            return ()
        listed = output(["flite", "-lv"]).decode().split()
        return tuple(voice for voice in self.known if voice in listed)

    def say(self, utterances: Sequence[Utterance]) -> Iterator[Spoken | None]:
        """See :meth:`Engine.say`."""
        if not self.voices:
            raise missing(self)
        with tempfile.TemporaryDirectory() as folder:
            for utterance in utterances:
                yield self._say(utterance, Path(folder) / "speech.wav")

    def _say(self, utterance: Utterance, path: Path) -> Spoken | None:
        mean, spread = self.PITCH[utterance.voice]
        settings = {
            "duration_stretch": 1 / utterance.rate,
            "int_f0_target_mean": mean * utterance.pitch,
            "int_f0_target_stddev": spread * utterance.pitch * utterance.range,
        }
        arguments = ["flite", "-voice", utterance.voice, "-psdur", "-t", utterance.text, "-o", str(path)]
        for key, value in settings.items():
            arguments[1:1] = ["--setf", f"{key}={value:.4f}"]
        path.unlink(missing_ok=True)
        segments = [item.rsplit(":", 1) for item in output(arguments).decode().split()]
        if not path.exists():
            return None
        samples, rate = read(path)
        phones = [phone for phone, _ in segments]
        place = self._find(utterance, phones)
        if place is None:
            return None
        ends = [round(float(end) * rate) for _, end in segments]
        start = ends[place[0] - 1] if place[0] else 0
        return Spoken(samples, rate, start, min(ends[place[1] - 1], samples.size))

    def _find(self, utterance: Utterance, phones: list[str]) -> tuple[int, int] | None:
        """Where the phones of the phrase alone stand among those of the sentence."""
        wanted = self._alone(utterance.voice, utterance.phrase)
        expected = len(self._alone(utterance.voice, utterance.before)) + 1  # after the first pause
        places = [i for i in range(len(phones)) if phones[i : i + len(wanted)] == wanted]
        if not places:
            return None  # spoken differently in its neighbours' company
        start = min(places, key=lambda i: abs(i - expected))
        return start, start + len(wanted)

    def _alone(self, voice: str, text: str) -> list[str]:
        if not text:
            return []
        if (voice, text) not in self._phones:
            spoken = (
                output(["flite", "-voice", voice, "-ps", "-t", text + " ", "-o", "none"]).decode().split()
            )
            while spoken and spoken[0] == "pau":
                del spoken[0]
            while spoken and spoken[-1] == "pau":
                del spoken[-1]
            self._phones[voice, text] = spoken
        return self._phones[voice, text]

"""What is asked of a speech synthesiser, and what it answers."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from edgeaudio.errors import EdgeAudioError, MissingDependencyError
from edgeaudio.types import Samples

__all__ = ["Engine", "Spoken", "Utterance"]

TIMEOUT_S = 300

HEADER = struct.Struct("<4i")
"""Of a worker's answer: number of samples that follow as int16, their rate in Hz, first and last
sample of the phrase; -1 samples stand for a failure."""
FAILED = HEADER.pack(-1, 0, 0, 0)

ROOT = Path(__file__).parents[3]
"""Where ``python -m`` finds this package even if it is not installed."""


@dataclass(frozen=True)
class Utterance:
    """One request: ``phrase`` spoken between the carrier words ``before`` and ``after``.

    ``rate`` and ``pitch`` multiply the voice's own speed and mean fundamental frequency,
    ``range`` multiplies the swing of its intonation. What a voice cannot vary it ignores.
    """

    phrase: str
    voice: str
    before: str = ""
    after: str = ""
    rate: float = 1.0
    pitch: float = 1.0
    range: float = 1.0

    @property
    def text(self) -> str:
        """The whole sentence as the engine gets it."""
        return " ".join(part for part in (self.before, self.phrase, self.after) if part)

    @property
    def tokens(self) -> tuple[int, int]:
        """First token of the phrase in ``text``, and the one after its last."""
        first = len(self.before.split())
        return first, first + len(self.phrase.split())


@dataclass(frozen=True)
class Spoken:
    """Mono float32 audio at ``sample_rate_hz``; the phrase lies in ``samples[start:end]``."""

    samples: Samples
    sample_rate_hz: int
    start: int
    end: int


class Engine(Protocol):
    """What :func:`edgeaudio.training.synth.synthesise` needs of a synthesiser."""

    name: str
    install: str
    """Command that installs the engine and its voices on Debian and Ubuntu."""
    marks_words: bool
    """Whether it tells where in a sentence a word stands; if not, it says phrases on their own."""
    known: tuple[str, ...]
    """Voices that the command installs; none if the engine takes whatever there is."""

    @property
    def voices(self) -> tuple[str, ...]:
        """Voices found on this machine; none if the engine is not installed."""

    def say(self, utterances: Sequence[Utterance]) -> Iterator[Spoken | None]:
        """Speak in the order asked; None where the engine failed or could not tell the word's place."""


def missing(engine: Engine) -> MissingDependencyError:
    return MissingDependencyError(f"The speech engine {engine.name} is not installed.", hint=engine.install)


def output(arguments: Sequence[str], given: bytes = b"", cwd: Path | None = None) -> bytes:
    """Standard output of a command; that it failed shows in what it did not make."""
    try:
        result = subprocess.run(
            arguments, input=given, cwd=cwd, capture_output=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise EdgeAudioError(f"The speech engine {arguments[0]} gave no answer in {TIMEOUT_S} s.") from error
    return result.stdout


def read(path: Path) -> tuple[Samples, int]:
    import soundfile

    samples, rate = soundfile.read(path, dtype="float32")
    return samples, rate


def spoken_alone(utterance: Utterance, path: Path) -> Spoken | None:
    """What an engine that marks no words has written; None if the phrase stands among others."""
    if utterance.before or utterance.after or not path.exists():
        return None
    samples, rate = read(path)
    return Spoken(samples, rate, 0, samples.size)


def answers(worker: Sequence[str], utterances: Sequence[Utterance]) -> Iterator[Spoken | None]:
    """What a worker says to a batch: JSON lines to its standard input, :data:`HEADER` and samples back."""
    lines = "".join(json.dumps(asdict(utterance)) + "\n" for utterance in utterances)
    answer = output(worker, lines.encode(), cwd=ROOT)
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

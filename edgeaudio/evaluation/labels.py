"""Transcripts and word times for recordings that have none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from msgspec.structs import replace

from edgeaudio.backends.base import Runtime
from edgeaudio.decoding.base import LogProbs
from edgeaudio.decoding.forced import align_words
from edgeaudio.decoding.text import normalise
from edgeaudio.decoding.units import spelling
from edgeaudio.engine import Engine
from edgeaudio.errors import InputError
from edgeaudio.evaluation.manifest import Row, read_clip
from edgeaudio.events import Caption
from edgeaudio.frontend import Frontend
from edgeaudio.models.manifest import ModelManifest
from edgeaudio.profiles.profile import Profile
from edgeaudio.sources.file import SUFFIXES, FileSource
from edgeaudio.tasks.acoustic import AcousticModel
from edgeaudio.tasks.loading import Lexicon, load_acoustic
from edgeaudio.tasks.recognizer import Recognizer
from edgeaudio.tasks.timeline import Timeline
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["Aligner", "Label", "LabelledWord", "Labeller", "Transcriber", "find_recordings"]

_BLOCK_SAMPLES = 8 * 1280


@dataclass(frozen=True)
class LabelledWord:
    """A word, when it was spoken, and the probability that it is right."""

    word: str
    start_s: float
    end_s: float
    confidence: float


@dataclass(frozen=True)
class Label:
    """What is said in one recording."""

    text: str
    words: tuple[LabelledWord, ...]
    seconds: float

    @property
    def confidence(self) -> float:
        """Mean over the words; 1 where nothing is said."""
        if not self.words:
            return 1.0
        return sum(word.confidence for word in self.words) / len(self.words)


Labeller: TypeAlias = Callable[[Row], Label]
"""Says what is said in a recording."""


class Transcriber:
    """Writes down what is said in whole recordings, of any length.

    Parameters
    ----------
    recognizer : Recognizer
        It belongs to the transcriber from now on.
    """

    def __init__(self, recognizer: Recognizer) -> None:
        self._recognizer = recognizer

    def __call__(self, row: Row) -> Label:
        """Hear one recording.

        Raises
        ------
        InputError
            It cannot be read.
        """
        engine = Engine(FileSource(row.path), self._recognizer)
        words = tuple(
            LabelledWord(
                word.text,
                word.start_sample / SAMPLE_RATE_HZ,
                word.end_sample / SAMPLE_RATE_HZ,
                word.confidence,
            )
            for event in engine.replay()
            if isinstance(event, Caption) and event.final
            for word in event.words
        )
        heard_s = engine.stats().processed_samples / SAMPLE_RATE_HZ
        return Label(" ".join(word.word for word in words), words, heard_s)


class Aligner:
    """Finds out when each word of a known text is spoken.

    Parameters
    ----------
    acoustic : AcousticModel
        It belongs to the aligner from now on.
    manifest : ModelManifest
    lexicon : Lexicon
        Pronunciations, where the model's units are phones.
    """

    def __init__(self, acoustic: AcousticModel, manifest: ModelManifest, lexicon: Lexicon) -> None:
        self._acoustic = acoustic
        self._frontend = Frontend(acoustic.spec)
        self._timeline = Timeline(acoustic)
        # What the aligning search says of a word are log-odds already.
        self._captions = replace(manifest.recognition, confidence_scale=1.0, confidence_offset=0.0)
        self._lexicon = lexicon
        written = spelling(manifest.labels, self._captions.blank, self._captions.units)
        self._token = {text.strip(" "): token for token, text in enumerate(written) if text}
        self.separator = self._token.pop("", None)
        """The token between two words, where the units are letters."""
        self.blank = acoustic.blank
        self.frame_s = acoustic.frame_samples / SAMPLE_RATE_HZ

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        *,
        language: str | Path | None = None,
        backend: Runtime | None = None,
        profile: Profile | None = None,
    ) -> Aligner:
        """Load a model; see :meth:`edgeaudio.tasks.recognizer.Recognizer.load`."""
        acoustic, manifest, lexicon = load_acoustic(
            name_or_path, language=language, backend=backend, profile=profile
        )
        return cls(acoustic, manifest, lexicon)

    def __call__(self, row: Row) -> Label:
        """Align one recording of at most ten minutes with the text of its row.

        Raises
        ------
        InputError
            It cannot be read, or its text has no words, or cannot have been spoken in that time.
        """
        words = normalise(row.text)
        if not words:
            raise InputError(f"{row.origin}: the text has no words to align")
        samples = read_clip(row)
        log_probs = np.concatenate(list(self.hear([samples])))
        return self.align(log_probs, words, len(samples) / SAMPLE_RATE_HZ, origin=row.origin)

    def hear(self, blocks: Iterable[Samples]) -> Iterator[LogProbs]:
        """Hear one recording, in blocks of any length, and yield how probable each token is when."""
        self._acoustic.reset()
        self._frontend.reset()
        self._timeline.reset(0)
        for block in blocks:
            for at in range(0, len(block), _BLOCK_SAMPLES):
                frames = self._frontend.process(block[at : at + _BLOCK_SAMPLES])
                self._timeline.n_frames += len(frames)
                yield self._decided(self._acoustic.process(frames))
        yield self._decided(self._acoustic.flush())

    def _decided(self, log_probs: LogProbs) -> LogProbs:
        self._timeline.n_decided += len(log_probs)
        kept: LogProbs = log_probs.copy()
        return kept

    def spoken_s(self, output_frame: int) -> float:
        """When in the recording heard last that was spoken which shows in an output frame."""
        return self._timeline.spoken(output_frame) / SAMPLE_RATE_HZ

    def align(self, log_probs: LogProbs, words: Sequence[str], seconds: float, *, origin: str) -> Label:
        """Align the whole of the recording heard last with the words that were said.

        Raises
        ------
        InputError
            The words cannot be pronounced, or not in that time.
        """
        spoken = {word: self.tokens(word, origin) for word in words}
        aligned = align_words(log_probs, words, spoken, blank=self.blank, separator=self.separator)
        if not aligned:
            raise InputError(
                f"{origin}: {len(words)} words cannot be spoken in {seconds:.2f} s",
                hint="Does the text belong to this recording?",
            )
        return Label(
            " ".join(words),
            tuple(
                LabelledWord(
                    word.text,
                    self.spoken_s(word.start_frame),
                    self.spoken_s(word.end_frame),
                    self._captions.confidence(word.evidence),
                )
                for word in aligned
            ),
            seconds,
        )

    def tokens(self, word: str, origin: str) -> list[list[int]]:
        """Return the tokens of each pronunciation of a word.

        Raises
        ------
        InputError
            Nothing tells how it is pronounced.
        """
        if self._captions.units == "phones":
            said = [list(phones) for phones in self._lexicon.pronounce(word)]
        else:
            said = [list(word)]
        usable = [[self._token[unit] for unit in units] for units in said if set(units) <= set(self._token)]
        if not any(usable):
            raise InputError(
                f"{origin}: nothing tells how '{word}' is pronounced", hint="Name a lexicon with --lm."
            )
        return [units for units in usable if units]


def find_recordings(path: Path) -> list[Row]:
    """Return `path` itself, or the recordings in the folder `path` and those in it, in order.

    Raises
    ------
    InputError
        There is nothing of that name, or the folder cannot be read.
    """
    try:
        if not path.is_dir():
            path.stat()
            return [Row(path, str(path))]
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", hint="Check the path.") from None
    return [Row(file, str(file)) for file in files]

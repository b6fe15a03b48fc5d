"""Sentences of a text spoken by every installed synthesiser, for the training of recognisers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgeaudio.errors import EdgeAudioError, InputError, MissingDependencyError, OutputError
from edgeaudio.training.sentences import read_sentences
from edgeaudio.training.synth import MAX_CHARACTERS, synthesise, voice_report

__all__ = ["FORMANT_ENGINE", "narrate"]

FORMANT_ENGINE = "espeak"
"""How the folders of the one engine without a recorded voice begin."""

_WORDS = (3, 16)
_BATCH = 100
_SENTENCE_S = 3.5
"""About so long is a sentence, spoken."""


def narrate(
    text: Path, folder: Path, *, hours: float, seed: int, progress: Callable[[float], None] | None = None
) -> None:
    """Speak sentences drawn from a text, each once, and leave corpora ``<engine>-<number>`` in a folder.

    Engines take turns. What an earlier run left is not made again. A hundred sentences of which one
    cannot be spoken are left out: there are always more. Where the text ends, so does the speech.

    Raises
    ------
    InputError
        The text has no fitting sentence, or no engine could speak any.
    MissingDependencyError
        No engine is installed.
    OutputError
        The folder cannot be written.
    """
    fitting = sorted({
        " ".join(sentence.words)
        for sentence in read_sentences(text)
        if _WORDS[0] <= len(sentence.words) <= _WORDS[1] and _is_plain(" ".join(sentence.words))
    })  # fmt: skip
    if not fitting:
        raise InputError(f"{text}: no sentence of {_WORDS[0]} to {_WORDS[1]} words to speak")
    count = max(1, round(hours * 3600 / _SENTENCE_S))
    order = np.random.default_rng(seed).permutation(len(fitting))[:count]
    known = voice_report()
    engines = [engine.name for engine in known if engine.voices]
    if not engines:
        raise MissingDependencyError("No speech engine is installed.", hint=known[0].install)
    for first in range(0, len(order), _BATCH):
        engine = engines[first // _BATCH % len(engines)]
        corpus = folder / f"{engine}-{first}"
        if not (corpus / "manifest.tsv").is_file():
            batch = [fitting[i] for i in order[first : first + _BATCH]]
            try:
                synthesise(
                    batch, corpus, per_phrase=1, engines=[engine], seed=seed + first, carriers=False
                )  # fmt: skip
            except OutputError:
                raise
            except EdgeAudioError:
                shutil.rmtree(corpus, ignore_errors=True)
        if progress is not None:
            progress(min(1.0, (first + _BATCH) / len(order)))
    if not any(folder.glob("*/manifest.tsv")):
        raise InputError(f"no engine could speak any hundred sentences of {text}")


def _is_plain(sentence: str) -> bool:
    # Engines split words at apostrophes, and then cannot tell where the sentence begins.
    return "'" not in sentence and len(sentence) <= MAX_CHARACTERS

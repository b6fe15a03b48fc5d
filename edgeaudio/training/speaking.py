"""What the installed speech engines say for a model's training, and what is kept to measure on.

One engine is kept apart where there are three or more: a model knows the voices that it was
trained on, and a voice of an engine that it knows is half known, too. With fewer engines a fifth of
the voices is kept apart instead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeaudio.decoding.language import Language
from edgeaudio.errors import EdgeAudioError, MissingDependencyError
from edgeaudio.models.catalogue import find_language
from edgeaudio.training.chatter import random_sentences
from edgeaudio.training.phrases import confusables
from edgeaudio.training.synth import synthesise, voice_report
from edgeaudio.training.voices import ENGINES

__all__ = ["SENTENCES", "Cast", "cast", "describe_engines", "speak"]

LANGUAGE = "english-small"
SENTENCES = "sentences"
"""How the folders of made sentences are called; they begin so."""
_APART = "unseen-"

# From the one whose loss costs the training least: few voices, but unlike all others.
_BEST_APART = ("pico", "mbrola", "rhvoice", "piper")
_EVERY = 5
_SENTENCES, _SENTENCES_APART = 900, 1200
"""Three quarters of an hour to learn from, an hour to count false alarms in, both roughly."""


@dataclass(frozen=True)
class Cast:
    """Which engines are learned from, which is kept apart, and which single voices are (engine/voice)."""

    engines: tuple[str, ...]
    apart: str | None
    voices_apart: tuple[str, ...]


def cast() -> Cast:
    """Divide what is installed.

    Raises
    ------
    MissingDependencyError
        No engine is installed.
    """
    voices = {engine.name: engine.voices for engine in ENGINES if engine.voices}
    if not voices:
        raise MissingDependencyError(
            "no speech engine is installed, so that nobody can say the words",
            hint=f"At least: {ENGINES[0].install}",
        )
    if len(voices) >= 3:
        apart = next((name for name in _BEST_APART if name in voices), list(voices)[-1])
        return Cast(tuple(name for name in voices if name != apart), apart, _all(apart, voices[apart]))
    some = tuple(f"{name}/{voice}" for name, own in voices.items() for voice in own[1::_EVERY])
    return Cast(tuple(voices), None, some)


def _all(engine: str, voices: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{engine}/{voice}" for voice in voices)


def describe_engines() -> list[str]:
    """Lines for the user: which engines speak, which is kept to measure on, which are missing."""
    chosen = cast()
    counts = {engine.name: len(engine.voices) for engine in ENGINES}
    speaking = ", ".join(f"{name} ({_voices(counts[name])})" for name in chosen.engines)
    lines = [f"speech engines: {speaking}"]
    if chosen.apart is not None:
        lines.append(f"never trained on, to measure with: {chosen.apart} ({_voices(counts[chosen.apart])})")
    elif chosen.voices_apart:
        lines.append(
            f"never trained on, to measure with: {len(chosen.voices_apart)} of these voices; "
            "a third engine would be the better test"
        )
    else:
        lines.append("nobody is left to measure with: install a second engine")
    for engine in voice_report():
        if not engine.voices:
            lines.append(f"missing, more voices make a better model: {engine.name}: {engine.install}")
        elif engine.missing:
            lines.append(f"{engine.name} lacks {', '.join(engine.missing)}: {engine.install}")
    return lines


def _voices(count: int) -> str:
    return f"{count} voice{'s' * (count != 1)}"


def speak(
    words: Sequence[str],
    cache: Path,
    *,
    per_phrase: int,
    seed: int,
    sentences: bool,
    progress: Callable[[float], None],
) -> Path:
    """Speak the words, what could be taken for them and, if wanted, other sentences.

    What an equal earlier call has spoken is not spoken again, also where it was interrupted between
    two of its parts.

    Returns
    -------
    Path
        A folder of corpora.
    """
    chosen = cast()
    told = repr((tuple(words), per_phrase, seed, chosen))
    name = "-".join(words)[:40].replace(" ", "_")
    folder = cache / "synthetic" / f"{name}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"
    parts = _parts(words, chosen, per_phrase, seed, sentences=sentences)
    total, done = sum(part.clips for part in parts), 0
    for part in parts:
        if not (folder / part.name / "manifest.tsv").is_file():
            synthesise(
                part.phrases,
                folder / part.name,
                per_phrase=part.count,
                engines=part.engines,
                seed=seed,
                carriers=not part.name.endswith(SENTENCES),
                held_out=chosen.voices_apart,
                progress=_shifted(progress, done, total),
            )
        done += part.clips
        progress(done / total)
    return folder


def _shifted(progress: Callable[[float], None], before: int, total: int) -> Callable[[int, int], None]:
    return lambda done, _: progress((before + done) / total)


@dataclass(frozen=True)
class _Part:
    name: str
    phrases: Sequence[str]
    count: int
    engines: tuple[str, ...]

    @property
    def clips(self) -> int:
        return self.count * len(self.phrases)


def _parts(words: Sequence[str], chosen: Cast, per_phrase: int, seed: int, *, sentences: bool) -> list[_Part]:
    others = confusables(words)
    parts = [
        _Part("words", words, per_phrase, chosen.engines),
        _Part("others", others, max(1, per_phrase // 25), chosen.engines),
    ]
    if chosen.apart is not None:
        parts += [
            _Part(f"{_APART}words", words, max(1, per_phrase // 6), (chosen.apart,)),
            _Part(f"{_APART}others", others, max(1, per_phrase // 300), (chosen.apart,)),
        ]
    if sentences:
        share = min(1.0, per_phrase / 600)
        text = _sentences(words, seed, share)
        first = round(_SENTENCES * share)
        parts.append(_Part(SENTENCES, text[:first], 1, chosen.engines))
        if chosen.apart is not None:
            parts.append(_Part(f"{_APART}{SENTENCES}", text[first:], 1, (chosen.apart,)))
    return parts


def _sentences(words: Sequence[str], seed: int, share: float) -> list[str]:
    count = round((_SENTENCES + _SENTENCES_APART) * share)
    try:
        language = Language.load(find_language(LANGUAGE))
    except EdgeAudioError as error:
        raise MissingDependencyError(
            f"sentences to learn other speech from need the language {LANGUAGE}: {error}",
            hint="Give recordings of other speech instead: --data DIR or --negatives DIR",
        ) from error
    return random_sentences(language, count, seed=seed, avoid=words)

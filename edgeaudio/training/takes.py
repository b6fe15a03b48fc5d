"""Who says a phrase for training, between what words, how fast and how high: drawn at random."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeaudio.training.voices import Engine, Utterance

__all__ = ["FORMANT_ENGINE", "Take", "draw"]

# What stands before and after a phrase. Longer phrases are spoken on their own.
CARRIERS = (
    ("please say", "now"), ("hey", ""), ("so", "please"), ("now", ""), ("", "please"), ("I said", "again"),
    ("the word is", ""), ("he told me", "twice"), ("and", "one more time"), ("", "if you can"),
    ("well", "is what I mean"), ("could you", "for me"), ("it was", "after all"), ("maybe", "or not"),
    # What is wanted follows the name, without a pause.
    ("", "what time is it"), ("", "turn the lights on"), ("", "how are you"), ("", "show me the news"),
    ("", "open the window"), ("", "let me know"), ("well then", "goes next"), ("ask", "about it"),
    ("listen", "I need help"), ("good morning", "is it cold outside"), ("thank you", ""),
    ("I think", "did it"), ("where is", "today"), ("which", "do you like"), ("my", "broke"), ("a", "again"),
)  # fmt: skip
CARRIER_SHARE = 0.4
CARRIER_MAX_WORDS = 3

# Adults' vocal tracts differ by about 15 % around their mean, children's are up to 30 % shorter.
WARP = (0.85, 1.25)
# People say single words slowly: 0.5 s where an engine in mid-sentence takes 0.25 s.
RATE = (0.5, 1.15)
# Several run together.
RATE_OF_PHRASES = (0.6, 1.35)
SLOWER = 0.8
PITCH = (0.8, 1.25)
PITCH_PER_WARP = 2.5
"""A short tract comes with a high voice: pitch grows as this power of the warp (1.2 → 1.6)."""
RANGE = (0.4, 1.6)

MARGIN_S = (0.03, 0.06)

FORMANT_ENGINE = "espeak-ng"
FORMANT_SHARE = 0.2
"""Of clips without a recorded voice, where others speak as well: many speakers, but all of one kind."""
MANY_VOICES = 16
"""An engine with more is asked no oftener."""


@dataclass(frozen=True)
class Take:
    """One clip to be made: what is said, by whom and how."""

    phrase: str
    number: int
    engine: Engine
    utterance: Utterance
    warp: float
    margins_s: tuple[float, float]

    @property
    def speaker(self) -> str:
        """Engine, voice and setting: those of a setting sound like one person."""
        u = self.utterance
        setting = f"w{self.warp:.2f}p{u.pitch * self.warp:.2f}r{u.rate * self.warp:.2f}"
        return f"{self.engine.name}/{u.voice}/{setting}"


def draw(phrase: str, number: int, attempt: int, *, engines: list[Engine], seed: int, carriers: bool) -> Take:
    """Draw everything about one clip from a generator of its own."""
    rng = np.random.default_rng([seed, zlib.crc32(phrase.encode()), number, attempt])
    engine = engines[int(rng.choice(len(engines), p=_shares(engines)))]
    voice = engine.voices[int(rng.integers(len(engine.voices)))]
    before, after = CARRIERS[int(rng.integers(len(CARRIERS)))]
    framed = carriers and engine.marks_words and len(phrase.split()) <= CARRIER_MAX_WORDS
    if not framed or rng.random() > CARRIER_SHARE:
        before = after = ""
    tempo = RATE if " " not in phrase else RATE_OF_PHRASES
    warp, rate, pitch, swing = (
        float(np.exp(rng.uniform(np.log(low), np.log(high)))) for low, high in (WARP, tempo, PITCH, RANGE)
    )
    pitch *= warp**PITCH_PER_WARP
    margins = rng.uniform(*MARGIN_S, size=2)
    rate *= SLOWER**attempt
    utterance = Utterance(phrase, voice, before, after, rate=rate / warp, pitch=pitch / warp, range=swing)
    return Take(phrase, number, engine, utterance, warp, (float(margins[0]), float(margins[1])))


def _shares(engines: Sequence[Engine]) -> list[float]:
    """How often each engine is drawn."""
    weights = [
        0.0 if engine.name == FORMANT_ENGINE else math.sqrt(min(MANY_VOICES, len(engine.voices)))
        for engine in engines
    ]
    if not any(weights):
        return [1 / len(engines)] * len(engines)
    formant = FORMANT_SHARE * (0.0 in weights)
    return [(1 - formant) * weight / sum(weights) if weight else formant for weight in weights]

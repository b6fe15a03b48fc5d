"""Small adapters for the free speech synthesisers that training words are made with.

An engine is asked for many :class:`Utterance` at once, because starting one costs more than
speaking, and answers with :class:`Spoken` audio at its own rate, in which the samples of the
wanted phrase are marked. Text reaches the engines as a function argument, an argument list or a
generated file, never through a shell.
"""

from edgeaudio.training.voices.engine import Engine, Spoken, Utterance
from edgeaudio.training.voices.espeak import Espeak
from edgeaudio.training.voices.festival import Festival
from edgeaudio.training.voices.flite import Flite
from edgeaudio.training.voices.mbrola import Mbrola
from edgeaudio.training.voices.pico import Pico
from edgeaudio.training.voices.piper import Piper
from edgeaudio.training.voices.rhvoice import RHVoice

__all__ = [
    "ENGINES",
    "Engine",
    "Espeak",
    "Festival",
    "Flite",
    "Mbrola",
    "Pico",
    "Piper",
    "RHVoice",
    "Spoken",
    "Utterance",
]

ENGINES: tuple[Engine, ...] = (Espeak(), Flite(), Festival(), Pico(), RHVoice(), Mbrola(), Piper())
"""Every engine that edgeaudio can drive, installed or not."""

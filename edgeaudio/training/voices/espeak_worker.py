"""The process that loads espeak-ng's C library (speak_lib.h), whose word events say where words begin.

It runs apart, ``python -m edgeaudio.training.voices.espeak_worker``, because the library keeps the
phase of a voice's flutter from one utterance to the next: only a fresh process says the same
thing twice. And should a voice crash it, training goes on.

Without an argument it prints the names of all voice variants. With the argument ``say`` it reads
:class:`Utterance` as JSON lines and answers each as :data:`~edgeaudio.training.voices.engine.HEADER` says.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import math
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.training.voices.engine import FAILED, HEADER, Utterance

__all__ = ["Library"]


class _Event(ctypes.Structure):
    """``espeak_EVENT`` of speak_lib.h."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    ]


class _Voice(ctypes.Structure):
    """``espeak_VOICE`` of speak_lib.h."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    ]


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class Library:
    """libespeak-ng, loaded and initialised."""

    _SYNCHRONOUS = 2
    _WORD = 1
    _RATE, _PITCH, _RANGE = 1, 3, 4
    _WORDS_PER_MINUTE = 175
    _UTF8 = 1

    def __init__(self) -> None:
        path = ctypes.util.find_library("espeak-ng")
        if path is None:
            raise OSError("libespeak-ng is not installed")
        self._library = ctypes.CDLL(path)
        self._library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
        if self._library.espeak_Initialize(self._SYNCHRONOUS, 0, None, 0) <= 0:
            raise OSError("libespeak-ng does not find its data")
        self._callback = _CALLBACK(self._receive)
        self._library.espeak_SetSynthCallback(self._callback)
        self._blocks: list[NDArray[np.int16]] = []
        self._words: dict[int, int] = {}

    @property
    def sample_rate_hz(self) -> int:
        """That of the voice last used: MBROLA's have their own."""
        rate: int = self._library.espeak_ng_GetSampleRate()
        return rate

    def variants(self) -> list[str]:
        """Names of the voice variants, such as ``f3`` or ``klatt2``."""
        names = []
        for voice in self._library.espeak_ListVoices(ctypes.byref(_Voice(languages=b"variant"))):
            if not voice:
                break
            names.append(voice.contents.identifier.decode().removeprefix("!v/"))
        return sorted(names)

    def say(self, utterance: Utterance) -> tuple[NDArray[np.int16], int, int] | None:
        """Samples, and where the phrase begins and ends; None if that cannot be told."""
        self._blocks.clear()
        self._words.clear()
        library = self._library
        if library.espeak_SetVoiceByName(utterance.voice.encode()):
            return None
        library.espeak_SetParameter(self._RATE, round(self._WORDS_PER_MINUTE * utterance.rate), 0)
        # 0..99 spans two octaves around the voice's own pitch.
        pitch = 50 + 50 * math.log2(utterance.pitch)
        library.espeak_SetParameter(self._PITCH, min(99, max(0, round(pitch))), 0)
        library.espeak_SetParameter(self._RANGE, min(99, round(50 * utterance.range)), 0)
        text = utterance.text.encode("ascii")
        if library.espeak_Synth(text, len(text) + 1, 0, 1, 0, self._UTF8, None, None) or not self._blocks:
            return None
        samples = np.concatenate(self._blocks)
        first = len(utterance.before) + 1 if utterance.before else 0
        after = first + len(utterance.phrase) + 1
        if first not in self._words or (utterance.after and after not in self._words):
            return None  # espeak-ng joined the word with its neighbour
        return samples, self._words[first], self._words[after] if utterance.after else samples.size

    def _receive(self, samples: Any, count: int, events: Any) -> int:
        if samples and count:
            self._blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        i = 0
        while events[i].type:  # 0 ends the list
            if events[i].type == self._WORD:
                self._words[events[i].text_position - 1] = events[i].sample
            i += 1
        return 0


def main() -> None:
    """Serve one batch; see the module's description."""
    library = Library()
    if sys.argv[1:] != ["say"]:
        sys.stdout.write("\n".join(library.variants()) + "\n")
        return
    for line in sys.stdin:
        spoken = library.say(Utterance(**json.loads(line)))
        if spoken is None:
            sys.stdout.buffer.write(FAILED)
            continue
        samples, start, end = spoken
        sys.stdout.buffer.write(HEADER.pack(samples.size, library.sample_rate_hz, start, end))
        sys.stdout.buffer.write(samples.astype("<i2").tobytes())


if __name__ == "__main__":
    main()

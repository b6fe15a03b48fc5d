"""espeak-ng through its C library (speak_lib.h, API revision 12)."""

from __future__ import annotations

import ctypes
import ctypes.util
import math
import re
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.training.voices.engine import Spoken, Utterance, missing

__all__ = ["Espeak"]


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


class Espeak:
    """espeak-ng through its C library, whose word events say where a word begins.

    Every accent of English is combined with every voice variant that sounds like a person. The
    library keeps one global voice, so calls are serialised.
    """

    name = "espeak-ng"
    install = "apt-get install espeak-ng"

    ACCENTS = (
        "en-us", "en-us", "en-us-nyc", "en", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbclan",
        "en-gb-x-gbcwmd", "en-029",
    )  # fmt: skip
    # Effects rather than voices; whispers carry no pitch to vary.
    NOT_A_PERSON = re.compile(r"robo|whisper|demonic|announcer|unirobot|fast|croak", re.IGNORECASE)

    _SYNCHRONOUS = 2
    _WORD, _END = 1, 5
    _RATE, _PITCH, _RANGE = 1, 3, 4
    _WORDS_PER_MINUTE = 175
    _UTF8 = 1

    _lock = threading.Lock()

    @cached_property
    def _library(self) -> ctypes.CDLL | None:
        path = ctypes.util.find_library("espeak-ng")
        if path is None:
            return None
        library = ctypes.CDLL(path)
        library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
        self.sample_rate_hz = library.espeak_Initialize(self._SYNCHRONOUS, 0, None, 0)
        return library if self.sample_rate_hz > 0 else None

    @cached_property
    def voices(self) -> tuple[str, ...]:
        """``accent+variant`` names."""
        if self._library is None:
            return ()
        found = self._library.espeak_ListVoices(ctypes.byref(_Voice(languages=b"variant")))
        variants = []
        for voice in found:
            if not voice:
                break
            variant = voice.contents.identifier.decode().removeprefix("!v/")
            if not self.NOT_A_PERSON.search(variant):
                variants.append(variant)
        return tuple(f"{accent}+{variant}" for accent in self.ACCENTS for variant in sorted(variants))

    def say(self, utterances: Sequence[Utterance]) -> Iterator[Spoken | None]:
        """See :meth:`Engine.say`."""
        for utterance in utterances:
            with self._lock:
                yield self._say(utterance)

    def _say(self, utterance: Utterance) -> Spoken | None:
        library = self._library
        if library is None:
            raise missing(self)
        blocks: list[NDArray[np.int16]] = []
        words: list[tuple[int, int]] = []  # (position of the first character, sample)

        def receive(samples: Any, count: int, events: Any) -> int:
            if samples and count:
                blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
            i = 0
            while events[i].type:
                if events[i].type == self._WORD:
                    words.append((events[i].text_position - 1, events[i].sample))
                i += 1
            return 0

        callback = _CALLBACK(receive)
        library.espeak_SetSynthCallback(callback)
        if library.espeak_SetVoiceByName(utterance.voice.encode()):
            return None
        library.espeak_SetParameter(self._RATE, round(self._WORDS_PER_MINUTE * utterance.rate), 0)
        # 0..99 spans two octaves around the voice's own pitch.
        pitch = 50 + 50 * math.log2(utterance.pitch)
        library.espeak_SetParameter(self._PITCH, min(99, max(0, round(pitch))), 0)
        library.espeak_SetParameter(self._RANGE, min(99, round(50 * utterance.range)), 0)
        text = utterance.text.encode("ascii")
        if library.espeak_Synth(text, len(text) + 1, 0, 1, 0, self._UTF8, None, None) or not blocks:
            return None
        samples = np.concatenate(blocks) * np.float32(1 / 32768)
        first = len(utterance.before) + 1 if utterance.before else 0
        after = first + len(utterance.phrase) + 1
        starts = dict(words)
        if first not in starts or (utterance.after and after not in starts):
            return None  # espeak-ng joined the word with its neighbour
        end = starts[after] if utterance.after else samples.size
        return Spoken(samples, self.sample_rate_hz, starts[first], end)

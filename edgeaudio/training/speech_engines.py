"""Small adapters for the free speech synthesisers that training words are made with.

An engine is asked for many :class:`Utterance` at once, because starting one costs more than
speaking, and answers with :class:`Spoken` audio at its own rate, in which the samples of the
wanted phrase are marked. Text reaches the engines as a function argument, an argument list or a
generated file, never through a shell.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import math
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeaudio.errors import MissingDependencyError

__all__ = ["ENGINES", "Engine", "Espeak", "Festival", "Flite", "Spoken", "Utterance"]

TIMEOUT_S = 60


@dataclass(frozen=True)
class Utterance:
    """One request: ``phrase`` spoken between the carrier words ``before`` and ``after``.

    ``rate`` and ``pitch`` multiply the voice's own speed and mean fundamental frequency;
    ``range`` multiplies the swing of its intonation where the engine allows that.
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

    samples: NDArray[np.float32]
    sample_rate_hz: int
    start: int
    end: int


class Engine(Protocol):
    """What :func:`edgeaudio.training.synth.synthesise` needs of a synthesiser."""

    name: str
    install: str
    """Command that installs the engine on Debian and Ubuntu."""

    @property
    def voices(self) -> tuple[str, ...]:
        """Voices found on this machine; none if the engine is not installed."""

    def say(self, utterances: Sequence[Utterance]) -> Iterator[Spoken | None]:
        """Speak in the order asked; None where the engine failed or could not tell the word's place."""


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
            raise _missing(self)
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
        samples = np.concatenate(blocks).astype(np.float32) / 32768
        first = len(utterance.before) + 1 if utterance.before else 0
        after = first + len(utterance.phrase) + 1
        starts = dict(words)
        if first not in starts or (utterance.after and after not in starts):
            return None  # espeak-ng joined the word with its neighbour
        end = starts[after] if utterance.after else samples.size
        return Spoken(samples, self.sample_rate_hz, starts[first], end)


class Flite:
    """flite, one process an utterance (about 20 ms); the word is found by its phones."""

    name = "flite"
    install = "apt-get install flite"

    VOICES = ("awb", "kal", "kal16", "rms", "slt")
    # Mean pitch and its spread, Hz, as the voices themselves declare or were measured to have.
    PITCH = {"awb": (130, 20), "kal": (95, 11), "kal16": (95, 11), "rms": (95, 15), "slt": (170, 25)}

    def __init__(self) -> None:
        self._phones: dict[tuple[str, str], list[str]] = {}

    @cached_property
    def voices(self) -> tuple[str, ...]:
        """Built-in voices."""
        if shutil.which("flite") is None:
            return ()
        listed = _output(["flite", "-lv"]).split()
        return tuple(voice for voice in self.VOICES if voice in listed)

    def say(self, utterances: Sequence[Utterance]) -> Iterator[Spoken | None]:
        """See :meth:`Engine.say`."""
        if not self.voices:
            raise _missing(self)
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
        segments = [item.rsplit(":", 1) for item in _output(arguments).split()]
        if not path.exists():
            return None
        samples, rate = _read(path)
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
            spoken = _output(["flite", "-voice", voice, "-ps", "-t", text + " ", "-o", "none"]).split()
            while spoken and spoken[0] == "pau":
                del spoken[0]
            while spoken and spoken[-1] == "pau":
                del spoken[-1]
            self._phones[voice, text] = spoken
        return self._phones[voice, text]


class Festival:
    """Festival: one process for a hundred utterances; its tokens carry their times."""

    name = "festival"
    install = "apt-get install festival festvox-kallpc16k festvox-kdlpc16k festvox-us-slt-hts"

    BATCH = 100
    VOICES = ("kal_diphone", "ked_diphone", "cmu_us_slt_arctic_hts")
    # Mean and spread of the pitch, Hz, that the diphone voices declare; slt (HTS) shifts in semitones.
    PITCH = {"kal_diphone": (105, 14), "ked_diphone": (105, 15)}

    PRELUDE = """
(defvar hts_engine_params nil)
(define (ea_pitch mean spread)
  (set! int_lr_params (list (list 'target_f0_mean mean) (list 'target_f0_std spread)
                            (list 'model_f0_mean 170) (list 'model_f0_std 34))))
(define (ea_hts rate semitones)
  (set! hts_engine_params
        (append hts_engine_params (list (list "-r" rate) (list "-fm" semitones)))))
(define (ea_say number text path)
  (let ((utt (utt.synth (eval (list 'Utterance 'Text text)))))
    (let ((token (utt.relation.first utt 'Token)))
      (while token
        (format t "token %d %f %f\\n" number
                (item.feat token "daughter1.word_start") (item.feat token "daughtern.word_end"))
        (set! token (item.next token))))
    (utt.save.wave utt path 'riff)))
"""

    @cached_property
    def voices(self) -> tuple[str, ...]:
        """Installed ones among the voices that the adapter knows how to steer."""
        if shutil.which("festival") is None:
            return ()
        listed = _output(["festival", "-b", "(print (voice.list))"]).strip().strip("()").split()
        return tuple(voice for voice in self.VOICES if voice in listed)

    def say(self, utterances: Sequence[Utterance]) -> Iterator[Spoken | None]:
        """See :meth:`Engine.say`."""
        if not self.voices:
            raise _missing(self)
        for i in range(0, len(utterances), self.BATCH):
            with tempfile.TemporaryDirectory() as folder:
                yield from self._batch(utterances[i : i + self.BATCH], Path(folder))

    def _batch(self, utterances: Sequence[Utterance], folder: Path) -> Iterator[Spoken | None]:
        lines = [self.PRELUDE]
        for i, utterance in enumerate(utterances):
            lines.append(f"(voice_{utterance.voice})")
            lines.append(self._settings(utterance))
            lines.append(f'(ea_say {i} "{utterance.text}" "{folder / str(i)}.wav")')
        script = folder / "batch.scm"
        script.write_text("\n".join(lines), encoding="ascii")
        tokens: list[list[tuple[float, float]]] = [[] for _ in utterances]
        for line in _output(["festival", "-b", str(script)]).splitlines():
            if line.startswith("token "):
                _, number, start, end = line.split()
                tokens[int(number)].append((float(start), float(end)))
        for i, utterance in enumerate(utterances):
            path = folder / f"{i}.wav"
            yield _cut(path, utterance, tokens[i]) if path.exists() else None

    def _settings(self, utterance: Utterance) -> str:
        if utterance.voice not in self.PITCH:
            return f"(ea_hts {utterance.rate:.4f} {12 * math.log2(utterance.pitch):.3f})"
        mean, spread = (value * utterance.pitch for value in self.PITCH[utterance.voice])
        return (
            f"(Param.set 'Duration_Stretch {1 / utterance.rate:.4f}) "
            f"(ea_pitch {mean:.2f} {spread * utterance.range:.2f})"
        )


def _cut(path: Path, utterance: Utterance, tokens: list[tuple[float, float]]) -> Spoken | None:
    samples, rate = _read(path)
    first, after = utterance.tokens
    if len(tokens) != len(utterance.text.split()):
        return None
    start, end = round(tokens[first][0] * rate), round(tokens[after - 1][1] * rate)
    if not 0 <= start < end:
        return None
    return Spoken(samples, rate, start, min(end, samples.size))


def _missing(engine: Engine) -> MissingDependencyError:
    return MissingDependencyError(f"The speech engine {engine.name} is not installed.", hint=engine.install)


def _output(arguments: list[str]) -> str:
    """Standard output of a command; what it failed to make shows in the files it did not write."""
    result = subprocess.run(arguments, capture_output=True, timeout=TIMEOUT_S, check=False)
    return result.stdout.decode("utf-8", "replace")


def _read(path: Path) -> tuple[NDArray[np.float32], int]:
    import soundfile

    samples, rate = soundfile.read(path, dtype="float32")
    return samples, rate


ENGINES: tuple[Engine, ...] = (Espeak(), Flite(), Festival())
"""Every engine that edgeaudio can drive, installed or not."""

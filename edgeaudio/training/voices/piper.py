"""Piper: neural voices, of which the user has some; nothing is downloaded.

A voice is a file ``NAME.onnx`` with its ``NAME.onnx.json`` beside it. English ones are looked for, at
most three folders deep, in the folders of the environment variable ``EDGEAUDIO_PIPER_VOICES``
(separated as in ``PATH``); if that is not set, in ``~/.local/share/piper``,
``~/.local/share/piper-voices``, ``/usr/share/piper-voices`` and ``/usr/share/piper``. Of two of the same
name the first is taken.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from edgeaudio.training.voices.engine import Spoken, Utterance, answers, missing, output, spoken_alone

__all__ = ["VARIABLE", "Piper", "settings"]

VARIABLE = "EDGEAUDIO_PIPER_VOICES"

_PLACES = (
    *("~/.local/share/piper", "~/.local/share/piper-voices"),
    *("/usr/share/piper-voices", "/usr/share/piper"),
)
_DEPTHS = ("*.onnx", "*/*.onnx", "*/*/*.onnx", "*/*/*/*.onnx")
_MAX_FILES = 100
_MAX_CONFIG_BYTES = 2**20
_MAX_MODEL_BYTES = 300 * 2**20
_MAX_SPEAKERS = 2000
_NOISE = 0.667
"""Variation that voices come with; it makes no two utterances of one text alike."""


class Piper:
    """The Python package ``piper-tts`` in a process for each batch, else the program ``piper``.

    The program loads the voice for every utterance (about 1 s) and draws its variation anew; only the
    package says the same thing twice.
    """

    name = "piper"
    install = (
        "pip install piper-tts && "
        "python -m piper.download_voices --data-dir ~/.local/share/piper en_US-libritts_r-medium"
    )
    marks_words = False
    known: tuple[str, ...] = ()

    BATCH = 50
    _WORKER = (sys.executable, "-m", "edgeaudio.training.voices.piper_worker")

    @cached_property
    def voices(self) -> tuple[str, ...]:
        """``voice`` names, ``voice#number`` for each speaker of those that have several."""
        if not self._has_package and shutil.which("piper") is None:
            return ()
        return tuple(
            name if n_speakers == 1 else f"{name}#{speaker}"
            for name, (_, n_speakers) in sorted(self._files.items())
            for speaker in range(n_speakers)
        )

    @cached_property
    def _has_package(self) -> bool:
        spec = find_spec("piper")
        # Other packages of that name have no voices.
        places = (spec and spec.submodule_search_locations) or ()
        return any((Path(place) / "voice.py").is_file() for place in places)

    @cached_property
    def _files(self) -> dict[str, tuple[Path, int]]:
        """English voices: file and number of speakers."""
        listed = os.environ.get(VARIABLE)
        places = listed.split(os.pathsep) if listed else _PLACES
        found: dict[str, tuple[Path, int]] = {}
        for place in (Path(place).expanduser() for place in places if place):
            files = (file for depth in _DEPTHS for file in sorted(place.glob(depth)))
            for file in islice(files, _MAX_FILES):
                n_speakers = _english_speakers(file)
                if n_speakers and file.stem not in found:
                    found[file.stem] = (file, n_speakers)
        return found

    def say(self, utterances: Sequence[Utterance]) -> Iterator[Spoken | None]:
        """See :meth:`Engine.say`."""
        if not self.voices:
            raise missing(self)
        if self._has_package:
            for i in range(0, len(utterances), self.BATCH):
                batch = [self._located(utterance) for utterance in utterances[i : i + self.BATCH]]
                for utterance, spoken in zip(batch, answers(self._WORKER, batch), strict=True):
                    yield None if utterance.before or utterance.after else spoken
            return
        with tempfile.TemporaryDirectory() as folder:
            for utterance in utterances:
                yield self._say(utterance, Path(folder) / "speech.wav")

    def _located(self, utterance: Utterance) -> Utterance:
        name, _, speaker = utterance.voice.partition("#")
        return replace(utterance, voice=f"{self._files[name][0]}#{speaker}")

    def _say(self, utterance: Utterance, path: Path) -> Spoken | None:
        path.unlink(missing_ok=True)
        name, _, speaker = utterance.voice.partition("#")
        arguments = ["piper", "--model", str(self._files[name][0]), "--output_file", str(path)]
        for key, value in settings(utterance).items():
            arguments += [f"--{key}", f"{value:.4f}"]
        if speaker:
            arguments += ["--speaker", speaker]
        output(arguments, given=f"{utterance.phrase}.\n".encode())
        return spoken_alone(utterance, path)


def settings(utterance: Utterance) -> dict[str, float]:
    """Of the network, under the names that program and package share. Pitch cannot be chosen."""
    return {"length_scale": 1 / utterance.rate, "noise_scale": min(1.0, _NOISE * utterance.range)}


def _english_speakers(model: Path) -> int:
    """How many speakers an English voice has; 0 for what is none, or too large for one."""
    config = Path(f"{model}.json")
    try:
        if config.stat().st_size > _MAX_CONFIG_BYTES or model.stat().st_size > _MAX_MODEL_BYTES:
            return 0
        described: Any = json.loads(config.read_bytes())
        language = str(described["espeak"]["voice"])
        n_speakers = int(described["num_speakers"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return 0
    return min(max(1, n_speakers), _MAX_SPEAKERS) if language.startswith("en") else 0

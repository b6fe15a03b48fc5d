"""Piper's voices: where they are looked for, and what its program and its package are asked.

No voice is at hand here: a small program and a small package stand in, which say every letter as
0.05 s of a tone and note what they were asked.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeaudio.errors import MissingDependencyError
from edgeaudio.training.voices import Piper, Utterance
from edgeaudio.training.voices.piper import VARIABLE

RATE_HZ = 22050

# As both the archived C++ program and the package's own understand them.
PROGRAM = f"""#!{sys.executable}
import argparse, struct, sys, wave
parser = argparse.ArgumentParser()
for name in ("--model", "--output_file"):
    parser.add_argument(name, required=True)
for name in ("--length_scale", "--noise_scale"):
    parser.add_argument(name, type=float, required=True)
parser.add_argument("--speaker", type=int, default=0)
given = parser.parse_args()
open(given.model, "a").write(f"{{given.speaker}} {{given.noise_scale:.3f}}\\n")
text = sys.stdin.read().strip()
with wave.open(given.output_file, "wb") as file:
    file.setnchannels(1), file.setsampwidth(2), file.setframerate({RATE_HZ})
    file.writeframes(struct.pack("<h", 8000) * int({RATE_HZ} * 0.05 * len(text) * given.length_scale))
"""

# What the worker uses of piper-tts 1.3 and later.
PACKAGE = f"""
import dataclasses, types
import numpy as np

@dataclasses.dataclass
class SynthesisConfig:
    speaker_id: int | None = None
    length_scale: float | None = None
    noise_scale: float | None = None

class PiperVoice:
    config = types.SimpleNamespace(sample_rate={RATE_HZ})

    @staticmethod
    def load(file):
        open(file).close()
        return PiperVoice()

    def synthesize(self, text, given):
        if "crash" in text:
            raise RuntimeError("no such phoneme")
        n = int({RATE_HZ} * 0.05 * len(text) * given.length_scale)
        level = 1000 * (1 + (given.speaker_id or 0))
        for part in (n // 2, n - n // 2):
            yield types.SimpleNamespace(audio_int16_array=np.full(part, level, np.int16))
"""


def add_voice(folder: Path, name: str, *, language: str = "en-us", speakers: int = 1) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    model = folder / f"{name}.onnx"
    model.write_bytes(b"")
    described = {"espeak": {"voice": language}, "num_speakers": speakers, "audio": {"sample_rate": RATE_HZ}}
    Path(f"{model}.json").write_text(json.dumps(described))
    return model


@pytest.fixture
def voices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of voices, and no Piper to speak with them."""
    folder = tmp_path / "voices"
    monkeypatch.setenv(VARIABLE, str(folder))
    monkeypatch.setattr("edgeaudio.training.voices.piper.find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return folder


@pytest.fixture
def program(voices: Path, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "piper"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)


@pytest.fixture
def package(voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site" / "piper"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("from .voice import PiperVoice, SynthesisConfig\n")
    (folder / "voice.py").write_text(PACKAGE)
    monkeypatch.undo()
    monkeypatch.setenv(VARIABLE, str(voices))
    monkeypatch.setenv("PYTHONPATH", str(folder.parent))
    monkeypatch.syspath_prepend(folder.parent)


@pytest.mark.usefixtures("program")
def test_english_voices_are_found_in_folders_of_folders(
    voices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_voice(voices / "en" / "en_GB" / "alan", "en_GB-alan-medium", language="en-gb-x-rp")
    add_voice(voices, "en_US-libritts-high", speakers=3)
    add_voice(voices, "de_DE-thorsten-high", language="de")
    (voices / "en_US-nothing.onnx").write_bytes(b"")  # described nowhere
    add_voice(voices, "en_US-broken").with_suffix(".onnx.json").write_text("{")
    huge = add_voice(voices, "en_US-huge")
    os.truncate(huge, 2**30)
    assert Piper().voices == ("en_GB-alan-medium", *(f"en_US-libritts-high#{i}" for i in range(3)))

    other = voices.parent / "other"
    add_voice(other, "en_US-libritts-high")
    add_voice(other, "en_US-amy-low")
    monkeypatch.setenv(VARIABLE, os.pathsep.join((str(other), str(voices), str(voices / "nowhere"))))
    # The first of a name counts.
    assert Piper().voices == ("en_GB-alan-medium", "en_US-amy-low", "en_US-libritts-high")


@pytest.mark.usefixtures("program")
def test_without_the_variable_voices_are_looked_for_at_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("HOME", str(tmp_path))
    add_voice(tmp_path / ".local" / "share" / "piper", "en_US-test-low")
    assert "en_US-test-low" in Piper().voices


def test_voices_without_piper_say_nothing(voices: Path) -> None:
    add_voice(voices, "en_US-test-low")
    piper = Piper()
    assert piper.voices == ()
    with pytest.raises(MissingDependencyError, match="pip install piper-tts"):
        next(iter(piper.say([Utterance("go", "en_US-test-low")])))


@pytest.mark.usefixtures("program")
def test_the_program_is_asked_for_voice_speaker_and_tempo(voices: Path) -> None:
    model = add_voice(voices, "en_US-test-low", speakers=2)
    asked = [
        Utterance("hello", "en_US-test-low#1", rate=0.5),
        Utterance("hello", "en_US-test-low#0", rate=2.0, range=1.5),
        Utterance("hello", "en_US-test-low#0", before="say"),
    ]
    slow, fast, framed = Piper().say(asked)
    assert framed is None
    assert slow is not None
    assert fast is not None
    # "hello." is six letters of 0.05 s.
    assert (slow.sample_rate_hz, slow.start, slow.end) == (RATE_HZ, 0, int(RATE_HZ * 0.6))
    assert fast.samples.size == int(RATE_HZ * 0.15)
    assert model.read_text().split("\n")[:2] == ["1 0.667", "0 1.000"]


@pytest.mark.usefixtures("package")
def test_one_process_of_the_package_says_a_batch(voices: Path) -> None:
    add_voice(voices, "en_US-test-low", speakers=2)
    add_voice(voices, "en_US-other-low")
    asked = [
        Utterance("hello", "en_US-test-low#1", rate=0.5),
        Utterance("crash", "en_US-test-low#1"),
        Utterance("hello", "en_US-other-low"),
        Utterance("hello", "en_US-other-low", after="now"),
    ]
    slow, crashed, plain, framed = Piper().say(asked)
    assert (crashed, framed) == (None, None)
    assert slow is not None
    assert plain is not None
    assert (slow.sample_rate_hz, slow.start, slow.end) == (RATE_HZ, 0, int(RATE_HZ * 0.6))
    # The second speaker is twice as loud as the first; a voice of one has no number.
    np.testing.assert_array_equal(slow.samples, np.float32(2000 / 32768))
    np.testing.assert_array_equal(plain.samples, np.float32(1000 / 32768))

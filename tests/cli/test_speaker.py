"""The command `speaker`, with a network that can be seen through."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from edgeaudio.models.enrolments import ENROLMENT_FILE, find_enrolment
from edgeaudio.sinks.clips import write_wav
from edgeaudio.tasks.speaker import Speaker
from edgeaudio.tasks.vad import Vad
from edgeaudio.testing import scripted_vad
from tests.cli.conftest import Run
from tests.voices import speaker

RATE = 16_000


def said(person: int, seconds: float, seed: int = 0) -> np.ndarray:
    """Somebody's vowels: tones of one's own, in syllables, in a quiet room."""
    time = np.arange(round(seconds * RATE)) / RATE
    tones = sum(np.sin(2 * np.pi * (person + 2) * 170 * k * time) for k in (1, 2, 4, 9))
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * (3 + 0.2 * seed) * time)
    noise = np.random.default_rng(seed).normal(0, 1e-3, len(time))
    return (0.05 * tones * syllables + noise).astype(np.float32)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    for person in (0, 1):
        write_wav(folder / f"{person}.wav", said(person, 16.0))
        write_wav(folder / f"{person}-again.wav", said(person, 2.5, seed=1))
    return folder


@pytest.fixture(autouse=True)
def home(recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(Speaker, "load", lambda *_, **__: speaker())
    monkeypatch.setattr(Vad, "load", lambda *_, **__: scripted_vad([(0.2, 2.2), (3.0, 5.0), (5.6, 5.8)]))
    for path in recordings.iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


def test_a_voice_is_enrolled_verified_listed_and_removed(run: Run, home: Path) -> None:
    done = run("speaker", "enrol", "ann", home / "0.wav", "--json")
    assert done.code == 0, done.err
    facts = json.loads(done.out)
    assert facts["kind"] == "speaker"
    assert facts["speech_s"] > 10.0
    assert facts["estimate"]["of"] == 3
    assert "voice" not in facts
    assert run("speaker", "enrol", "ann", home / "0.wav").code == 2
    assert run("speaker", "enrol", "ann", home / "0.wav", "--replace").code == 0

    own, other = run("speaker", "verify", "ann", home / "0-again.wav", "--json"), home / "1-again.wav"
    assert own.code == 0
    assert json.loads(own.out)["accepted"] is True
    refused = run("speaker", "verify", "ann", other)
    assert refused.code == 9
    assert refused.out.startswith("ann: not accepted, score -")

    listed = run("speaker", "list", "--json")
    assert [one["name"] for one in json.loads(listed.out)] == ["ann"]
    assert "speaker" in run("enrol", "--list").out
    assert run("wake", other, "--fast", "--verifier", "ann").code == 2
    assert run("speaker", "remove", "ann").code == 0
    assert run("speaker", "verify", "ann", other).code == 5


def test_turns_are_told_with_names(run: Run, home: Path) -> None:
    run("speaker", "enrol", "ann", home / "0.wav")
    run("speaker", "enrol", "bob", home / "1.wav")
    room = said(0, 6.0) * np.float32(0.0)
    room += np.random.default_rng(5).normal(0, 1e-3, len(room)).astype(np.float32)
    room[round(0.2 * RATE) : round(2.2 * RATE)] += said(1, 2.0, seed=2)
    room[round(3.0 * RATE) : round(5.0 * RATE)] += said(0, 2.0, seed=3)
    write_wav(home / "room.wav", room)
    heard = run("speaker", "identify", home / "room.wav", "--fast", "--json")
    assert heard.code == 0, heard.err
    turns = [json.loads(line) for line in heard.out.splitlines()]
    assert [(turn["type"], turn["name"]) for turn in turns] == [
        ("speaker", "bob"),
        ("speaker", "ann"),
        ("speaker", None),
    ]
    assert "speakers  bob 1, ann 1, somebody unknown 1" in heard.err
    only = run("speaker", "identify", home / "room.wav", "--fast", "--name", "ann")
    assert only.out.splitlines()[0].startswith("0.20 s  somebody unknown  -")
    assert only.out.splitlines()[1].startswith("3.00 s  ann  ")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [("kind: speaker", "kind: nonsense", "kind"), ("fingerprint: ", "fingerprint: 0", "fingerprint")],
)
def test_a_broken_voice_is_left_out_and_the_others_are_known(
    run: Run, home: Path, *, old: str, new: str, words: str
) -> None:
    run("speaker", "enrol", "ann", home / "0.wav")
    run("speaker", "enrol", "bob", home / "1.wav")
    path = find_enrolment("bob") / ENROLMENT_FILE
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    heard = run("speaker", "identify", home / "0.wav", "--fast", "--json")
    assert heard.code == 0, heard.err
    assert json.loads(heard.out.splitlines()[0])["name"] == "ann"
    (warning,) = [line for line in heard.err.splitlines() if "left out" in line]
    assert "'bob' is left out" in warning
    assert words in warning
    assert "Enrol it again" in warning
    assert run("speaker", "identify", home / "0.wav", "--fast", "--name", "bob").code == 5
    assert run("speaker", "verify", "bob", home / "1-again.wav").code == 5


def test_raw_audio_on_standard_input_is_verified(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("speaker", "enrol", "ann", home / "0.wav")
    raw = (said(0, 3.0, seed=4) * 32767).astype("<i2").tobytes() + b"\0"  # half a sample at the end

    class Input:
        buffer = io.BytesIO(raw)

    monkeypatch.setattr("sys.stdin", Input)
    assert run("speaker", "verify", "ann", "-").code == 0


def test_parts_unlike_the_rest_and_little_speech_are_told(run: Run, home: Path) -> None:
    done = run("speaker", "enrol", "ann", home / "0.wav", home / "1-again.wav")
    assert done.code == 0
    assert "1-again.wav is unlike the rest: is it the same person?" in done.err
    assert "no authentication" in done.out
    few = run("speaker", "enrol", "eve", home / "1-again.wav", "--json")
    assert few.code == 3
    assert "s of speech to enrol 'eve' from" in few.err
    assert run("speaker", "enrol", "eve", *[home / "1-again.wav"] * 4).code == 3  # heard once


@pytest.mark.parametrize("loudness", [0.0, 0.05])
def test_silence_and_hiss_are_nobody(run: Run, home: Path, loudness: float) -> None:
    steady = np.random.default_rng(0).normal(0, 1, 10 * RATE).astype(np.float32)
    write_wav(home / "steady.wav", loudness * steady)
    outcome = run("speaker", "enrol", "eve", home / "steady.wav")
    assert outcome.code == 3, outcome.out
    assert "only 0.0 s of speech" in outcome.err


def test_what_cannot_be_is_refused(run: Run, home: Path) -> None:
    run("speaker", "enrol", "ann", home / "0.wav")
    write_wav(home / "short.wav", said(0, 0.3))
    for args, code, words in (
        (["enrol", "bob"], 2, "no recordings"),
        (["enrol", "Bob!", home / "1.wav"], 2, "cannot be called"),
        (["enrol", "bob", home / "none.wav"], 3, "none.wav"),
        (["verify", "ann", home / "short.wav"], 3, "tell nothing about who speaks"),
        (["verify", "ann", home / "0.wav", "--max-false-accepts", "0.01%"], 2, "does not know which score"),
        (["verify", "ann", home / "0.wav", "--max-false-accepts", "often"], 2, "no part of all"),
        (["verify", "anna", home / "0.wav"], 5, "Did you mean 'ann'?"),
        (["remove", "anna"], 5, "nothing is enrolled"),
    ):
        outcome = run("speaker", *args)
        assert outcome.code == code, outcome.err
        assert words in outcome.err
    (find_enrolment("ann") / ENROLMENT_FILE).write_text("name: [", encoding="utf-8")
    assert run("speaker", "verify", "ann", home / "0.wav").code == 5
    assert "broken" in run("speaker", "list").out
    assert run("speaker", "remove", "ann").code == 0


def test_people_of_a_manifest_are_measured(run: Run, home: Path) -> None:
    lines = ["path\tspeaker"]
    for person in range(3):
        for i in range(2):
            write_wav(home / f"{person}-{i}.wav", said(person, 2.1, seed=i))
            lines.append(f"{person}-{i}.wav\t{person}")
    (home / "manifest.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    outcome = run("evaluate", "speaker", home / "manifest.tsv", "--seconds", "2", "--json")
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    assert {"eer", "interval", "trials", "speakers", "threshold", "curve", "calibration"} <= set(found)
    assert (found["eer"], found["speakers"], found["trials"]["same"]) == (0.0, 3, 3)
    told = run("evaluate", "speaker", home / "manifest.tsv", "--seconds", "1")
    assert told.out.startswith("equal error rate ")
    assert "3 speakers, 12 pieces of 1 s" in told.out

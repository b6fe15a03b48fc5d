"""The command `enrol`, with a network of random weights in the user's folder."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from edgeaudio.cli import recording
from edgeaudio.evaluation import enrolling
from edgeaudio.evaluation.enrolling import WordFit
from edgeaudio.models.background import save_background
from edgeaudio.models.bundle import load_bundle
from edgeaudio.models.enrolments import ENROLMENT_FILE, find_enrolment
from edgeaudio.sinks.clips import write_wav
from edgeaudio.testing import ArraySource
from edgeaudio.training.background import make_background
from edgeaudio.training.corpus import Clip
from tests.cli.conftest import Run
from tests.networks import write_random_bundle
from tests.pulse import PulseServer, pulse

__all__ = ["pulse"]


def chirp(seed: int, low_hz: float = 400.0, high_hz: float = 2500.0, level: float = 0.3) -> np.ndarray:
    """A 'word' of 0.6 s with half a second of room around it."""
    rng = np.random.default_rng(seed)
    seconds = np.arange(9600) / 16000
    sweep = low_hz * seconds + (high_hz - low_hz) * seconds**2 / 1.2
    room = rng.normal(0, 1e-3, 25600)
    room[8000:17600] += level * np.sin(2 * np.pi * sweep * rng.uniform(0.97, 1.03)) * np.hanning(9600)
    return room.astype(np.float32)


def noises(seed: int) -> Clip:
    rng = np.random.default_rng(seed)
    level = np.repeat(rng.uniform(0, 6000, 60), 1600)
    return Clip("noise", str(seed), (level * rng.normal(0, 1, 96000)).clip(-32768, 32767).astype(np.int16))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "random"
    write_random_bundle(folder)
    clips = [noises(seed) for seed in range(20)]
    save_background(folder, make_background(load_bundle(folder), clips, minutes=1.0))
    return folder


@pytest.fixture(autouse=True)
def home(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    shutil.copytree(model, tmp_path / "edgeaudio" / "models" / "random")
    for i in range(4):
        write_wav(tmp_path / f"{i}.wav", chirp(i))
    return tmp_path


def test_a_word_is_enrolled_spotted_listed_and_removed(run: Run, home: Path) -> None:
    clips = [home / f"{i}.wav" for i in range(4)]
    done = run("enrol", "jarvis", *clips, "--model", "random", "--max-false-alarms", "20", "--json")
    assert done.code == 0, done.err
    facts = json.loads(done.out)
    assert facts["recordings"] == facts["estimate"]["of"] == 4
    assert facts["estimate"]["interval"][1] > 0.4
    assert any("few" in warning for warning in facts["warnings"])
    assert run("enrol", "jarvis", *clips, "--model", "random").code == 2

    stream = np.concatenate([0.01 * chirp(8), chirp(9), 0.01 * chirp(8)])
    write_wav(home / "stream.wav", stream.astype(np.float32))
    heard = run("wake", home / "stream.wav", "--fast", "--model", "jarvis", "--json")
    assert [json.loads(line)["name"] for line in heard.out.splitlines()] == ["jarvis"]
    assert run("wake", home / "stream.wav", "--fast", "--model", "random", "--verifier", "jarvis").code == 2

    assert "jarvis  word" in run("enrol", "--list").out
    assert json.loads(run("enrol", "--list", "--json").out)[0]["name"] == "jarvis"
    assert run("enrol", "--remove", "jarvis").code == 0
    assert "nothing is enrolled" in run("enrol", "--list").out
    assert run("wake", home / "stream.wav", "--fast", "--model", "jarvis").code == 5


def test_an_enrolment_with_another_version_of_the_model_is_refused(run: Run, home: Path) -> None:
    assert run("enrol", "jarvis", home / "0.wav", home / "1.wav", "--model", "random").code == 0
    path = find_enrolment("jarvis") / ENROLMENT_FILE
    lines = path.read_text().splitlines()
    path.write_text(
        "\n".join("fingerprint: " + "f" * 64 if "fingerprint" in line else line for line in lines)
    )
    refused = run("wake", home / "0.wav", "--fast", "--model", "jarvis")
    assert refused.code == 5
    assert "another version" in refused.err


def test_recordings_that_contradict_each_other_are_kept_only_anyway(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [home / "0.wav", home / "1.wav"]
    true = enrolling.fit_word

    def all_missed(*args: Any, **kwargs: Any) -> WordFit:
        fit = true(*args, **kwargs)
        return replace(fit, estimate=structs.replace(fit.estimate, missed=2), scores=(-1.0, -1.0))

    monkeypatch.setattr(enrolling, "fit_word", all_missed)
    refused = run("enrol", "jarvis", *words, "--model", "random")
    assert (refused.code, refused.out) == (3, "")
    assert "'jarvis' was not enrolled: 2 of 2 recordings would be missed" in refused.err
    assert "--anyway" in refused.err
    assert "nothing is enrolled" in run("enrol", "--list").out
    assert run("enrol", "jarvis", *words, "--model", "random", "--anyway").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "NAME is missing"),
        (("jarvis",), 2, "no recordings"),
        (("Jar/vis", "0.wav"), 2, "cannot be called"),
        (("random", "0.wav", "1.wav"), 2, "there is a model"),
        (("jarvis", "0.wav"), 3, "1 usable recording of 1"),
        (("jarvis", "0.wav", "0.wav"), 3, "same recording"),
        (("jarvis", "0.wav", "silence.wav"), 3, "nothing but silence"),
        (("jarvis", "0.wav", "text.wav"), 3, "not a sound file"),
        (("jarvis", "0.wav", "gone.wav"), 3, "cannot read"),
        (("jarvis", "0.wav", "long.wav"), 3, "long.wav is longer than 30 s"),
        (("jarvis", "0.wav", "1.wav", "--verify", "random"), 2, "without --model"),
        (("--list", "--remove", "jarvis"), 2, "stand alone"),
        (("--remove", "jarvis"), 5, "nothing is enrolled as"),
    ],
)
def test_what_cannot_be_enrolled_is_told(
    run: Run, home: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    write_wav(home / "silence.wav", np.zeros(16000, np.float32))
    (home / "text.wav").write_text("no sound")
    write_wav(home / "long.wav", np.tile(chirp(1), 19))
    clips = [argument for argument in arguments if argument.endswith(".wav")]
    rest = [argument for argument in arguments if argument not in clips]
    model = ("--model", "random") if clips else ()
    outcome = run("enrol", *rest, *(home / clip for clip in clips), *model)
    assert (outcome.code, message in outcome.err) == (code, True), outcome.err


def test_without_voices_of_a_model_none_is_enrolled(run: Run, home: Path) -> None:
    outcome = run("enrol", "ann", home / "0.wav", home / "1.wav", "--verify", "random")
    assert (outcome.code, "no voice can be enrolled" in outcome.err) == (5, True)


def test_words_are_asked_for_until_they_will_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    spoken = [chirp(0), chirp(1, level=0.009), chirp(2)]
    source = ArraySource(np.concatenate(spoken), 16000)
    monkeypatch.setattr("edgeaudio.sources.microphone.Microphone", lambda *_, **__: source)
    monkeypatch.setattr(recording, "_forget", lambda _: None)  # everything of a recording is there at once
    words = recording.record_words(2, None, None, tmp_path / "kept")
    assert [label for label, _ in words] == ["recording 1", "recording 2"]
    assert all(word.problems == () for _, word in words)
    assert "once more, please: too quiet" in capsys.readouterr().err
    assert sorted(path.stat().st_mode & 0o777 for path in (tmp_path / "kept").iterdir()) == [0o600, 0o600]


@pytest.mark.pulse
@pytest.mark.slow
def test_words_are_cut_out_of_what_a_microphone_hears(
    pulse: PulseServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody says the word again and again, whenever it is asked for."""
    stream = np.concatenate([chirp(i) for i in range(40)])
    with pulse.playing((stream * 32767).astype(np.int16)):
        words = recording.record_words(3, "pulse", None, None)
    assert [word.seconds for _, word in words] == pytest.approx([0.54] * 3, abs=0.1)
    assert all(word.problems == () for _, word in words)
    assert "3 of 3: say it now" in capsys.readouterr().err

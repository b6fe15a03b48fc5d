"""``edgeaudio train captions`` from recordings on disk to a bundle that runs; each phone is a chord."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.cli.conftest import Run

RATE = 16_000
LEXICON = {"yes": "Y EH S", "no": "N OW", "go": "G OW", "stop": "S T AA P", "left": "L EH F T"}

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="tools/test --train installs PyTorch")


def spoken(words: list[str], rng: np.random.Generator) -> np.ndarray:
    """80 ms of two sines for each phone, told by its name, with quiet around each word."""
    parts = [rng.normal(0.0, 0.001, RATE // 10)]
    for word in words:
        for phone in LEXICON[word].split():
            low, high = (200.0 + 100.0 * (ord(phone[i]) - ord("A")) for i in (0, -1))
            t = np.arange(round(0.08 * RATE)) / RATE
            parts.append(0.2 * np.hanning(len(t)) * (np.sin(6.283 * low * t) + np.sin(6.283 * 2 * high * t)))
        parts.append(rng.normal(0.0, 0.001, RATE // 10))
    return np.concatenate(parts)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path / "data" / "chords"
    folder.mkdir(parents=True)
    lines = ["path\tspeaker\tsplit\tlabel\ttext\tsource\tlicence"]
    for i in range(40):
        words = [list(LEXICON)[k] for k in rng.integers(0, len(LEXICON), 4)]
        soundfile.write(folder / f"{i}.wav", spoken(words, rng), RATE)
        split = "test" if i % 8 == 0 else "train"
        lines.append(f"{i}.wav\t{split}{i}\t{split}\t\t{' '.join(words)}\tmade here\tCC0-1.0")
    for i in range(3):
        soundfile.write(folder / f"hush{i}.wav", rng.normal(0.0, 0.003, 2 * RATE), RATE)
        lines.append(f"hush{i}.wav\t\t\tsilence\t\tmade here\tCC0-1.0")
    (folder / "manifest.tsv").write_text("\n".join(lines) + "\n")
    return tmp_path / "data"


@pytest.fixture
def lexicon(tmp_path: Path) -> Path:
    path = tmp_path / "small.dict"
    path.write_text("".join(f"{word} {phones}\n" for word, phones in LEXICON.items()))
    return path


def common(tmp_path: Path, lexicon: Path) -> list[str | Path]:
    places = ["--output", tmp_path / "chords", "--cache", tmp_path / "cache", "--lexicon", lexicon]
    return ["train", "captions", *places, "--checkpoint-dir", tmp_path / "checkpoints", "--workers", "0"]


@needs_torch
def test_captions_end_in_a_bundle_that_runs(run: Run, tmp_path: Path, data: Path, lexicon: Path) -> None:
    from edgeaudio import ArraySource, Caption, Engine, Recognizer
    from edgeaudio.models.bundle import load_bundle
    from edgeaudio.models.verify import verify

    size = ["--width", "32", "--batch-seconds", "20", "--weight", "chords=2"]
    args = [*common(tmp_path, lexicon), "--data", data, *size, "--minutes", "0.03", "--json"]
    outcome = run(*args)
    assert outcome.code == 0, outcome.err
    results = json.loads(outcome.out)
    assert results["chords"]["recordings"] == results["chords"]["speakers"] == 5
    assert results["chords"]["words"] == 20
    assert "35 recordings" in outcome.err
    assert "held out: 5 of chords" in outcome.err

    bundle = load_bundle(tmp_path / "chords")
    assert bundle.manifest.kind == "captions"
    assert bundle.manifest.labels[:3] == ("<blank>", "AA", "AE")
    assert bundle.manifest.recognition.language == "english-small"
    assert bundle.manifest.results == results
    assert {check.outcome for check in verify(bundle)} <= {"ok", "skipped"}
    card = (tmp_path / "chords" / "README.md").read_text()
    assert "| chords | 35 | CC0-1.0 | made here |" in card
    assert "| chords | 5 | 20 |" in card

    samples = spoken(["yes", "no"], np.random.default_rng(1)).astype(np.float32)
    with Engine(ArraySource(samples), Recognizer.load(tmp_path / "chords")) as engine:
        events = list(engine)
        assert engine.stats().processed_samples == len(samples)
    # So short a training hears something or nothing, but never something else than captions.
    assert all(isinstance(event, Caption) for event in events)

    again = run(*args, "--resume")
    assert again.code == 0, again.err
    assert json.loads(again.out)["chords"]["words"] == 20

    checkpoint = tmp_path / "checkpoints" / "chords.pt"
    further = run(*args, "--start-from", checkpoint, "--minutes", "0.01")
    assert further.code == 0, further.err

    other = run(*args, "--resume", "--width", "40")
    assert other.code == 5
    assert "not a checkpoint of this network" in other.err


@needs_torch
@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ([], 2, "nothing to learn from"),
        (["--data", "/nonexistent/folder"], 3, "no transcribed speech in it"),
        (["--data", "DATA", "--weight", "chords"], 2, "--weight chords: not a corpus and a number"),
        (["--data", "DATA", "--weight", "chords=nan"], 2, "--weight chords=nan"),
        (["--data", "DATA", "--weight", "cords=2"], 2, "there is no such corpus"),
        (["--data", "DATA", "--weight", "chords=0"], 3, "no recording with a transcript to learn from"),
        (["--data", "DATA", "--synthetic", "generate"], 2, "--sentences FILE"),
        (["--data", "DATA", "--language", "klingon-small"], 5, "klingon-small"),
        (["--data", "DATA", "--lexicon", "/nonexistent/file"], 2, "does not exist"),
        (["--data", "DATA", "--resume"], 5, "chords.pt"),
        (["--data", "DATA", "--start-from", "/nonexistent/net.pt"], 5, "net.pt"),
        (["--data", "DATA", "--output", "My_Model"], 2, "'My_Model', cannot be the name of a model"),
        (["--data", "DATA", "--width", "0"], 2, "--width"),
        (["--data", "DATA", "--lookahead", "0.5"], 2, "--from"),
    ],
)
def test_wrong_use_is_explained(
    *, run: Run, tmp_path: Path, data: Path, lexicon: Path, args: list[str], code: int, message: str
) -> None:
    given = [str(data) if arg == "DATA" else arg for arg in args]
    outcome = run(*common(tmp_path, lexicon), *given)
    assert outcome.code == code, outcome.err
    assert message in outcome.err
    assert not (tmp_path / "chords").exists()


@needs_torch
def test_transcripts_are_needed(run: Run, tmp_path: Path, data: Path, lexicon: Path) -> None:
    manifest = data / "chords" / "manifest.tsv"
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join([lines[0], *(line for line in lines if "silence" in line)]) + "\n")
    outcome = run(*common(tmp_path, lexicon), "--data", data)
    assert outcome.code == 3
    assert "no recording with a transcript to learn from" in outcome.err


@needs_torch
def test_a_lexicon_with_other_phones_is_refused(run: Run, tmp_path: Path, data: Path, lexicon: Path) -> None:
    lexicon.write_text("yes Y E: S\n")
    outcome = run(*common(tmp_path, lexicon), "--data", data)
    assert outcome.code == 3
    assert "small.dict" in outcome.err


def test_without_from_a_lexicon_is_needed(run: Run, tmp_path: Path) -> None:
    outcome = run("train", "captions", "--data", tmp_path, "--output", tmp_path / "chords")
    assert outcome.code == 2
    assert "--lexicon is missing" in outcome.err

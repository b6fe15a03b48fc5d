"""Judged clips of a ledger as recordings to learn from."""

import io
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("torch", reason="tools/test --train installs PyTorch")

from edgeaudio.errors import InputError
from edgeaudio.evaluation.ledger import LedgerClip, LedgerFolder, Verdict
from edgeaudio.training import occurrences
from edgeaudio.training.occurrences import LEDGER, MINED, OTHER, mine, read_judged
from edgeaudio.training.spotter import said_word

RATE_HZ = 16_000


def add(ledger: LedgerFolder, number: int, verdict: Verdict, word: str = "lamp") -> None:
    """A clip of 2.7 s whose samples say when they are: 1 % of full scale for every tenth of a second."""
    name = f"20260102T030405.000Z-{number:04d}-{word}.flac"
    samples = np.repeat(np.arange(27) / 100, RATE_HZ // 10)
    data = io.BytesIO()
    soundfile.write(data, samples, RATE_HZ, format="FLAC")
    at = datetime(2026, 1, 2, tzinfo=timezone.utc)
    clip = LedgerClip(ledger.path / name, 2.7, "m", word, "near_miss", 0.5, 0.8, at, verdict)
    ledger.add(name, data.getvalue(), clip)


def test_judged_clips_are_the_word_or_a_near_miss_and_the_rest_is_left_out(tmp_path: Path) -> None:
    ledger = LedgerFolder(tmp_path)
    add(ledger, 1, "word")
    add(ledger, 2, "other")
    add(ledger, 3, "")
    add(ledger, 4, "word", "fan")
    add(ledger, 5, "word")
    next(tmp_path.glob("*-0005-*")).write_bytes(b"half of a clip")
    told: list[str] = []
    clips = read_judged(tmp_path, ["lamp"], told.append)
    assert [(clip.label, clip.corpus) for clip in clips] == [
        ("lamp", LEDGER),
        (OTHER, LEDGER),
        (OTHER, LEDGER),  # of another word, which is none for this model
    ]
    # From 1.3 s before the score was highest, at 2.0 s, to 0.3 s behind.
    assert {len(clip.pcm) for clip in clips} == {round(1.6 * RATE_HZ)}
    assert (clips[0].pcm[0], clips[0].pcm[-1]) == (round(0.07 * 32767), round(0.22 * 32767))
    assert told[0].startswith("left out: ")
    assert "1 clips of the word, 2 of something else, 1 not judged yet" in told[1]


def test_what_was_mined_is_the_word_or_ends_in_no_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = []

    def find(folder: Path, word: str, out: Path, **_options: object) -> None:
        searched.append((folder, word))
        out.mkdir(parents=True)
        for name in "ab":
            soundfile.write(out / f"{name}.flac", np.full(RATE_HZ, 0.1), RATE_HZ)
        (out / "manifest.tsv").write_text(f"path\tlabel\na.flac\t{word}\nb.flac\tnear_miss\n")

    monkeypatch.setattr(occurrences, "find_occurrences", find)
    talks = tmp_path / "talks"
    talks.mkdir()
    for _ in range(2):
        told: list[str] = []
        clips = mine(talks, "miss", tmp_path / "cache", told.append, lambda *_: None)
        assert [(clip.corpus, said_word(clip, ["miss"])) for clip in clips] == [(MINED, 0), (MINED, None)]
        assert "'miss' found 1 times, and 1 times what sounds like it" in told[0]
    assert searched == [(talks, "miss")], "once"


def test_a_wrong_folder_to_mine_ends_the_training_before_it_begins(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no recording in this folder"):
        mine(tmp_path, "hey marvin", tmp_path / "cache", print, lambda *_: None)

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edgeaudio.errors import InputError, UsageError
from edgeaudio.evaluation.ledger import LedgerFolder
from edgeaudio.training.own import NEGATIVES, POSITIVES, divide, read_negatives, read_positives


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, seconds: float = 0.5, rate_hz: int = 16_000) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(len(name)).normal(0.0, 0.1, (round(seconds * rate_hz), 2))
        soundfile.write(path, noise, rate_hz)
        return path

    return write


def test_folders_in_a_folder_of_one_word_are_speakers(tmp_path: Path, record: Callable[..., Path]) -> None:
    record("said/anna/1.wav", 0.5, 44_100)
    record("said/2.flac", 0.7)
    clips = read_positives(tmp_path / "said", ["hey lamp"], tmp_path / "cache", print)
    assert [(c.key, c.label, c.speaker, c.corpus) for c in clips] == [
        ("said/2.flac", "hey lamp", "", POSITIVES),
        ("said/anna/1.wav", "hey lamp", "said/anna", POSITIVES),
    ]
    # 44.1 kHz comes out at 16 kHz, within the sample that rounding may cost.
    assert [len(c.pcm) for c in clips] == pytest.approx([11_200, 8_000], abs=1)


def test_a_ledger_is_none_of_them_since_nobody_may_have_listened(tmp_path: Path) -> None:
    LedgerFolder(tmp_path / "said" / "ledger")
    for folder in (tmp_path / "said", tmp_path / "said" / "ledger"):
        with pytest.raises(UsageError, match="ledger is a ledger") as error:
            read_positives(folder, ["hey lamp"], tmp_path / "cache", print)
        assert f"--from-ledger {tmp_path}" in str(error.value)


def test_folders_of_several_words_are_words(tmp_path: Path, record: Callable[..., Path]) -> None:
    record("said/anna/turn_on/1.wav")
    record("said/stop/2.wav")
    clips = read_positives(tmp_path / "said", ["turn on", "stop"], tmp_path / "cache", print)
    assert [(c.label, c.speaker) for c in clips] == [("turn on", "said/anna"), ("stop", "")]
    record("said/3.wav")
    with pytest.raises(UsageError, match="'said' is none of the words: turn on, stop"):
        read_positives(tmp_path / "said", ["turn on", "stop"], tmp_path / "cache", print)


def test_labels_of_a_corpus_stay(tmp_path: Path, record: Callable[..., Path]) -> None:
    record("said/a.wav")
    record("said/b.wav")
    (tmp_path / "said" / "manifest.tsv").write_text("path\tlabel\na.wav\t\nb.wav\tlamb\n")
    clips = read_positives(tmp_path / "said", ["lamp"], tmp_path / "cache", print)
    assert [c.label for c in clips] == ["lamp", "lamb"]
    (tmp_path / "said" / "manifest.tsv").write_text("path\tlabel\na.wav\they_lamp\nb.wav\tlamb\n")
    told: list[str] = []
    clips = read_negatives(tmp_path / "said", ["lamp"], tmp_path / "cache", told.append)
    assert [c.label for c in clips] == ["lamb"]
    assert "1 of 2 recordings mention a word" in told[0]


def test_unusable_recordings_are_named_and_left_out(tmp_path: Path, record: Callable[..., Path]) -> None:
    record("said/good.wav")
    record("said/long.wav", 11.0, 8_000)
    soundfile.write(tmp_path / "said" / "silent.wav", np.zeros(800), 16_000)
    soundfile.write(tmp_path / "said" / "empty.wav", np.zeros(0), 16_000)
    (tmp_path / "said" / "broken.wav").write_bytes(b"RIFF of nothing")
    told: list[str] = []
    clips = read_positives(tmp_path / "said", ["lamp"], tmp_path / "cache", told.append)
    assert [c.key for c in clips] == ["said/good.wav"]
    assert [line.split(":")[0] for line in told] == [
        "left out", "left out, no samples", "left out, longer than 10 s", "left out, silent",
    ]  # fmt: skip
    broken = tmp_path / "said" / "broken.wav"
    assert told[0].startswith(f"left out: cannot read {broken}: ")
    assert told[0].count(str(tmp_path)) == 1
    (tmp_path / "said" / "good.wav").unlink()
    with pytest.raises(InputError, match="none of its recordings can be used"):
        read_positives(tmp_path / "said", ["lamp"], tmp_path / "cache", told.append)


def test_a_file_name_need_not_be_unicode(tmp_path: Path, record: Callable[..., Path]) -> None:
    for number in range(8):
        path = record(f"said/{number}.wav", 0.1)
        path.rename(path.with_name(os.fsdecode(b"\xff%d.wav" % number)))
    clips = read_positives(tmp_path / "said", ["lamp"], tmp_path / "cache", print)
    assert clips[0].key == "said/\ufffd0.wav"
    assert sum(clip.split == "dev" for clip in divide(clips, POSITIVES).clips) == 2


@pytest.mark.parametrize(("name", "why"), [("nowhere", "does not exist"), ("said", "no recordings in it")])
def test_folders_without_recordings(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "said").mkdir()
    for read in (read_positives, read_negatives):
        with pytest.raises(InputError, match=why):
            read(tmp_path / name, ["lamp"], tmp_path / "cache", print)


def test_long_negatives_come_in_pieces(tmp_path: Path, record: Callable[..., Path]) -> None:
    record("other/talk.wav", 20.2)
    record("fan noise/fan.wav", 1.0)
    clips = read_negatives(tmp_path / "other", ["lamp"], tmp_path / "cache", print)
    # The last 0.2 s make no piece.
    assert [c.seconds for c in clips] == [10.0, 10.0]
    assert {c.corpus for c in clips} == {NEGATIVES}
    (noise,) = read_negatives(tmp_path / "fan noise", ["lamp"], tmp_path / "cache", print)
    assert noise.corpus == f"{NEGATIVES}-noise"


def test_speakers_are_kept_apart_where_there_are_enough(tmp_path: Path, record: Callable[..., Path]) -> None:
    for speaker in "abcde":
        for take in range(2):
            record(f"said/{speaker}/{take}.wav", 0.1)
    clips = read_positives(tmp_path / "said", ["lamp"], tmp_path / "cache", print)
    division = divide(clips, POSITIVES)
    splits = {(clip.speaker, clip.split) for clip in division.clips}
    assert sorted(split for _, split in splits) == ["dev", *["train"] * 4]
    assert "10 recordings, 2 of them only measured on (other speakers)" in division.told
    # Of one speaker: some takes.
    one = divide([clip for clip in clips for _ in range(4) if clip.speaker == "said/a"], POSITIVES)
    assert {clip.split for clip in one.clips} == {"dev", "train"}
    few = divide(clips[:5], POSITIVES)
    assert {clip.split for clip in few.clips} == {"train"}
    assert "all learned from" in few.told

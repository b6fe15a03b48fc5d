"""Which recordings stand for what, in every layout, and what makes no training."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import soundfile

pytest.importorskip("torch", reason="tools/test --train installs PyTorch")

from edgeaudio.errors import InputError, UsageError
from edgeaudio.training.sounds_corpus import BACKGROUND, SILENCE, SPEECH, SoundSet, read_sounds
from edgeaudio.types import SAMPLE_RATE_HZ
from tests.training.sound_clips import TONES_HZ, tone, write_hiss, write_tones


def read(cache: Path, *folders: Path) -> SoundSet:
    return read_sounds(folders, cache, tell=lambda line: None)


def by_key(sounds: SoundSet) -> dict[str, tuple[str, str]]:
    return {f"{clip.corpus}/{clip.key}": (clip.label, clip.split) for clip in sounds.clips}


def test_a_manifest_with_labels_and_numbers_is_what_accuracy_is_measured_on(tmp_path: Path) -> None:
    write_tones(tmp_path / "tones")
    sounds = read(tmp_path / "cache", tmp_path)
    assert sounds.sounds == ("high", "low")
    assert sounds.labels == ("high", "low", SPEECH, SILENCE)
    assert sounds.folds == ("1", "2")
    assert by_key(sounds)["tones/low1.wav"] == ("low", "2")
    assert all(sounds.is_measured(clip) for clip in sounds.clips)
    assert [(part.corpus, part.clips, part.licences) for part in sounds.ingredients(sounds.clips[1:])] == [
        ("tones", 7, "CC0-1.0")
    ]


def test_esc_is_read_as_it_is_published(tmp_path: Path) -> None:
    folder = tmp_path / "ESC-2"
    (folder / "audio").mkdir(parents=True)
    (folder / "meta").mkdir()
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for i in range(8):
        label = ("low", "high")[i % 2]
        soundfile.write(folder / "audio" / f"1-{i}-A-0.wav", tone(label, i), SAMPLE_RATE_HZ)
        lines.append(f"1-{i}-A-0.wav,{1 + i // 4},{i % 2},{label},True,{i},A")
    table = folder / "meta" / "esc2.csv"
    table.write_text("\n".join(lines) + "\n")
    sounds = read(tmp_path / "cache", folder)
    assert by_key(sounds)["ESC-2/audio/1-5-A-0.wav"] == ("high", "2")
    assert len(sounds.clips) == 8

    table.write_text(table.read_text().replace("fold", "part", 1))
    with pytest.raises(InputError, match=r"esc2\.csv: no column 'fold'"):
        read(tmp_path / "cache", folder)


def test_a_folder_for_each_sound_is_dealt_into_folds(tmp_path: Path) -> None:
    for label in TONES_HZ:
        (tmp_path / "mine" / label).mkdir(parents=True)
        for i in range(5):
            soundfile.write(tmp_path / "mine" / label / f"{i}.wav", tone(label, i), SAMPLE_RATE_HZ)
    sounds = read(tmp_path / "cache", tmp_path / "mine")
    assert sounds.folds == ("1", "2", "3", "4", "5")
    assert {clip.split for clip in sounds.clips if clip.label == "low"} == set(sounds.folds)


def test_what_has_no_folds_comes_with_the_sounds(tmp_path: Path) -> None:
    write_tones(tmp_path / "tones")
    write_hiss(
        tmp_path / "talk",
        [("anna", "train", "", "hello"), ("anna", "", "yes", ""), ("ben", "test", "", "no")],
    )
    write_hiss(tmp_path / "noise", [("", "", "kitchen", ""), ("", "", "low", ""), ("", "", "silence", "")])
    write_hiss(tmp_path / "rooms", [("", "", "", "")])
    sounds = read(tmp_path / "cache", tmp_path)
    found = by_key(sounds)
    assert found["talk/0.wav"] == found["talk/1.wav"], "a speaker is in one fold"
    assert found["talk/0.wav"][0] == SPEECH
    assert "talk/2.wav" not in found, "what others measure on is not learned from"
    assert [found[f"noise/{i}.wav"][0] for i in range(3)] == [BACKGROUND, "low", SILENCE]
    assert len(sounds.rooms) == 1
    assert not any(sounds.is_measured(clip) for clip in sounds.clips if clip.corpus != "tones")


def test_esc_50s_names_are_those_of_esc_10(tmp_path: Path) -> None:
    write_tones(tmp_path / "tones")
    manifest = tmp_path / "tones" / "manifest.tsv"
    manifest.write_text(manifest.read_text().replace("\tlow\t", "\tbaby_cry\t"))
    write_hiss(tmp_path / "cries", [("", "", "crying_baby", "")])
    assert by_key(read(tmp_path / "cache", tmp_path))["cries/0.wav"][0] == "baby_cry"


def test_what_makes_no_training_is_refused(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(InputError, match="no folder"):
        read(cache, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no labelled recordings"):
        read(cache, tmp_path / "empty")
    write_hiss(tmp_path / "talk", [("anna", "", "", "hello")])
    with pytest.raises(UsageError, match="nothing says which recording is of which sound"):
        read(cache, tmp_path / "talk")
    write_tones(tmp_path / "one", folds=1)
    with pytest.raises(UsageError, match="all recordings are in fold 1"):
        read(cache, tmp_path / "one")
    write_tones(tmp_path / "few", n=2)
    with pytest.raises(UsageError, match="only 1 recordings of 'high' lie outside of fold 1"):
        read(cache, tmp_path / "few")
    write_tones(tmp_path / "same")
    manifest = tmp_path / "same" / "manifest.tsv"
    manifest.write_text(manifest.read_text().replace("\tlow\t", "\thigh\t"))
    with pytest.raises(UsageError, match="recordings of high only"):
        read(cache, tmp_path / "same")


def test_a_recording_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write_tones(tmp_path / "tones")
    shutil.copy(tmp_path / "tones" / "manifest.tsv", tmp_path / "tones" / "high2.wav")
    with pytest.raises(InputError, match=r"high2\.wav"):
        read(tmp_path / "cache", tmp_path / "tones")

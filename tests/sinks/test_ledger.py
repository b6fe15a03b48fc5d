"""Detections and near misses in a ledger: what is cut out, how it is bounded, and what a bad disk does."""

from __future__ import annotations

import errno
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edgeaudio.errors import OutputError
from edgeaudio.evaluation.ledger import Limits, read_ledger
from edgeaudio.events import NearMiss
from edgeaudio.sinks import ledger as module
from edgeaudio.sinks.clips import ClipSaver
from edgeaudio.sinks.cutter import Tape
from edgeaudio.sinks.ledger import LedgerSink
from edgeaudio.testing import scripted_spotter
from edgeaudio.types import SAMPLE_RATE_HZ, Samples
from tests.pulse import until
from tests.sinks.samples import detection
from tests.sinks.test_clips import STREAM, play, tiny_disk

__all__ = ["tiny_disk"]


def near_miss(end_s: float, score: float = 0.6) -> NearMiss:
    return NearMiss(
        model="wake-computer",
        name="computer",
        score=score,
        threshold=0.8,
        start_sample=round((end_s - 0.5) * SAMPLE_RATE_HZ),
        end_sample=round(end_s * SAMPLE_RATE_HZ),
        snr_db=None,
        level_dbfs=-30.0,
    )


def test_it_keeps_what_is_around_a_word_and_around_what_was_almost_one(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    sink = LedgerSink(tmp_path / "ledger")
    sink._thresholds["wake-computer", "computer"] = 0.75
    play(sink, 0, 6)
    sink.emit(near_miss(3.0))
    sink.emit(detection(end_s=4.0))
    play(sink, 6, 8)
    sink.close()
    first, second = read_ledger(tmp_path / "ledger")
    assert (first.kind, first.score, first.threshold) == ("near_miss", 0.6, 0.8)
    assert (second.kind, second.score, second.threshold) == ("detection", 0.9, 0.75)
    samples, rate_hz = soundfile.read(first.path, dtype="float32")
    assert rate_hz == SAMPLE_RATE_HZ
    assert np.array_equal(samples, STREAM[SAMPLE_RATE_HZ : round(3.7 * SAMPLE_RATE_HZ)])
    assert first.seconds == 2.7
    assert sink.fact() == ("ledger", "2 saved")


def test_it_learns_the_thresholds_from_the_spotters(tmp_path: Path) -> None:
    sink = LedgerSink(tmp_path)
    sink.know([scripted_spotter([(1.0, "computer")])])
    sink.close()
    assert sink._thresholds == {("scripted", "computer"): 0.6}


def test_two_sinks_cut_from_one_tape(tmp_path: Path) -> None:
    tape = Tape(3.0)
    sinks = [ClipSaver(tmp_path / "clips", tape=tape), LedgerSink(tmp_path / "ledger", tape=tape)]
    play(sinks[0], 0, 3)
    for sink in sinks:
        sink.emit(detection(end_s=2.0))
    play(sinks[0], 3, 4)
    for sink in sinks:
        sink.close()
    assert [sink.saved for sink in sinks] == [1, 1]


def test_without_soundfile_clips_are_wav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    sink = LedgerSink(tmp_path)
    play(sink, 0, 3)
    sink.emit(near_miss(2.0))
    sink.close()
    [clip] = read_ledger(tmp_path)
    assert clip.path.suffix == ".wav"
    assert clip.path.read_bytes()[:4] == b"RIFF"


def test_it_stays_bounded_while_it_runs_and_prunes_when_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PRUNE_S", 0.02)
    sink = LedgerSink(tmp_path, limits=Limits(clips=2), wait=True)
    play(sink, 0, 6)
    for end_s in (1, 2, 3, 4):
        sink.emit(near_miss(end_s, score=end_s / 10))
    play(sink, 6, 7)
    until(lambda: sink.saved == 4, 10, "four clips are saved")
    assert [clip.score for clip in read_ledger(tmp_path)] == [0.3, 0.4]
    sink._limits = Limits(age_s=0.0)  # as if their time had come
    until(lambda: not read_ledger(tmp_path), 10, "clips are deleted while nothing comes")
    sink.close()
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".flac"] == []


def test_a_really_full_disk_is_said_once_and_the_ledger_stays_whole(
    tiny_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sink = LedgerSink(tiny_disk)
    ballast = tiny_disk / "ballast"
    ballast.write_bytes(bytes(61_440))  # and the manifest: no page is left
    play(sink, 0, 5)
    for end_s in (1, 2, 3):
        sink.emit(near_miss(end_s))
    play(sink, 5, 6)
    until(lambda: sink.failed >= 2, 10, "clips fail")
    ballast.unlink()
    sink.emit(near_miss(4))
    sink.close()
    assert caplog.text.count("No space left") == 1
    assert "are being saved again" in caplog.text
    clips = read_ledger(tiny_disk)
    assert len(clips) == sink.saved >= 1
    assert {path.name for path in tiny_disk.iterdir()} == {
        *(clip.path.name for clip in clips), "manifest.tsv", ".lock"
    }  # fmt: skip


def test_a_ledger_that_was_spoiled_meanwhile_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sink = LedgerSink(tmp_path)
    (tmp_path / "manifest.tsv").write_text("path\tlabel\n")
    play(sink, 0, 3)
    sink.emit(near_miss(2.0))
    play(sink, 3, 4)
    until(lambda: sink.failed == 1, 10, "the clip fails")
    (tmp_path / "manifest.tsv").unlink()
    sink.emit(near_miss(2.5))
    sink.close()
    assert (sink.saved, sink.failed) == (1, 1)
    assert "cannot be saved" in caplog.text


def test_an_encoder_that_fails_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_args: object, **_options: object) -> None:
        raise soundfile.LibsndfileError(3)

    sink = LedgerSink(tmp_path)
    monkeypatch.setattr(soundfile, "write", broken)
    play(sink, 0, 3)
    sink.emit(near_miss(2.0))
    play(sink, 3, 4)
    until(lambda: sink.failed == 1, 10, "the clip fails")
    monkeypatch.undo()
    sink.emit(near_miss(2.5))
    sink.close()
    assert (sink.saved, sink.failed) == (1, 1)
    assert "cannot be saved" in caplog.text


def test_a_folder_that_is_read_only_is_told_at_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_options: object) -> int:
        raise PermissionError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OutputError, match="Read-only file system"):
        LedgerSink(tmp_path)


def test_a_slow_disk_holds_up_no_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    go = threading.Event()

    def slowly(_samples: Samples) -> tuple[bytes, str]:
        go.wait()
        return b"", ".flac"

    monkeypatch.setattr(module, "_encoded", slowly)
    sink = LedgerSink(tmp_path)
    play(sink, 0, 3)
    for _ in range(30):
        sink.emit(near_miss(1))
    play(sink, 3, 4)  # would hang here
    assert sink.failed in (13, 14)
    assert "the disk is too slow" in caplog.text
    go.set()
    sink.close()
    assert sink.saved + sink.failed == 30

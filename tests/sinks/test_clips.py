"""Clips: the right samples, a bounded folder, and a disk that fills up."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgeaudio.errors import OutputError
from edgeaudio.sinks import clips as module
from edgeaudio.sinks.clips import ClipSaver, write_wav
from edgeaudio.sinks.cutter import Cutter
from edgeaudio.types import SAMPLE_RATE_HZ, Samples
from tests.pulse import until
from tests.sinks.samples import detection

BLOCK = 1280
STREAM: Samples = (np.arange(10 * SAMPLE_RATE_HZ) % 30011 / 32768).astype(np.float32)
"""Every sample tells where it stands, and is a whole 16-bit number."""


def play(saver: Cutter, start_s: float, end_s: float) -> None:
    """Feed part of the stream as an engine would."""
    for at in range(round(start_s * SAMPLE_RATE_HZ), round(end_s * SAMPLE_RATE_HZ), BLOCK):
        saver.history.append(STREAM[at : min(at + BLOCK, round(end_s * SAMPLE_RATE_HZ))], at)


def read(path: Path) -> Samples:
    # The header that `wave` writes has 44 bytes; what other readers make of it is tested below.
    return np.frombuffer(path.read_bytes()[44:], "<i2").astype(np.float32) / np.float32(32768)


def saved(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_a_clip_holds_the_word_and_what_is_around_it(tmp_path: Path) -> None:
    saver = ClipSaver(tmp_path / "new" / "folder", pre_roll_s=1.0, post_roll_s=0.5)
    play(saver, 0, 3.1)
    saver.emit(detection("computer", end_s=3.0, length_s=0.5))
    play(saver, 3.1, 8)
    saver.close()
    [clip] = saved(tmp_path / "new" / "folder")
    assert clip.name.endswith("Z-0001-computer.wav")
    expected = STREAM[round(1.5 * SAMPLE_RATE_HZ) : round(3.5 * SAMPLE_RATE_HZ)]
    assert np.array_equal(read(clip), expected)
    assert (saver.saved, saver.failed) == (1, 0)


def test_the_stream_may_begin_or_end_within_a_clip(tmp_path: Path) -> None:
    saver = ClipSaver(tmp_path, pre_roll_s=1.0, post_roll_s=0.5)
    play(saver, 0, 0.8)
    saver.emit(detection(end_s=0.7, length_s=0.5))
    saver.close()
    [clip] = saved(tmp_path)
    assert np.array_equal(read(clip), STREAM[: round(0.8 * SAMPLE_RATE_HZ)])


def test_a_word_right_before_a_long_loss_is_saved_as_far_as_it_was_heard(tmp_path: Path) -> None:
    saver = ClipSaver(tmp_path, pre_roll_s=1.0, post_roll_s=0.5)
    play(saver, 0, 3.2)
    saver.emit(detection(end_s=3.0, length_s=0.5))
    saver.history.append(STREAM[:BLOCK], 3600 * SAMPLE_RATE_HZ)
    saver.close()
    [clip] = saved(tmp_path)
    assert np.array_equal(read(clip), STREAM[round(1.5 * SAMPLE_RATE_HZ) : round(3.2 * SAMPLE_RATE_HZ)])


def test_two_words_close_together_are_two_clips(tmp_path: Path) -> None:
    saver = ClipSaver(tmp_path)
    play(saver, 0, 2.0)
    saver.emit(detection("up", end_s=1.5))
    saver.emit(detection("down", end_s=2.0))
    play(saver, 2.0, 6.0)
    saver.close()
    assert [clip.name.rpartition("Z-")[2] for clip in saved(tmp_path)] == ["0001-up.wav", "0002-down.wav"]


def test_other_readers_understand_the_file(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    write_wav(tmp_path / "a.wav", np.array([0, 0.5, -1, 1, 2, -np.inf, np.nan], np.float32))
    samples, rate_hz = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert rate_hz == SAMPLE_RATE_HZ
    assert samples.tolist() == [0, 16384, -32768, 32767, 32767, -32768, 0]


def test_a_label_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    saver = ClipSaver(tmp_path / "clips")
    play(saver, 0, 2)
    saver.emit(detection("../../up and\n away", end_s=1.5))
    saver.close()
    [clip] = saved(tmp_path / "clips")
    assert clip.name.endswith("-______up_and__away.wav")


def test_the_oldest_clips_make_room_and_nothing_else_is_deleted(tmp_path: Path) -> None:
    mine = tmp_path / "a-recording-of-mine.wav"
    mine.write_bytes(bytes(100_000))
    # A clip of 1 s takes 32,044 bytes: three fit.
    saver = ClipSaver(tmp_path, pre_roll_s=0.5, post_roll_s=0, limit_bytes=100_000)
    for second in range(1, 6):
        play(saver, second - 1, second)
        saver.emit(detection(f"word{second}", end_s=second, length_s=0.5))
    saver.close()
    names = [clip.name.rpartition("-")[2] for clip in saved(tmp_path)]
    assert names == ["word3.wav", "word4.wav", "word5.wav", "mine.wav"]
    assert mine.stat().st_size == 100_000


def test_a_limit_below_one_clip_saves_nothing_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saver = ClipSaver(tmp_path, limit_bytes=1000)
    play(saver, 0, 5)
    saver.emit(detection(end_s=2))
    saver.emit(detection(end_s=3))
    saver.close()
    assert (saver.saved, saver.failed) == (0, 2)
    assert len(caplog.records) == 1
    assert "more than the limit" in caplog.text


def test_a_folder_that_cannot_be_made_is_told_at_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Not a directory"):
        ClipSaver(tmp_path / "file" / "clips")


def test_a_full_disk_is_said_once_and_saving_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    full = threading.Event()

    def write(path: Path, samples: Samples) -> None:
        if full.is_set():
            path.write_bytes(b"RIFF")  # as far as it got
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_wav(path, samples)

    monkeypatch.setattr(module, "write_wav", write)
    full.set()
    saver = ClipSaver(tmp_path)
    play(saver, 0, 5)
    for end_s in (1, 2, 3):
        saver.emit(detection(end_s=end_s))
    play(saver, 5, 6)
    until(lambda: saver.failed >= 3, 10, "three clips fail")
    assert saved(tmp_path) == [], "half a clip was left behind"
    assert caplog.text.count("No space left") == 1
    full.clear()
    saver.emit(detection("after", end_s=4))
    saver.close()
    assert [clip.name.rpartition("-")[2] for clip in saved(tmp_path)] == ["after.wav"]
    assert (saver.saved, saver.failed) == (1, 3)
    assert "clips are being saved again" in caplog.text


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 64 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a file system can be mounted by root only")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_really_full_disk(tiny_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    # A clip of 2 s takes 64,044 bytes, the ballast 8 kB: together too much.
    ballast = tiny_disk / "ballast"
    saver = ClipSaver(tiny_disk, pre_roll_s=1.0, post_roll_s=0.5)
    ballast.write_bytes(bytes(8192))
    play(saver, 0, 5)
    saver.emit(detection("lost", end_s=2))
    play(saver, 5, 6)
    until(lambda: saver.failed >= 1, 10, "a clip fails")
    assert [path.name for path in saved(tiny_disk)] == ["ballast"]
    ballast.unlink()
    saver.emit(detection("kept", end_s=3))
    saver.close()
    assert (saver.saved, saver.failed) == (1, 1)
    assert "No space left" in caplog.text


def test_a_slow_disk_never_holds_up_a_live_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    go = threading.Event()
    monkeypatch.setattr(module, "write_wav", lambda path, _samples: (go.wait(), path.touch()))
    saver = ClipSaver(tmp_path)
    play(saver, 0, 3)
    for _ in range(30):
        saver.emit(detection(end_s=1))
    play(saver, 3, 4)  # would hang here
    # One clip may be with the worker, 16 wait.
    assert saver.failed in (13, 14)
    assert "the disk is too slow" in caplog.text
    go.set()
    saver.close()
    assert saver.saved + saver.failed == 30

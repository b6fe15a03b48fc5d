"""What was said, in files: whole stretches, long ones in pieces that follow each other."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeaudio.events import SpeechEnd, SpeechStart
from edgeaudio.sinks.speech_clips import SpeechClips
from edgeaudio.types import SAMPLE_RATE_HZ

PCM = np.random.default_rng(4).integers(-32768, 32768, 16 * SAMPLE_RATE_HZ)
STREAM: NDArray[np.float32] = (PCM / 32768).astype(np.float32)


def play(saver: SpeechClips, start_s: float, end_s: float) -> None:
    """Let the tape hear a part of the stream, in blocks of 80 ms."""
    for at in range(round(start_s * SAMPLE_RATE_HZ), round(end_s * SAMPLE_RATE_HZ), 1280):
        saver.history.append(STREAM[at : min(at + 1280, round(end_s * SAMPLE_RATE_HZ))], at)


def start(at_s: float) -> SpeechStart:
    at = round(at_s * SAMPLE_RATE_HZ)
    return SpeechStart(model="m", score=0.9, start_sample=at, end_sample=at + 4000, latency_s=0.0)


def end(start_s: float, end_s: float) -> SpeechEnd:
    first, behind = (round(second * SAMPLE_RATE_HZ) for second in (start_s, end_s))
    return SpeechEnd(model="m", score=0.9, start_sample=first, end_sample=behind, latency_s=0.0)


def saved(folder: Path) -> list[NDArray[np.float32]]:
    """What the clips hold, in the order in which they were written."""
    clips = []
    for path in sorted(folder.iterdir(), key=lambda path: path.name.split("-")[1]):
        with wave.open(str(path)) as file:
            pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        clips.append((pcm / 32768).astype(np.float32))
    return clips


def part(start_s: float, end_s: float) -> NDArray[np.float32]:
    return STREAM[round(start_s * SAMPLE_RATE_HZ) : round(end_s * SAMPLE_RATE_HZ)]


def test_a_clip_holds_a_stretch_and_a_moment_more(tmp_path: Path) -> None:
    saver = SpeechClips(tmp_path)
    play(saver, 0, 2)
    saver.emit(start(1.0))
    play(saver, 2, 4)
    saver.emit(end(1.0, 3.5))
    saver.close()
    (clip,) = saved(tmp_path)
    assert np.array_equal(clip, part(1.0, 3.7))
    assert saver.fact() == ("clips", "1 saved")


def test_long_speech_is_kept_in_pieces_without_a_gap(tmp_path: Path) -> None:
    saver = SpeechClips(tmp_path, post_roll_s=0.0, longest_s=4.0, wait=True)
    play(saver, 0, 2)
    saver.emit(start(1.0))
    play(saver, 2, 14)
    saver.emit(end(1.0, 13.9))
    saver.emit(start(14.0))
    saver.emit(end(14.0, 14.5))
    play(saver, 14, 15)
    saver.close()
    clips = saved(tmp_path)
    assert [len(clip) / SAMPLE_RATE_HZ for clip in clips] == pytest.approx([4, 4, 4, 0.9, 0.5], abs=1e-3)
    assert np.array_equal(np.concatenate(clips[:4]), part(1.0, 13.9))


def test_speech_that_ends_with_a_piece_leaves_no_empty_file(tmp_path: Path) -> None:
    saver = SpeechClips(tmp_path, post_roll_s=0.0, longest_s=4.0, wait=True)
    saver.emit(start(0.0))
    play(saver, 0, 4.16)
    saver.emit(end(0.0, 4.0))
    saver.close()
    assert [len(clip) for clip in saved(tmp_path)] == [4 * SAMPLE_RATE_HZ]

"""Real files of every kind, written by libsndfile, whole and broken."""

from __future__ import annotations

import logging
import os
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.errors import InputError, MissingDependencyError, UsageError
from edgeaudio.sources import FileSource
from tests.sources.reading import read_all

NOISE = np.random.default_rng(5).uniform(-0.5, 0.5, (48_000, 8))


def write(path: Path, rate_hz: int, channels: int, subtype: str, container: str | None = None) -> Path:
    sf.write(path, NOISE[:, :channels], rate_hz, subtype=subtype, format=container)
    return path


FORMATS = [
    *[("x.wav", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW")],
    *[("x.flac", "PCM_16"), ("x.flac", "PCM_24"), ("x.ogg", "VORBIS"), ("x.opus", "OPUS")],
    ("x.mp3", "MPEG_LAYER_III"),
]


@pytest.mark.parametrize(
    ("name", "subtype", "channels"),
    # MP3 knows at most two channels.
    [(*kind, n) for kind in FORMATS for n in (1, 2, 8) if n < 8 or kind[0] != "x.mp3"],
)
def test_every_format(tmp_path: Path, name: str, subtype: str, channels: int) -> None:
    container = "OGG" if subtype == "OPUS" else None
    path = write(tmp_path / name, 16000, channels, subtype, container)
    decoded, _ = sf.read(path, dtype="float64", always_2d=True)
    # Rounding of eight values below 1 to float32; lossy decoders compute in float32 (a few 6e-8).
    np.testing.assert_allclose(read_all(FileSource(path)), decoded.mean(axis=1), rtol=0, atol=5e-7)
    np.testing.assert_allclose(
        read_all(FileSource(path, channel=channels - 1)), decoded[:, -1], rtol=0, atol=5e-7
    )


@pytest.mark.parametrize("rate_hz", [8000, 22050, 44100, 48000, 96000])
def test_every_rate(tmp_path: Path, rate_hz: int) -> None:
    path = write(tmp_path / "x.wav", rate_hz, 1, "DOUBLE")
    expected = soxr.resample(NOISE[:, 0], rate_hz, 16000, quality="HQ")
    # As in test_resample: single precision against double.
    np.testing.assert_allclose(read_all(FileSource(path)), expected, rtol=0, atol=3e-7)


def test_sixteen_bit_files_are_heard_bit_for_bit(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-32768, 32768, 50_000).astype(np.int16)
    sf.write(tmp_path / "x.wav", samples, 16000)
    heard = read_all(FileSource(tmp_path / "x.wav"))
    np.testing.assert_array_equal((heard * 32768).astype(np.int16), samples)


def test_nan_and_infinity_pass(tmp_path: Path) -> None:
    x = np.array([0.1, np.nan, np.inf, -np.inf, 0.2], np.float32)
    sf.write(tmp_path / "x.wav", x, 16000, subtype="FLOAT")
    np.testing.assert_array_equal(read_all(FileSource(tmp_path / "x.wav")), x)


@pytest.mark.parametrize(("name", "least"), [("x.wav", 0.5), ("x.flac", 0.3), ("x.ogg", 0.3), ("x.mp3", 0.3)])
def test_a_file_that_is_cut_off_is_heard_as_far_as_it_goes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, least: float
) -> None:
    path = tmp_path / name
    x = np.tile(NOISE[:, 0], 5)
    sf.write(path, x, 16000)
    whole = read_all(FileSource(path))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 + 1])
    with caplog.at_level(logging.WARNING):
        heard = read_all(FileSource(path))
    # The decoders stop at the last whole block, the longest of which is an Ogg page.
    assert least * x.size * 0.99 < heard.size < 0.6 * x.size
    np.testing.assert_array_equal(heard[: heard.size - 5000], whole[: heard.size - 5000])
    assert str(path) in caplog.text
    assert "cut off" in caplog.text or "heard until" in caplog.text


def test_a_whole_file_warns_of_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("x.wav", "x.flac", "x.ogg", "x.mp3"):
        sf.write(tmp_path / name, NOISE[:, 0], 16000)
        read_all(FileSource(tmp_path / name))
    assert caplog.text == ""


def test_what_is_no_sound_file(tmp_path: Path) -> None:
    text = tmp_path / "text.wav"
    text.write_text("this is not a recording\n" * 20)
    with pytest.raises(InputError, match=r"text\.wav is not a sound file") as error:
        FileSource(text)
    assert "FLAC" in str(error.value)
    assert error.value.exit_code == 3

    with pytest.raises(InputError, match="No such file"):
        FileSource(tmp_path / "missing.wav")
    with pytest.raises(InputError, match="is a folder"):
        FileSource(tmp_path)

    empty = tmp_path / "empty.wav"
    empty.touch()
    with pytest.raises(InputError, match="contains no audio: the file is empty"):
        FileSource(empty)


@pytest.mark.parametrize("kept_bytes", range(4, 46, 3))
def test_a_header_alone_is_no_audio(tmp_path: Path, kept_bytes: int) -> None:
    path = tmp_path / "x.wav"
    sf.write(path, NOISE[:, 0], 16000, subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:kept_bytes])
    with pytest.raises(InputError, match=r"contains no audio|is not a sound file"):
        FileSource(path)


def test_raw_audio_and_impossible_names(tmp_path: Path) -> None:
    path = tmp_path / "x.raw"
    path.write_bytes(bytes(3200))
    with pytest.raises(InputError, match=r"x\.raw is raw audio") as caught:
        FileSource(path)
    assert f"edgeaudio wake - < {path}" in str(caught.value)
    with pytest.raises(InputError, match=r"cannot read .* too long"):
        FileSource(tmp_path / ("x" * 300))


def test_a_pipe_is_no_file_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.wav")
    with pytest.raises(InputError, match=r"x\.wav is a pipe or a device") as caught:
        FileSource(tmp_path / "x.wav")
    assert "edgeaudio wake -" in str(caught.value)
    with pytest.raises(InputError, match="/dev/null is a pipe or a device"):
        FileSource("/dev/null")


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"K\xf6ln.wav")  # Latin-1, from an old disk
    write(tmp_path / "x.wav", 16000, 1, "PCM_16").rename(path)
    assert read_all(FileSource(path)).size == len(NOISE)


def test_a_header_with_an_absurd_rate(tmp_path: Path) -> None:
    path = write(tmp_path / "x.wav", 2, 1, "PCM_16")
    with pytest.raises(InputError, match=r"x\.wav is damaged: its header tells a sample rate of 2 Hz"):
        FileSource(path)


@settings(max_examples=150)
@given(data=st.data(), name=st.sampled_from(["x.wav", "x.flac", "x.ogg", "x.mp3"]))
def test_damaged_files_are_heard_or_refused_but_never_crash(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, name: str
) -> None:
    path = tmp_path_factory.mktemp("damaged") / name
    sf.write(path, NOISE[:4000, :1], 16000)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        # Mostly the header, where every byte means something.
        at = data.draw(st.one_of(st.integers(0, 60), st.integers(0, len(content) - 1)))
        content[min(at, len(content) - 1)] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        source = FileSource(path)
    except InputError as error:
        assert str(path) in error.message  # noqa: PT017 - not raising is fine, too
        return
    for _ in range(100):
        source.ring.advance(source.wait(1600, timeout_s=1.0))
    source.stop()


def test_a_channel_that_is_not_there(tmp_path: Path) -> None:
    path = write(tmp_path / "x.wav", 16000, 2, "PCM_16")
    with pytest.raises(UsageError, match="has 2 channels, there is no channel 2") as error:
        FileSource(path, channel=2)
    assert "from 0 to 1" in str(error.value)


def test_stop_closes_the_file(tmp_path: Path) -> None:
    source = FileSource(write(tmp_path / "x.wav", 16000, 1, "PCM_16"))
    source.wait(100, 1.0)
    source.stop()
    source.stop()
    assert source.finished
    assert source._file.closed


def test_stop_from_another_thread_does_not_close_the_file_under_a_read(tmp_path: Path) -> None:
    source = FileSource(write(tmp_path / "x.wav", 16000, 1, "PCM_16"))
    file, closed_after_stop = source._file, []

    class Slow:
        def __getattr__(self, name: str) -> Any:
            return getattr(file, name)

        def read(self, out: Any) -> Any:
            thread = threading.Thread(target=source.stop)
            thread.start()
            thread.join(10)
            closed_after_stop.append(file.closed)
            return file.read(out=out)

    source._file = Slow()
    source.wait(100, 1.0)
    assert closed_after_stop == [False]
    assert file.closed


def test_without_soundfile_the_message_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(MissingDependencyError, match="needs soundfile") as error:
        FileSource(tmp_path / "x.wav")
    assert "edgeaudio[files]" in str(error.value)

"""`edgeaudio denoise`, and --denoise of the commands that listen."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edgeaudio.cli import denoise
from edgeaudio.cli.listening import settle_denoise
from edgeaudio.dsp.denoise import Denoiser
from edgeaudio.errors import UsageError
from edgeaudio.sinks.clips import to_pcm
from tests.cli.conftest import Run


def hiss(n: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(3).normal(0, 0.05, (n, channels)).astype(np.float32)


def denoised(x: np.ndarray, rate_hz: int, strength: str = "medium") -> np.ndarray:
    denoiser = Denoiser(strength, sample_rate_hz=rate_hz)  # type: ignore[arg-type]
    return np.concatenate([denoiser.process(x).copy(), denoiser.flush()])


@pytest.fixture
def stereo(tmp_path: Path) -> Path:
    path = tmp_path / "in.wav"
    soundfile.write(path, hiss(50_001, 2), 44_100, subtype="PCM_24")
    return path


def test_a_file_keeps_its_rate_channels_length_and_bits(run: Run, stereo: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.flac"
    outcome = run("denoise", stereo, target, "--strength", "strong")
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err.startswith("denoised  1.1 s in ")
    info = soundfile.info(target)
    assert (info.samplerate, info.channels, info.frames, info.subtype) == (44_100, 2, 50_001, "PCM_24")
    x, _ = soundfile.read(stereo, dtype="float32")
    y, _ = soundfile.read(target, dtype="float32")
    for channel in range(2):
        expected = denoised(np.ascontiguousarray(x[:, channel]), 44_100, "strong")
        np.testing.assert_allclose(y[:, channel], expected, atol=2**-23)  # 24 bits
    assert list(tmp_path.iterdir()) in ([stereo, target], [target, stereo])  # and nothing besides


@pytest.fixture
def stdout(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    out = io.BytesIO()
    monkeypatch.setattr(denoise, "stdout_bytes", lambda: out)
    return out


def test_raw_audio_goes_through_a_pipe(run: Run, stdout: io.BytesIO, monkeypatch: pytest.MonkeyPatch) -> None:
    pcm = to_pcm(hiss(20_000)[:, 0])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(pcm.tobytes())))
    assert run("denoise", "-", "-").code == 0
    expected = to_pcm(denoised(pcm.astype(np.float32) / 32768, 16_000))
    np.testing.assert_array_equal(np.frombuffer(stdout.getvalue(), "<i2"), expected)


def test_a_file_goes_into_a_pipe_as_16_khz_mono(run: Run, stdout: io.BytesIO, stereo: Path) -> None:
    assert run("denoise", stereo, "-").code == 0
    assert len(stdout.getvalue()) == 2 * round(50_001 * 16_000 / 44_100)


def test_nothing_is_overwritten_unasked(run: Run, stereo: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.wav"
    target.write_bytes(b"mine")
    outcome = run("denoise", stereo, target)
    assert outcome.code == 2
    assert "--overwrite" in outcome.err
    assert target.read_bytes() == b"mine"
    assert run("denoise", stereo, target, "--overwrite").code == 0
    assert soundfile.info(target).frames == 50_001


def test_the_result_never_takes_the_place_of_what_is_read(run: Run, stereo: Path, tmp_path: Path) -> None:
    before = stereo.read_bytes()
    link = tmp_path / "link.wav"
    os.link(stereo, link)
    for target in (stereo, link):
        outcome = run("denoise", stereo, target, "--overwrite")
        assert outcome.code == 2
        assert "is what is read" in outcome.err
    assert stereo.read_bytes() == before


@pytest.mark.parametrize(
    ("names", "code", "said"),
    [
        (("none.wav", "out.wav"), 3, "No such file"),
        (("text.wav", "out.wav"), 3, "not a sound file"),
        (("slow.wav", "out.wav"), 3, "2000 Hz"),
        (("in.wav", "out.mp3"), 8, ".wav or .flac"),
        (("in.wav", "none/out.wav"), 8, "does not exist"),
        (("in.wav", "folder.wav"), 8, "folder.wav is not a regular file"),
    ],
)
@pytest.mark.usefixtures("stereo")
def test_what_cannot_be_is_told(
    run: Run, tmp_path: Path, names: tuple[str, str], code: int, said: str
) -> None:
    (tmp_path / "text.wav").write_text("no sound at all")
    (tmp_path / "folder.wav").mkdir()
    soundfile.write(tmp_path / "slow.wav", hiss(2000), 2000)
    before = sorted(tmp_path.iterdir())
    outcome = run("denoise", *(tmp_path / name for name in names))
    assert outcome.code == code
    assert said in outcome.err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.usefixtures("scripted")
@pytest.mark.parametrize("options", [["--denoise"], ["--denoise", "strong"]])
def test_words_in_denoised_sound_lie_where_they_lay(run: Run, five_seconds: Path, options: list[str]) -> None:
    plain = run("wake", five_seconds, "--fast")
    outcome = run("wake", *options, five_seconds, "--fast")
    assert outcome.code == 0
    seconds = [line.split()[0] for line in plain.out.splitlines()]
    assert [line.split()[0] for line in outcome.out.splitlines()] == seconds


def test_a_strength_is_told_from_the_source(tmp_path: Path) -> None:
    file = tmp_path / "x.wav"
    file.touch()
    for given, source, expected in (
        (None, None, (None, None)),
        ("strong", None, ("strong", None)),
        (str(file), None, ("light", str(file))),
        ("-", None, ("light", "-")),
    ):
        options = {"denoise": given, "source": source}
        settle_denoise(options)
        assert (options["denoise"], options["source"]) == expected


@pytest.mark.parametrize("source", [None, "x.wav"])
def test_a_strength_that_is_none_is_refused(source: str | None) -> None:
    with pytest.raises(UsageError, match="loud is no strength"):
        settle_denoise({"denoise": "loud", "source": source})

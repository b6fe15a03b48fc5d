from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from edgeaudio.errors import InputError
from edgeaudio.evaluation import manifest as manifest_module
from edgeaudio.evaluation.manifest import Row, iter_clip, read_clip, read_excerpt, read_manifest

HEADER = "path\tseconds\tspeaker\tsplit\tlabel\ttext\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "a.wav", np.zeros(1600, dtype=np.float32), 16_000)
    (tmp_path / "lists").mkdir()
    return tmp_path


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_reads_all_columns_and_ignores_others(folder: Path) -> None:
    path = write(
        folder / "lists" / "m.tsv",
        'licence\tpath\tseconds\tspeaker\tsplit\tlabel\ttext\nCC0\t../a.wav\t0.1\t7\ttest\tyes\tA 5" disc\n',
    )
    (row,) = read_manifest(path)
    assert row.path.resolve() == folder / "a.wav"
    assert (row.seconds, row.speaker, row.split, row.label) == (0.1, "7", "test", "yes")
    assert row.text == 'A 5" disc', "quotes mean nothing in a manifest"
    assert row.origin == f"{path}:2"


def test_optional_columns_may_be_missing_or_empty(folder: Path) -> None:
    (bare,) = read_manifest(write(folder / "m.tsv", "path\na.wav\n"))
    (empty,) = read_manifest(write(folder / "n.tsv", HEADER + "a.wav\t\t\t\t\t\n"))
    for row in (bare, empty):
        assert (row.seconds, row.speaker, row.split, row.label, row.text) == (None, "", "", "", "")


def test_survives_spreadsheets(folder: Path) -> None:
    rows = read_manifest(write(folder / "m.tsv", b"\xef\xbb\xbfpath\tlabel\r\n\r\na.wav\tyes\r\n"))
    assert [(row.label, row.origin.rsplit(":", 1)[1]) for row in rows] == [("yes", "3")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the manifest is empty"),
        ("\n\n", "the manifest is empty"),
        (HEADER, "lists no recordings"),
        ("file\tlabel\na.wav\tyes\n", r"m\.tsv:1: no column 'path' among 'file', 'label'"),
        ("path,label\na.wav,yes\n", r"m\.tsv:1: no column 'path', 'label' among 'path,label'"),
        ("path\nb.wav\n", r"m\.tsv:1: no column 'label'"),
        ("path\tlabel\tlabel\na.wav\tx\ty\n", r"m\.tsv:1: column 'label' appears twice"),
        ("path\tlabel\na.wav\n", r"m\.tsv:2: 1 fields, the header has 2"),
        ("path\tlabel\n\na.wav\tyes\tno\n", r"m\.tsv:3: 3 fields, the header has 2"),
        ("path\tlabel\n\tyes\n", r"m\.tsv:2: the path is empty"),
        ("path\tlabel\na\0.wav\tyes\n", r"m\.tsv:2: the path is empty or holds a NUL"),
        ("path\tlabel\tseconds\na.wav\tyes\tlong\n", r"m\.tsv:2: seconds is 'long'"),
        ("path\tlabel\tseconds\na.wav\tyes\tnan\n", r"m\.tsv:2: seconds is 'nan'"),
        ("path\tlabel\tseconds\na.wav\tyes\t-1\n", r"m\.tsv:2: seconds is '-1'"),
        (b"path\tlabel\na.wav\t\xff\xfe\n", "not UTF-8"),
    ],
)
def test_malformed_manifests_name_file_and_line(folder: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_manifest(write(folder / "m.tsv", text), require=["label"])


def test_missing_recordings_are_listed_with_their_lines(folder: Path) -> None:
    path = write(folder / "m.tsv", "path\na.wav\n" + "".join(f"gone{i}.wav\n" for i in range(7)))
    with pytest.raises(InputError) as caught:
        read_manifest(path)
    assert "7 of 8 recordings do not exist" in str(caught.value)
    assert f"{path}:3: {folder / 'gone0.wav'}" in str(caught.value)
    assert "… and 2 more" in str(caught.value)


def test_unreadable_manifests(folder: Path) -> None:
    for path in (folder / "absent.tsv", folder / "lists", folder / "a\0b.tsv"):
        with pytest.raises(InputError, match="cannot read the manifest"):
            read_manifest(path)


def test_sizes_are_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long_line = write(folder / "m.tsv", "path\n" + "x" * (manifest_module.MAX_LINE_CHARACTERS + 1))
    with pytest.raises(InputError, match=r"m\.tsv:2: longer than"):
        read_manifest(long_line)
    monkeypatch.setattr(manifest_module, "MAX_BYTES", 10)
    with pytest.raises(InputError, match="too many for a manifest"):
        read_manifest(long_line)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_give_rows_or_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = write(tmp_path_factory.getbasetemp() / "fuzz.tsv", b"path\tlabel\n" + data)
    with pytest.raises(InputError):  # none of these recordings exist
        read_manifest(path)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_clips_are_heard_at_16_khz_mono(tmp_path: Path, rate_hz: int, channels: int) -> None:
    seconds, tone_hz = 1.0, 440.0
    time = np.arange(int(rate_hz * seconds)) / rate_hz
    gains = np.linspace(0.2, 0.8, channels)
    soundfile.write(
        tmp_path / "tone.wav", np.sin(2 * np.pi * tone_hz * time)[:, None] * gains, rate_hz, "DOUBLE"
    )
    clip = read_clip(Row(tmp_path / "tone.wav", "m.tsv:2"))
    assert clip.dtype == np.float32
    assert len(clip) == 16_000
    expected = gains.mean() * np.sin(2 * np.pi * tone_hz * np.arange(16_000) / 16_000)
    # Away from the ends, where the resampler sees the silence around the file, soxr's HQ quality
    # has a pass-band ripple far below this.
    np.testing.assert_allclose(clip[1000:-1000], expected[1000:-1000], atol=1e-4)


def test_blocks_join_to_the_clip(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, 70_000).astype(np.float32)
    soundfile.write(tmp_path / "noise.wav", noise, 16_000, "FLOAT")
    row = Row(tmp_path / "noise.wav", "m.tsv:2")
    blocks = [block.copy() for block in iter_clip(row)]
    assert len(blocks) > 2
    np.testing.assert_array_equal(np.concatenate(blocks), noise)
    np.testing.assert_array_equal(read_clip(row), noise)


def test_not_a_number_is_silence(tmp_path: Path) -> None:
    samples = np.full((2000, 2), 0.25, dtype=np.float32)
    samples[10] = np.nan
    samples[20] = (np.inf, -np.inf)
    soundfile.write(tmp_path / "nan.wav", samples, 16_000, "FLOAT")
    clip = read_clip(Row(tmp_path / "nan.wav", "m.tsv:2"))
    assert (clip[10], clip[20], clip[30]) == (0.0, 0.0, 0.25)


def test_files_that_are_no_audio_name_the_line(tmp_path: Path) -> None:
    row = Row(write(tmp_path / "text.wav", "hello"), "m.tsv:17")
    with pytest.raises(InputError, match=r"m\.tsv:17: cannot read .*text\.wav"):
        read_clip(row)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, dtype=np.float32), 16_000)
    with pytest.raises(InputError, match=r"m\.tsv:18: .*empty\.wav holds no samples"):
        read_clip(Row(tmp_path / "empty.wav", "m.tsv:18"))


def test_raw_audio_is_no_recording_and_any_name_will_do(tmp_path: Path) -> None:
    (tmp_path / "x.raw").write_bytes(bytes(3200))
    with pytest.raises(InputError, match=r"m\.tsv:3: cannot read .*x\.raw"):
        read_clip(Row(path=tmp_path / "x.raw", origin="m.tsv:3"))
    with pytest.raises(InputError, match=r"m\.tsv:3: cannot read .*x\.raw"):
        read_excerpt(Row(path=tmp_path / "x.raw", origin="m.tsv:3"), start=0.0, n_samples=10)
    path = tmp_path / os.fsdecode(b"K\xf6ln.wav")  # Latin-1, from an old disk
    soundfile.write(tmp_path / "x.wav", np.zeros(1600), 16000)
    (tmp_path / "x.wav").rename(path)
    assert read_clip(Row(path=path, origin="m.tsv:4")).size == 1600


def test_a_whole_clip_is_bounded_and_a_stream_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "long.wav", np.zeros(40_000, dtype=np.float32), 16_000)
    row = Row(tmp_path / "long.wav", "m.tsv:2")
    monkeypatch.setattr(manifest_module, "MAX_CLIP_S", 2.0)
    with pytest.raises(InputError, match=r"longer than 2 s"):
        read_clip(row)
    assert sum(map(len, iter_clip(row))) == 40_000


@pytest.mark.shared
def test_every_corpus_here_can_be_listed_and_heard(shared_dir: Path) -> None:
    manifests = sorted(shared_dir.glob("data/*/manifest.tsv"))
    assert manifests
    for path in manifests:
        row = read_manifest(path, require=["seconds", "label"])[-1]
        n_samples = sum(map(len, iter_clip(row)))
        assert row.seconds is not None
        # Seconds are written with three decimals.
        assert n_samples / 16_000 == pytest.approx(row.seconds, abs=0.001)

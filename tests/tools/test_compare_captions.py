"""What tools/compare-captions counts, of recognisers whose every word is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="tools/test --train installs PyTorch")

import soundfile

from edgeaudio.errors import InputError
from edgeaudio.evaluation.manifest import read_manifest
from edgeaudio.evaluation.mixing import NoiseBank
from edgeaudio.training.captions import MANY_SPEAKERS
from tools.captioning.__main__ import Score, held_out, mixtures, score

RATE = 16_000


class Says:
    name, busy_s = "says", 0.0

    def __init__(self, *words: str) -> None:
        self.words = list(words)

    def write_down(self, samples: np.ndarray) -> list[str]:
        return self.words


def corpus(folder: Path, speakers: int, split: str = "") -> Path:
    path = folder / "talk"
    path.mkdir()
    rng = np.random.default_rng(0)
    lines = ["path\tspeaker\tsplit\tlabel\ttext"]
    for i in range(speakers):
        soundfile.write(path / f"{i}.wav", 0.1 * rng.normal(size=RATE).clip(-1, 1), RATE)
        label = "recognised" if i == 0 else ""
        lines.append(f"{i}.wav\ts{i}\t{split}\t{label}\tRain, and snow!")
    (path / "manifest.tsv").write_text("\n".join(lines) + "\n")
    return folder


def test_only_speakers_kept_apart_are_heard(tmp_path: Path) -> None:
    chosen = held_out(corpus(tmp_path, MANY_SPEAKERS + 20), "talk", 60)
    assert 5 < len(chosen) < 40
    assert "s0" not in {row.speaker for row in chosen}  # a machine wrote its text


def test_nobody_kept_apart_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nobody in it is kept apart"):
        held_out(corpus(tmp_path, 3), "talk", 60)


def test_words_are_counted_and_compared_recording_by_recording(tmp_path: Path) -> None:
    rows = held_out(corpus(tmp_path, 5, split="test"), "talk", 60)
    noise = NoiseBank(read_manifest(tmp_path / "talk" / "manifest.tsv"))
    heard = [mixtures(rows, noise, snr_db) for snr_db in (None, 10.0)]
    perfect = score(Says("rain", "and", "snow"), rows, heard[0])
    poor = score(Says("rain", "snow"), rows, heard[1])
    assert (perfect.errors, perfect.words) == ([0] * 4, [3] * 4)
    assert poor.errors == [1] * 4
    assert poor.cell() == "33.3% (33.3 to 33.3)"
    assert poor.less_than(perfect) == "**+33.3 (+33.3 to +33.3)**"
    assert Score([1, 0], [3, 3], ["a", "b"]).less_than(Score([0, 1], [3, 3], ["a", "b"])).startswith("+0.0")


def test_noise_is_the_same_for_all(tmp_path: Path) -> None:
    rows = read_manifest(corpus(tmp_path, 3) / "talk" / "manifest.tsv")
    first, again, quiet = (list(mixtures(rows, NoiseBank(rows), snr_db)) for snr_db in (5.0, 5.0, None))
    for x, y, z in zip(first, again, quiet, strict=True):
        np.testing.assert_array_equal(x, y)
        assert np.abs(x - z).max() > 0.01

"""What is taken for speech, and how it gets into noise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeaudio.errors import InputError
from edgeaudio.evaluation.manifest import Row, read_manifest
from edgeaudio.evaluation.mixing import NoiseBank, active_rms
from edgeaudio.evaluation.speech import excerpts, is_speech, read_noise, speech_by_level, stretches
from tests.evaluation.conftest import tone

Make = Callable[..., Path]


def room(seconds: float, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 1e-3, round(16_000 * seconds)).astype(np.float32)


def said(*parts: tuple[float, float], amplitude: float = 0.3) -> NDArray[np.float32]:
    """Seconds of quiet, then of a tone that is loud enough to be speech, again and again."""
    pieces = [piece for pause, length in parts for piece in (room(pause), tone(300, length, amplitude))]
    return np.concatenate([*pieces, room(0.5)])


def test_speech_is_found_by_its_level_to_one_frame() -> None:
    truth = speech_by_level(said((0.5, 0.4), (0.6, 0.3)))
    assert len(truth) == 230
    ((first, behind), (second, end)) = stretches(truth, least_pause_s=0.3)
    # A frame counts with its neighbours, so that an edge may be told one frame too far out.
    assert (first, behind, second, end) == pytest.approx((50, 90, 150, 180), abs=1)
    assert (truth[:48] == 0).all()
    assert (truth[92:148] == 0).all()


def test_short_pauses_are_a_part_of_speech_and_clicks_are_none() -> None:
    truth = speech_by_level(said((0.5, 0.3), (0.15, 0.3), (0.5, 0.005)))
    assert len(stretches(truth, least_pause_s=0.1)) == 1
    assert set(truth[170:]) <= {0, -1}  # a click of 5 ms


def test_soft_sounds_are_not_judged() -> None:
    loud, soft = tone(300, 0.5, 0.3), tone(300, 0.3, 0.3 * 10 ** (-33 / 20))
    truth = speech_by_level(np.concatenate([room(0.5) / 100, loud, soft, room(0.5) / 100]))
    assert (truth[50:100] == 1).all()
    assert (truth[102:128] == -1).all()


def test_a_recording_without_a_pause_is_speech_throughout_and_silence_is_none() -> None:
    assert (speech_by_level(tone(300, 1.0)) == 1).all()
    assert (speech_by_level(np.zeros(16_000, np.float32)) == 0).all()
    assert len(speech_by_level(np.zeros(100, np.float32))) == 0


def test_labels_and_texts_say_what_is_speech(make_manifest: Make) -> None:
    rows = read_manifest(
        make_manifest(
            "mixed", ("speech", tone(300, 1.0)), ("speech:0.2-0.5,0.8-0.9", room(1)), ("rain", room(1))
        )
    )
    assert [is_speech(row) for row in rows] == [True, True, False]
    assert is_speech(Row(path=Path("a"), origin="m:2", text="HELLO"))
    assert is_speech(Row(path=Path("a"), origin="m:2", label="yes"), labels=["yes"])
    with pytest.raises(InputError, match="m:2: neither label nor text"):
        is_speech(Row(path=Path("a"), origin="m:2"))
    clean, timed, rain = excerpts(rows)
    assert [len(one.truth) for one in (clean, timed, rain)] == [350, 100, 100]  # 1 s before and 1.5 s after
    assert stretches(clean.truth, least_pause_s=0.1) == [(100, 200)]
    assert stretches(timed.truth, least_pause_s=0.1) == [(20, 50), (80, 90)]
    assert not rain.truth.any()
    (whole, _, _) = excerpts(rows, whole=True)
    assert (whole.truth == 1).all()
    assert len(whole.truth) == 100


def test_a_time_that_is_none_is_told_with_its_line(make_manifest: Make) -> None:
    rows = read_manifest(make_manifest("times", ("speech:1.0-0.5", room(1))))
    with pytest.raises(InputError, match=r"times.tsv:2: '1.0-0.5' is no stretch of time"):
        list(excerpts(rows))


def test_a_label_with_times_of_something_else_does_not_say_where_speech_is(make_manifest: Make) -> None:
    """A corpus of wake words names the time of one word in a whole sentence."""
    (row,) = read_manifest(make_manifest("word", ("004:0.6-0.8", said((0.5, 0.4)))))
    (one,) = excerpts([Row(path=row.path, origin=row.origin, label=row.label, text="TURN IT OFF")])
    assert stretches(one.truth, least_pause_s=0.1) == [(150, 190)]


def test_mixtures_have_the_ratio_they_say_and_are_the_same_each_time(make_manifest: Make) -> None:
    speech = said((0.5, 0.4), amplitude=0.1)
    rows = read_manifest(make_manifest("speech", ("speech", speech), ("rain", room(1))))
    bank = NoiseBank(read_noise(make_manifest("noise", ("hiss", room(4, seed=5) * 10))))
    loud, soft, rain = excerpts(rows, noise=bank, snrs_db=[0, 10])
    assert (loud.snr_db, soft.snr_db, rain.snr_db) == (0, 10, None)
    assert np.array_equal(loud.truth, soft.truth)
    before = slice(0, 15_000)
    for mixed, snr_db in ((loud, 0), (soft, 10)):
        noise_db = 20 * np.log10(np.sqrt(np.mean(mixed.samples[before] ** 2)) / active_rms(speech))
        # A second of noise, whose own level differs from that of the whole excerpt by hundredths.
        assert noise_db == pytest.approx(-snr_db, abs=0.3)
    again = list(excerpts(rows[:1], noise=bank, snrs_db=[10]))
    assert np.array_equal(again[0].samples, soft.samples)


def test_noise_is_a_list_a_folder_with_a_list_or_a_folder(make_manifest: Make, tmp_path: Path) -> None:
    listed = make_manifest("noise", ("hiss", room(1)))
    assert [row.path.name for row in read_noise(listed)] == ["noise0.wav"]
    assert [row.path.name for row in read_noise(tmp_path)] == ["noise0.wav"]
    (tmp_path / "manifest.tsv").write_text("path\nnoise0.wav\n")
    assert [row.origin for row in read_noise(tmp_path)] == [f"{tmp_path / 'manifest.tsv'}:2"]
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="no recordings there"):
        read_noise(tmp_path / "none")

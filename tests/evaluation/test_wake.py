from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeaudio.errors import InputError
from edgeaudio.evaluation.manifest import read_manifest
from edgeaudio.evaluation.mixing import NoiseBank
from edgeaudio.evaluation.scoring import Scorer
from edgeaudio.evaluation.wake import Mixture, evaluate_wake, normalise, words_of
from edgeaudio.models.manifest import Decision
from edgeaudio.testing import scripted_manifest
from tests.evaluation.conftest import OTHER_HZ, WORD_HZ, tone

RNG = np.random.default_rng(8)
WORD = tone(WORD_HZ, 0.5)
OTHER = tone(OTHER_HZ, 0.5)
QUIET = RNG.normal(0, 1e-4, 16_000).astype(np.float32)


def test_misses_and_false_alarms_are_counted(tone_scorer: Scorer, make_manifest: Callable[..., Path]) -> None:
    spoken = read_manifest(
        make_manifest("spoken", ("computer", WORD), ("", WORD), ("Computer", OTHER), ("dog", OTHER))
    )
    other = read_manifest(
        make_manifest(
            "other", ("", np.concatenate([QUIET, WORD, QUIET, OTHER, QUIET, WORD, QUIET])), ("computer", WORD)
        )
    )
    result = evaluate_wake(spoken, other, tone_scorer, labels=["computer"])
    assert result.words == ("computer",)
    assert result.positives == 3, "the dog is no computer"
    assert (result.operating.misses, result.operating.false_alarms) == (1, 2)
    assert result.hours == pytest.approx((4 + 1.5) / 3600), "a recording of the word is no negative"
    report = result.to_json()
    assert list(report)[:5] == ["threshold", "miss_rate", "false_alarms_per_hour", "interval", "curve"]
    assert report["miss_rate"] == pytest.approx(1 / 3)
    assert report["false_alarms_per_hour"] == pytest.approx(2 / result.hours)
    assert report["threshold"] == 0.6
    low, high = report["interval"]["miss_rate"]
    assert low < 1 / 3 < high
    low, high = report["interval"]["false_alarms_per_hour"]
    assert low < 2 / result.hours < high


def test_whatever_holds_the_word_is_no_negative(
    tone_scorer: Scorer, make_manifest: Callable[..., Path]
) -> None:
    words = read_manifest(make_manifest("words", ("computer", WORD)))
    other = make_manifest(
        "other", *[(label, QUIET) for label in ("computer", "hey_computer", "computers", "")]
    )
    lines = other.read_text().splitlines()
    texts = ["text", "", "", "", "a Computer, please"]
    other.write_text("\n".join(f"{line}\t{text}" for line, text in zip(lines, texts, strict=True)))
    result = evaluate_wake(words, read_manifest(other), tone_scorer, labels=["computer"])
    assert result.hours == pytest.approx(1 / 3600), "only the plural is another word"


def test_the_curve_falls_one_way_and_rises_the_other(
    tone_scorer: Scorer, make_manifest: Callable[..., Path]
) -> None:
    levels = [10 ** (-db / 20) for db in range(0, 60, 5)]
    words = [("computer", np.concatenate([QUIET[:4000], tone(WORD_HZ, 0.5, level)])) for level in levels]
    gaps = [("", np.concatenate([QUIET, tone(WORD_HZ, 0.5, 0.7 * level), QUIET])) for level in levels]
    rows = read_manifest(make_manifest("words", *words)), read_manifest(make_manifest("gaps", *gaps))
    result = evaluate_wake(*rows, tone_scorer, labels=["computer"])
    misses = [point.misses for point in result.curve]
    alarms = [point.false_alarms for point in result.curve]
    assert len(result.curve) > 5
    assert misses == sorted(misses)
    assert alarms == sorted(alarms, reverse=True)


def test_the_operating_point_follows_a_wanted_rate(
    tone_scorer: Scorer, make_manifest: Callable[..., Path]
) -> None:
    levels = [10 ** (-db / 20) for db in range(0, 60, 5)]
    gaps = [("", np.concatenate([QUIET, tone(WORD_HZ, 0.5, level), QUIET])) for level in levels]
    rows = (
        read_manifest(make_manifest("words", ("computer", WORD))),
        read_manifest(make_manifest("gaps", *gaps)),
    )
    for allowed in (0, 3, 7):
        hours = len(levels) * 2.5 / 3600
        result = evaluate_wake(
            *rows, tone_scorer, labels=["computer"], false_alarms_per_hour=[(allowed + 0.5) / hours]
        )
        assert result.operating.false_alarms == allowed, "each recording fires once, at its own threshold"


def test_noise_makes_words_harder_and_is_reproducible(
    tone_scorer: Scorer, make_manifest: Callable[..., Path]
) -> None:
    spoken = read_manifest(make_manifest("spoken", *[("computer", WORD)] * 4))
    other = read_manifest(make_manifest("other", ("", QUIET)))
    bank = NoiseBank(read_manifest(make_manifest("noise", ("hum", tone(OTHER_HZ, 9.0)))))
    runs = [
        evaluate_wake(spoken, other, tone_scorer, labels=["computer"], mixture=Mixture(bank, snr_db))
        for snr_db in (-40.0, -40.0, 40.0)
    ]
    assert runs[0] == runs[1]
    # Under a hum of full scale, 40 dB louder, the word is too soft for the model.
    assert [run.operating.misses for run in runs] == [4, 4, 0]


def test_labels_are_compared_normalised() -> None:
    assert normalise(" Hey, Computer! ") == normalise("hey_computer") == "hey_computer"
    decision = Decision(threshold=0.5, smoothing_ms=40, refractory_ms=100, silent_labels=("unknown",))
    manifest = scripted_manifest(["hey_computer", "stop", "unknown"], decision)
    assert words_of(manifest, []) == ("hey_computer", "stop")
    assert words_of(manifest, ["Stop"]) == ("stop",)
    assert words_of(manifest, ["never heard of"]) == ("hey_computer", "stop")


def test_nothing_to_measure_is_an_error(tone_scorer: Scorer, make_manifest: Callable[..., Path]) -> None:
    words = read_manifest(make_manifest("words", ("computer", WORD)))
    dogs = read_manifest(make_manifest("dogs", ("dog", OTHER)))
    with pytest.raises(InputError, match=r"none of the 1 recordings can serve as positives; .* dog"):
        evaluate_wake(dogs, dogs, tone_scorer)
    with pytest.raises(InputError, match="can serve as negatives"):
        evaluate_wake(words, words, tone_scorer)


def test_a_silent_positive_has_no_signal_to_noise_ratio(
    tone_scorer: Scorer, make_manifest: Callable[..., Path]
) -> None:
    silent = read_manifest(make_manifest("silent", ("computer", np.zeros(8000, dtype=np.float32))))
    noise = read_manifest(make_manifest("noise", ("noise", QUIET)))
    with pytest.raises(InputError, match=r"silent\.tsv:2: .* no signal-to-noise ratio"):
        evaluate_wake(silent, noise, tone_scorer, mixture=Mixture(NoiseBank(noise), 10.0))

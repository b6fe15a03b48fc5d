from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgeaudio.errors import InputError, UsageError
from edgeaudio.evaluation.intervals import poisson_interval, wilson_interval
from edgeaudio.evaluation.manifest import Row, read_manifest
from edgeaudio.evaluation.scoring import Scorer
from edgeaudio.evaluation.sounds import evaluate_sounds, sound_of
from edgeaudio.models.manifest import Activity, ModelManifest
from edgeaudio.tasks.classifier import Classifier
from edgeaudio.testing import scripted_manifest
from tests.evaluation.conftest import OTHER_HZ, WORD_HZ, ToneGraph, tone

QUIET = np.random.default_rng(4).normal(0, 1e-4, 16_000).astype(np.float32)


def manifest(*labels: str, silent: tuple[str, ...] = ()) -> ModelManifest:
    activity = Activity(threshold=0.6, least_on_ms=80.0, least_off_ms=120.0, silent_labels=silent)
    facts = scripted_manifest(labels)
    return msgspec.structs.replace(facts, kind="sounds", decision=None, activity=activity)


@pytest.fixture
def scorer() -> Scorer:
    """1 kHz is a dog, 3 kHz rain."""
    facts = manifest("dog_bark", "rain")
    return Scorer(Classifier(ToneGraph(facts), facts))


def test_counts_what_the_model_hears(scorer: Scorer, make_manifest: Callable[..., Path]) -> None:
    dog, rain = tone(WORD_HZ, 1.0), tone(OTHER_HZ, 1.0)
    rows = read_manifest(
        make_manifest(
            "sounds",
            ("dog_bark", dog),
            ("dog", np.concatenate((dog, QUIET))),
            ("Dog Bark", rain),
            ("rain", rain),
            ("rain", np.concatenate((rain, QUIET, dog[:8000], QUIET))),
            ("door", dog),
        )
    )
    done: list[tuple[int, int]] = []
    result = evaluate_sounds(rows, scorer, progress=lambda *counts: done.append(counts))
    assert result.confusion == {"dog_bark": {"dog_bark": 2, "rain": 1}, "rain": {"rain": 2}}
    assert done == [(i, 6) for i in range(1, 7)]
    hours = (1.0 + 2.0 + 1.0 + 1.0 + 3.5) / 3600
    assert result.to_json() == {
        "accuracy": 4 / 5,
        "interval": list(wilson_interval(4, 5)),
        "per_class": {"dog_bark": 2 / 3, "rain": 1.0},
        "per_class_interval": {"dog_bark": wilson_interval(2, 3), "rain": wilson_interval(2, 2)},
        "confusion": result.confusion,
        "clips": 5,
        "among": ("dog_bark", "rain"),
        "events": {
            "right": 4 / 5,
            "right_interval": list(wilson_interval(4, 5)),
            "right_per_class": {"dog_bark": 2 / 3, "rain": 1.0},
            "wrong": {"dog_bark": 1, "rain": 1},
            "wrong_per_hour": pytest.approx(2 / hours),
            "wrong_per_hour_interval": pytest.approx(poisson_interval(2, hours)),
            "hours": pytest.approx(hours),
        },
        "background": 0,
        "skipped": {"door": 1},
        "model": "scripted",
        "runtime": "tones",
    }


def test_recordings_do_not_influence_each_other(scorer: Scorer, make_manifest: Callable[..., Path]) -> None:
    dog, rain = ("dog_bark", tone(WORD_HZ, 1.0)), ("rain", tone(OTHER_HZ, 1.0))
    rows = read_manifest(make_manifest("mixed", dog, rain, rain, dog, dog, rain))
    result = evaluate_sounds(rows, scorer)
    assert result.confusion == {"dog_bark": {"dog_bark": 3}, "rain": {"rain": 3}}
    assert result.wrong == {}


def test_only_sounds_of_the_set_can_be_the_answer(make_manifest: Callable[..., Path]) -> None:
    """What a set does not name may be in its recordings, too."""
    facts = manifest("dog_bark", "rain")
    scorer = Scorer(Classifier(ToneGraph(facts), facts))
    whole = read_manifest(make_manifest("one", ("dog_bark", tone(OTHER_HZ, 1.0)), ("rain", QUIET)))
    assert evaluate_sounds(whole[:1], scorer).accuracy == 1.0
    assert evaluate_sounds(whole[:1], scorer, among=whole).accuracy == 0.0


def test_recordings_of_nothing_count_for_false_alarms_only(make_manifest: Callable[..., Path]) -> None:
    facts = manifest("dog_bark", "silence", silent=("silence",))
    scorer = Scorer(Classifier(ToneGraph(facts), facts))
    rows = read_manifest(
        make_manifest("quiet", ("dog_bark", tone(WORD_HZ, 1.0)), ("silence", tone(WORD_HZ, 1.0)))
    )
    result = evaluate_sounds(rows, scorer)
    assert (result.clips, result.background, result.wrong) == (1, 1, {"dog_bark": 1})


def test_labels_are_taken_in_the_models_terms() -> None:
    facts = manifest("dog_bark", "sea_waves", "rain")
    labels = ["dog_bark", "dog", "Sea waves", "sea-waves", "rain", "door"]
    found = [sound_of(Row(Path("a.wav"), "m.tsv:4", label=label), facts) for label in labels]
    assert found == ["dog_bark", "dog_bark", "sea_waves", "sea_waves", "rain", None]
    # A model that says it as ESC-50 does is taken at its word.
    assert sound_of(Row(Path("a.wav"), "m.tsv:4", label="dog"), manifest("dog", "dog_bark")) == "dog"


def test_what_cannot_be_measured_is_said(scorer: Scorer, make_manifest: Callable[..., Path]) -> None:
    unknown = read_manifest(make_manifest("doors", ("door", QUIET)))
    with pytest.raises(UsageError, match=r"none of these sounds: door\n.*dog_bark, rain"):
        evaluate_sounds(unknown, scorer)
    with pytest.raises(InputError, match=r"m\.tsv:4: the label is empty"):
        sound_of(Row(Path("a.wav"), "m.tsv:4"), scorer.manifest)
    short = read_manifest(make_manifest("short", ("rain", QUIET[:400])))
    with pytest.raises(InputError, match=r"short0\.wav is too short"):
        evaluate_sounds(short, scorer)


def test_the_command_prints_a_table_or_json(
    sounds_bundle: Path, make_manifest: Callable[..., Path], run: Callable[..., tuple[int, str, str]]
) -> None:
    path = make_manifest(
        "set", ("dog_bark", tone(WORD_HZ, 1.0)), ("rain", tone(OTHER_HZ, 1.0)), ("car", QUIET)
    )
    code, out, _ = run("evaluate", "sounds", path, "--model", sounds_bundle)
    assert code == 0
    assert "accuracy 100.00 %  (95 % interval" in out
    assert "left out, since it does not know them: car 1" in out
    code, out, _ = run("evaluate", "sounds", path, "--model", sounds_bundle, "--json")
    found = json.loads(out)
    assert (code, found["accuracy"], found["clips"], found["skipped"]) == (0, 1.0, 2, {"car": 1})


def test_a_split_is_measured_among_the_sounds_of_the_whole_set(
    sounds_bundle: Path, make_manifest: Callable[..., Path], run: Callable[..., tuple[int, str, str]]
) -> None:
    path = make_manifest("set", ("dog_bark", tone(OTHER_HZ, 1.0)), ("rain", tone(OTHER_HZ, 1.0)))
    header, *lines = path.read_text().splitlines()
    lines = [f"{header}\tsplit", *(f"{line}\t{fold}" for fold, line in enumerate(lines, start=1))]
    path.write_text("\n".join(lines) + "\n")
    code, out, _ = run("evaluate", "sounds", path, "--model", sounds_bundle, "--split", "1", "--json")
    assert (code, json.loads(out)["confusion"]) == (0, {"dog_bark": {"rain": 1}})


def test_a_spotter_is_no_classifier(
    tone_bundle: Path, make_manifest: Callable[..., Path], run: Callable[..., tuple[int, str, str]]
) -> None:
    path = make_manifest("set", ("rain", QUIET))
    code, out, err = run("evaluate", "sounds", path, "--model", tone_bundle)
    assert (code, out) == (5, "")
    assert "tells no sounds apart" in err

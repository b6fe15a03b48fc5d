from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeaudio.backends import Runtime
from edgeaudio.errors import InputError, ModelError, UsageError
from edgeaudio.evaluation.commands import CommandsResult, evaluate_commands, select_rows, true_label
from edgeaudio.evaluation.intervals import wilson_interval
from edgeaudio.evaluation.manifest import Row, read_manifest
from edgeaudio.evaluation.scoring import Scorer
from edgeaudio.tasks.spotter import Spotter
from tests.evaluation.conftest import OTHER_HZ, WORD_HZ, tone

QUIET = np.random.default_rng(4).normal(0, 1e-4, 16_000).astype(np.float32)


@pytest.mark.parametrize("backend", ["onnx", "litert"])
def test_counts_what_the_model_hears(
    tone_bundle: Path, make_manifest: Callable[..., Path], backend: Runtime
) -> None:
    rows = read_manifest(
        make_manifest(
            "words",
            ("yes", tone(WORD_HZ, 0.5)),
            ("yes", tone(WORD_HZ, 0.5, 0.1)),
            ("yes", tone(OTHER_HZ, 0.5)),
            ("no", tone(OTHER_HZ, 0.5)),
            ("dog", tone(5000, 0.5)),
            ("_unknown_", tone(WORD_HZ, 0.5)),
            ("silence", QUIET),
            ("_silence_", QUIET[:8000]),
        )
    )
    done: list[tuple[int, int]] = []
    scorer = Scorer(Spotter.load(tone_bundle, backend=backend))
    result = evaluate_commands(rows, scorer, progress=lambda *counts: done.append(counts))
    assert result.confusion == {
        "yes": {"yes": 2, "no": 1},
        "no": {"no": 1},
        "unknown": {"unknown": 1, "yes": 1},
        "silence": {"silence": 2},
    }
    assert done == [(i, 8) for i in range(1, 9)]
    assert result.to_json() == {
        "accuracy": 6 / 8,
        "interval": list(wilson_interval(6, 8)),
        "per_class": {"yes": 2 / 3, "no": 1.0, "unknown": 0.5, "silence": 1.0},
        "per_class_interval": {
            label: wilson_interval(right, of)
            for label, right, of in (("yes", 2, 3), ("no", 1, 1), ("unknown", 1, 2), ("silence", 2, 2))
        },
        "confusion": result.confusion,
        "clips": 8,
        "model": "tones",
        "runtime": backend,
    }


def test_recordings_do_not_influence_each_other(
    tone_bundle: Path, make_manifest: Callable[..., Path]
) -> None:
    loud, soft = ("yes", tone(WORD_HZ, 0.5)), ("silence", QUIET)
    scorer = Scorer(Spotter.load(tone_bundle))
    rows = read_manifest(make_manifest("mixed", soft, loud, soft, loud, loud, soft))
    assert evaluate_commands(rows, scorer).confusion == {"yes": {"yes": 3}, "silence": {"silence": 3}}


def test_labels_are_taken_in_the_models_terms() -> None:
    labels = ("yes", "unknown", "silence")

    def label(text: str) -> str:
        return true_label(Row(Path("a.wav"), "m.tsv:4", label=text), labels)

    assert [label(text) for text in ("yes", "dog", "_unknown_", "_silence_", "silence")] == [
        "yes",
        "unknown",
        "unknown",
        "silence",
        "silence",
    ]
    with pytest.raises(InputError, match=r"m\.tsv:4: the label is empty"):
        label("")


def test_rows_are_chosen_by_split_and_spread_evenly() -> None:
    rows = [Row(Path("a"), f"m:{i}", split="test" if i % 2 else "train", label=str(i)) for i in range(100)]
    assert [row.label for row in select_rows(rows, split="test", limit=5)] == ["1", "21", "41", "61", "81"]
    assert select_rows(rows) == rows
    assert len(select_rows(rows, limit=1000)) == 100
    with pytest.raises(UsageError, match="no recording has the split 'dev'") as caught:
        select_rows(rows, split="dev")
    assert caught.value.hint == "The manifest has: test, train"


def test_a_wake_word_model_is_refused(tone_scorer: Scorer, make_manifest: Callable[..., Path]) -> None:
    rows = read_manifest(make_manifest("words", ("yes", tone(WORD_HZ, 0.5))))
    with pytest.raises(ModelError, match=r"decision\.clip is missing"):
        evaluate_commands(rows, tone_scorer)


def test_recall_of_a_class_never_heard_is_zero() -> None:
    result = CommandsResult(("yes", "no"), {"yes": {"no": 4}}, "model", "onnx")
    assert result.per_class == {"yes": 0.0}
    assert result.accuracy == 0.0

import numpy as np
import pytest

pytest.importorskip("torch", reason="tools/test --train installs PyTorch")

from edgeaudio.models.manifest import ClipDecision
from edgeaudio.training.clip_tests import (
    ClipScore,
    HeldOutSet,
    clip_score,
    crosswise_decisions,
    crosswise_score,
    held_out_sets,
    true_label,
    tune_clip_decision,
)
from edgeaudio.training.corpus import Clip
from edgeaudio.training.wake_tests import SYNTHETIC

LABELS = ("yes", "no", "unknown", "silence")


def clip(label: str, corpus: str = "words", split: str = "", seconds: float = 1.0) -> Clip:
    return Clip(corpus, label, np.zeros(int(16_000 * seconds), np.int16), label, split=split)


def stream(*peaks: tuple[int, float], n: int = 100) -> np.ndarray:
    """Silence with the first word's posterior at some frames for ten frames each."""
    p = np.zeros((n, len(LABELS)), np.float32)
    for at, height in peaks:
        p[at : at + 10, 0] = height
    p[:, 3] = 1.0 - p[:, 0]
    return p


def test_confusion_counts_truth_by_answer() -> None:
    found = [stream((20, 0.9)), stream((20, 0.3)), stream(), stream((20, 0.9))]
    decision = ClipDecision(word_threshold=0.5, silence_threshold=0.8)
    score = clip_score(found, ["yes", "no", "silence", "unknown"], LABELS, decision)
    assert score.confusion.tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
    assert (score.right, score.clips) == (2, 4)
    facts = score.facts()
    assert facts["accuracy"] == 0.5
    # Wilson's interval of 2 in 4, from the closed formula at z = 1.96.
    assert facts["interval"] == [0.15, 0.85]


def test_recalls_and_what_is_worth_naming() -> None:
    score = ClipScore(("yes", "no", "silence"), np.array([[6, 4, 0], [1, 9, 0], [0, 0, 0]]))
    recalls = score.recalls()
    assert [(label, value["right"], value["of"]) for label, value in recalls.items()] == [
        ("yes", 6, 10),
        ("no", 9, 10),
    ]
    assert recalls["yes"]["interval"] == [0.3127, 0.8318]  # Wilson's, from the closed formula
    assert score.confused() == {"yes for no": 4}


def test_tuned_thresholds_lie_between_the_classes() -> None:
    found = [stream((20, 0.62)), stream((20, 0.38)), stream()] * 3
    truth = ["yes", "unknown", "silence"] * 3
    decision = tune_clip_decision(found, truth, LABELS)
    assert 0.38 < decision.word_threshold <= 0.62
    assert clip_score(found, truth, LABELS, decision).right == 9


def test_each_half_is_measured_with_thresholds_of_the_other() -> None:
    # The speakers of the first half are heard at 0.62 and 0.58, those of the second at 0.42 and 0.38:
    # no threshold of the one half serves the other.
    found = [stream((20, p)) for p in (0.62, 0.58, 0.42, 0.38)] * 2 + [stream(), stream()]
    truth = ["yes", "unknown"] * 4 + ["silence"] * 2
    test = HeldOutSet("words", [], truth, [True, True, False, False] * 2 + [True, False])
    decisions = crosswise_decisions([test], [found], LABELS)
    assert 0.38 < decisions[True].word_threshold <= 0.42
    assert 0.58 < decisions[False].word_threshold <= 0.62
    score = crosswise_score(test, found, LABELS, decisions)
    # First half: all fire. Second half: none fires, and what is left is silence.
    assert score.confusion.tolist() == [[2, 0, 0, 2], [0, 0, 0, 0], [2, 0, 0, 2], [0, 0, 0, 2]]


def test_held_out_sets_are_short_and_of_corpora_with_the_words() -> None:
    clips = [
        clip("yes"),
        clip("cat"),
        clip("silence"),
        clip("yes", seconds=4.0),
        clip("yes", split="held_out"),
        clip("tree", corpus="forest"),
    ]
    found, made = held_out_sets(clips, ["yes", "no"])
    assert found.name == "words, held-out speakers"
    assert found.truth == ["yes", "unknown", "silence"]
    assert [len(x) for x in found.audio] == [16_000 + 9600] * 3
    assert (made.name, made.truth) == (SYNTHETIC, ["yes"])


def test_labels_of_recordings() -> None:
    assert [true_label(clip(label), ["yes"]) for label in ("yes", "no", "silence")] == [
        "yes",
        "unknown",
        "silence",
    ]

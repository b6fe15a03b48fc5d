"""What tools/compare-vad counts, of a detector whose every answer is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="tools/test --train installs PyTorch")

from edgeaudio.evaluation.speech import Excerpt
from tools.speech_activity import __main__ as page
from tools.speech_activity.detectors import Answers
from tools.speech_activity.measuring import best_shift, delays_ms, hear, threshold_at

TRUTH = np.zeros(600, np.int8)
TRUTH[100:300] = 1
TRUTH[380:500] = 1


@dataclass
class Late:
    """Says the truth, so many frames of 10 ms late."""

    frames: int
    name: str = "late"

    def hear(self, samples: np.ndarray) -> Answers:
        said = np.concatenate((np.zeros(self.frames), TRUTH))[: len(TRUTH)]
        return Answers(said.astype(np.float32), 0.01, np.arange(1, len(said) + 1) * 160)


def excerpts() -> list[Excerpt]:
    return [Excerpt("here", who, np.zeros(96_000, np.float32), TRUTH) for who in ("ann", "bob")]


@pytest.mark.parametrize("frames", [0, 7])
def test_a_constant_delay_costs_nothing_but_time(frames: int) -> None:
    heard = hear(Late(frames), excerpts())
    shift = best_shift([heard])
    assert shift == frames
    scores = heard.score(shift)
    assert scores.auc == 1.0
    assert 0.0 < threshold_at(scores, 0.0) <= 1.0
    starts, ends, missed = delays_ms(heard, 0.5)
    # The frame in which it is said must have been heard: 10 ms more.
    assert starts == [10.0 * (frames + 1)] * 4
    assert ends == [10.0 * (frames + 1)] * 4
    assert missed == 0


def test_speech_that_is_never_noticed_is_counted() -> None:
    heard = hear(Late(0), excerpts())
    assert delays_ms(heard, 2.0) == ([], [], 4)


def test_the_tables_replace_those_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = tmp_path / "sounds.md"
    document.write_text("# Sounds\n\n## Speech activity\n\nWhat people wrote.\n\n## Speakers\n")
    monkeypatch.setattr(page, "DOCUMENT", document)
    page._write("one")
    page._write("two")
    text = document.read_text()
    assert "one" not in text
    assert text.count("two") == text.count(page.BEGIN) == 1
    assert text.index("## Speech activity") < text.index("two") < text.index("What people wrote.")

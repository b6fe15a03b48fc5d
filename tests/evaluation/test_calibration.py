from __future__ import annotations

import numpy as np
import pytest

from edgeaudio.errors import InputError
from edgeaudio.evaluation.calibration import ScoredWords, calibration_error, fit_confidence
from edgeaudio.events import Caption, CaptionWord


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def words_of(scale: float, offset: float, n: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    evidence = -rng.exponential(3.0, n)
    return evidence, rng.random(n) < logistic(scale * evidence + offset)


def test_the_fit_finds_what_the_words_were_drawn_from() -> None:
    fitted = fit_confidence(*words_of(0.4, 2.0))
    # Standard errors with 20,000 words: 0.006 and 0.03.
    assert fitted.scale == pytest.approx(0.4, abs=0.03)
    assert fitted.offset == pytest.approx(2.0, abs=0.15)
    assert fitted.error < 0.01
    assert (fitted.words, round(fitted.right, 1)) == (20_000, 0.7)


def test_the_fit_is_the_most_likely_one() -> None:
    evidence, right = words_of(0.7, 1.0, 500)
    fitted = fit_confidence(evidence, right)

    def loss(scale: float, offset: float) -> float:
        p = logistic(scale * evidence + offset)
        return -float(np.log(np.where(right, p, 1 - p)).sum())

    least = loss(fitted.scale, fitted.offset)
    for scale, offset in ((0.05, 0.0), (-0.05, 0.0), (0.0, 0.1), (0.0, -0.1)):
        assert loss(fitted.scale + scale, fitted.offset + offset) > least


def test_more_evidence_never_counts_against_a_word() -> None:
    evidence, right = words_of(0.5, 1.0, 1000)
    fitted = fit_confidence(-evidence, right)
    assert fitted.scale == 0.0
    assert logistic(np.array([fitted.offset]))[0] == pytest.approx(right.mean())


def test_words_that_part_cleanly_give_finite_numbers() -> None:
    fitted = fit_confidence([-1.0, -2.0, -8.0, -9.0], [True, True, False, False])
    assert np.isfinite([fitted.scale, fitted.offset]).all()
    assert fitted.error < 0.01


@pytest.mark.parametrize("right", [[], [True], [True, True], [False, False]])
def test_words_that_are_all_alike_tell_nothing(right: list[bool]) -> None:
    with pytest.raises(InputError, match="tell nothing about confidence"):
        fit_confidence([-1.0] * len(right), right)


def test_calibration_error_against_counting() -> None:
    confidence = [0.95, 0.95, 0.95, 0.95, 0.55, 0.55, 1.0]
    right = [True, True, True, False, True, False, True]
    # Ranges 0.9 to 1 (five words, 4 right) and 0.5 to 0.6 (two, 1 right).
    expected = (abs(4 * 0.95 + 1.0 - 4) + abs(2 * 0.55 - 1)) / 7
    assert calibration_error(confidence, right) == pytest.approx(expected)
    assert calibration_error([], []) == 0.0


def caption(*words: tuple[str, float], final: bool = True) -> Caption:
    spoken = tuple(
        CaptionWord(text=text, start_sample=0, end_sample=1, confidence=confidence)
        for text, confidence in words
    )
    return Caption(
        model="m",
        caption_id=1,
        words=spoken,
        tentative="",
        final=final,
        start_sample=0,
        end_sample=1,
        latency_s=0.0,
    )


def test_words_are_right_where_the_text_has_them() -> None:
    scored = ScoredWords()
    assert scored.error == 0.0
    captions = [
        caption(("turn", 0.5), final=False),
        caption(("turn", 0.9), ("of", 0.4)),
        caption(("light", 0.8)),
    ]
    scored.add(captions, ["turn", "off", "the", "light"])
    scored.add([caption(("noise", 0.1))], [])
    # One word in each of four ranges: right, wrong, right, wrong.
    assert scored.error == pytest.approx((0.1 + 0.4 + 0.2 + 0.1) / 4)

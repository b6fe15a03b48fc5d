"""One decision for a whole recording."""

from __future__ import annotations

import numpy as np
import pytest

from edgeaudio.tasks.whole import main_scores, main_sound

LABELS = ("bark", "rain", "speech")


def test_a_short_sound_counts_more_than_a_long_doubt() -> None:
    posteriors = np.zeros((50, 3), np.float32)
    posteriors[20:25, 0] = 0.9
    posteriors[:, 1] = 0.3
    # (5 * 0.81) / (5 * 0.9) and (50 * 0.09) / (50 * 0.3)
    assert main_scores(posteriors) == pytest.approx([0.9, 0.3, 0.0], abs=1e-6)
    assert main_sound(posteriors, LABELS, LABELS) == "bark"


def test_only_labels_that_the_recordings_know_are_answers() -> None:
    posteriors = np.full((10, 3), (0.1, 0.2, 0.9), np.float32)
    assert main_sound(posteriors, LABELS, {"bark", "rain"}) == "rain"


def test_nothing_heard_scores_nothing() -> None:
    assert not main_scores(np.zeros((0, 3), np.float32)).any()

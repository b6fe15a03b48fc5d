import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="tools/test --train installs PyTorch")

from edgeaudio.training.attempt import LEAST_MINUTES, attempt
from edgeaudio.training.build import Reporter, SpotterJob
from edgeaudio.training.corpus import Clip
from edgeaudio.training.spotter import Material
from edgeaudio.training.streams import Pools

MATERIAL = Material(("lamp",), Pools([[]], [[]], [], []), [], [], [], {"words": 600})


class StopError(Exception):
    pass


def begin(job: SpotterJob, *, spent_s: float = 0.0, end: bool = True, **changes: object) -> SpotterJob:
    """The job as it is given to the training, which leaves a checkpoint."""
    given = replace(MATERIAL, **changes)  # type: ignore[arg-type]
    started = time.monotonic() - spent_s
    try:
        with attempt(job, given, "plan", Reporter(), started=started) as paced:
            job.checkpoint.write_bytes(b"weights")
            if not end:
                raise StopError
    except StopError:
        pass
    return paced


@pytest.fixture
def job(tmp_path: Path) -> SpotterJob:
    return SpotterJob(None, None, tmp_path / "lamp", budget_minutes=50.0, checkpoint_dir=tmp_path / "kept")


def test_the_same_again_goes_on(job: SpotterJob) -> None:
    first = begin(job, spent_s=20 * 60, end=False)
    assert not first.resume
    assert first.minutes == pytest.approx(27.0, abs=0.1)  # 50, less 20 spent and 3 for what comes after
    again = begin(job)
    assert again.resume
    assert again.minutes == first.minutes, "as long as it was to be, whatever is left"
    assert not begin(job).resume, "that one was finished"


def test_something_else_begins_anew(job: SpotterJob) -> None:
    begin(job, end=False)
    assert not begin(job, end=False, used={"words": 601}).resume
    others = [Clip("words", "other.wav", np.zeros(9, np.int16), "lamp")]
    assert not begin(job, end=False, used={"words": 601}, development=others).resume
    assert not begin(replace(job, seed=2), end=False).resume
    job.checkpoint.with_suffix(".json").write_text("no note")
    assert not begin(replace(job, seed=2), end=False).resume
    assert begin(replace(job, resume=True, seed=3)).resume, "the user says so"


def test_a_spent_budget_still_trains(job: SpotterJob) -> None:
    assert begin(job, spent_s=3600).minutes == LEAST_MINUTES
    assert begin(replace(job, minutes=2.0), spent_s=3600).minutes == 2.0
    assert begin(replace(job, budget_minutes=None)).minutes is None

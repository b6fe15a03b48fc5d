"""A training that was interrupted goes on when the same is asked for again.

Beside the checkpoint lies a note of what was being trained, until the model is written. A
checkpoint of anything else, or of a finished training, is not gone on with unless the user says so.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeaudio.errors import OutputError
from edgeaudio.training.build import Reporter, SpotterJob
from edgeaudio.training.spotter import Material

__all__ = ["attempt"]

LEAST_MINUTES = 5.0
MEASURING_MINUTES = 3.0
"""Kept of the budget for what follows the training: calibration, measuring, the card."""


@contextmanager
def attempt(
    job: SpotterJob, material: Material, facts: Any, reporter: Reporter, *, started: float
) -> Iterator[SpotterJob]:
    """Yield the job with how long to train, and whether to go on from its checkpoint.

    Parameters
    ----------
    facts
        All that a checkpoint depends on besides the recordings; its ``repr`` is compared.
    started : float
        ``time.monotonic()`` when the work began: what was spent since is off the budget.
    """
    note = job.checkpoint.with_suffix(".json")
    key = _key(job, material, facts)
    earlier = _read(note)
    goes_on = earlier.get("key") == key and job.checkpoint.is_file()
    minutes = job.minutes
    if minutes is None and job.budget_minutes is not None:
        spent = (time.monotonic() - started) / 60
        minutes = max(LEAST_MINUTES, job.budget_minutes - spent - MEASURING_MINUTES)
        if goes_on and isinstance(earlier.get("minutes"), (int, float)):
            minutes = float(earlier["minutes"])
    if goes_on and not job.resume:
        reporter.tell(f"going on with the training that was interrupted ({job.checkpoint})")
    elif not job.resume:
        job.checkpoint.unlink(missing_ok=True)
    _write(note, {"key": key, "minutes": minutes})
    yield replace(job, minutes=minutes, resume=job.resume or goes_on)
    with contextlib.suppress(OSError):
        note.unlink()


def _key(job: SpotterJob, material: Material, facts: Any) -> str:
    pools = material.pools
    groups = (*pools.real, *pools.synthetic, *pools.confusable, pools.speech, material.development)
    clips = [[(clip.corpus, clip.key, clip.label, len(clip.pcm)) for clip in group] for group in groups]
    counts = sorted(material.used.items()), len(material.noises), len(material.rooms)
    told = repr((job.output.name, job.seed, material.words, counts, clips, facts))
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _read(note: Path) -> dict[str, Any]:
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(note: Path, content: dict[str, Any]) -> None:
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(content), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{note}: cannot be written: {error.strerror or error}") from error

"""Whether the emulated device answers as this machine does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Answers", "Comparison", "compare"]

Answers = Mapping[str, NDArray[Any]]
"""What `tools.emulated.guest.answers` returns."""

FRAMES = 1e-5
"""Both compute in float64 and round to float32 at the end. The tests allow so much against a slow float64
truth; between two machines, all that differs is fused multiply-adds and the order of additions."""
SCORE = 0.02
"""Of detections and confidences of words: three steps of the coarsest output scale of a shipped model."""


class Comparison(NamedTuple):
    """One thing that was compared: how far it differs, and how far it may."""

    name: str
    difference: float
    allowed: float
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether the difference is allowed; NaN never is."""
        return self.difference <= self.allowed


def compare(here: Answers, there: Answers) -> list[Comparison]:
    """Compare what this machine and the emulated device answered."""
    found = [_missing(name) for name in sorted(set(here) ^ set(there))]
    for name in here:
        if name not in there:
            continue
        kind = name.split()[0]
        if kind == "events":
            found += _events(name, here[name], there[name])
        elif kind == "frames":
            found.append(_arrays(name, here[name], there[name], FRAMES))
        elif kind == "logits":
            allowed = float(here[f"tolerance {name.split()[1]}"])
            found.append(_arrays(name, here[name], there[name], allowed))
    return found


def _missing(name: str) -> Comparison:
    return Comparison(name, np.inf, 0.0, "answered on one of the two only")


def _arrays(name: str, here: NDArray[Any], there: NDArray[Any], allowed: float) -> Comparison:
    if here.shape != there.shape:
        return Comparison(name, np.inf, allowed, f"shapes {here.shape} and {there.shape}")
    # Not max(…, initial=0.0), which would hide a NaN on older numpy; an empty answer is none.
    difference = float(np.abs(here - there).max()) if here.size else np.inf
    return Comparison(name, difference, allowed, f"{len(here)} rows")


def _events(name: str, here: NDArray[Any], there: NDArray[Any]) -> Iterator[Comparison]:
    """Decisions must be the same: words, order, positions. Scores may differ a little."""
    mine, theirs = (_decisions(json.loads(str(events))) for events in (here, there))
    same = [what for what, _ in mine] == [what for what, _ in theirs]
    n_wrong = 0.0 if same and mine else np.inf
    yield Comparison(
        name, n_wrong, 0.0, f"{len(mine)} decisions, the same" if same else f"{mine} and {theirs}"
    )
    if same and mine:
        difference = max(abs(a - b) for (_, a), (_, b) in zip(mine, theirs, strict=True))
        yield Comparison(f"scores {name.split()[1]}", difference, SCORE, "")


def _decisions(events: list[dict[str, Any]]) -> list[tuple[tuple[object, ...], float]]:
    """Return what was decided, with positions, and how certain it was; tentative text is no decision."""
    found: list[tuple[tuple[object, ...], float]] = []
    for event in events:
        if event["type"] in ("detection", "sound", "speech_end"):
            what = (event.get("name", "speech"), event["start_sample"], event["end_sample"])
            found.append((what, event["score"]))
        elif event["type"] == "caption" and event["final"]:
            for word in event["words"]:
                what = (word["text"], word["start_sample"], word["end_sample"])
                found.append((what, word["confidence"]))
    return found

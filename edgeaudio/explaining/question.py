"""What is to be explained: one label's score at one moment, and the frames that it came from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgeaudio.backends import StreamingGraph, stream
from edgeaudio.config import nearest
from edgeaudio.errors import UsageError
from edgeaudio.explaining.gradients import Array, activate
from edgeaudio.explaining.hearing import Heard
from edgeaudio.frontend import Frontend
from edgeaudio.types import Frames

__all__ = ["Question", "ask"]

_EARLIER_S, _LATER_S = 0.3, 1.0
"""Where a peak is looked for around the second that was asked for: a score peaks after what it is about."""
_QUIET_SHARE = 0.1
"""A band's background is what only this part of its frames falls below."""
_TAKEN_FOR = 0.5
"""A background that has this part of the score holds what is to be explained, so that it explains nothing."""
_ROOM_DBFS = -75.0
_ROOM_S = 2.0


@dataclass(frozen=True)
class Question:
    """Why the smoothed posterior of a label was what it was in one output frame.

    ``first`` is the input frame at which the stretch begins that the score depends on; ``weights`` are those
    of the stretch's output frames in the score.
    """

    heard: Heard
    graph: StreamingGraph
    label: str
    frame: int
    first: int
    weights: Array

    @property
    def column(self) -> int:
        """The label's place among the model's."""
        return self.heard.manifest.labels.index(self.label)

    @property
    def activation(self) -> str:
        """What makes posteriors of the model's logits."""
        return self.heard.manifest.activation

    @property
    def score(self) -> float:
        """The smoothed posterior."""
        return float(self.heard.smoothed[self.frame, self.column])

    @property
    def at_s(self) -> float:
        """When it was known."""
        return self.heard.known_s(self.frame)

    @cached_property
    def frames(self) -> Frames:
        """``[n, n_bands]``: all that the score depends on, in whole steps."""
        n = len(self.weights) * self.heard.manifest.stride
        return self.heard.frames[self.first : self.first + n]

    @cached_property
    def background(self) -> Frames:
        """``[n_bands]``: what the recording sounds like where nothing happens.

        Each band's quiet frames; or, where these alone are taken for the label, as with rain, a quiet room.
        """
        spec = self.heard.manifest.frontend
        if spec.features == "waveform":
            return np.zeros(spec.n_bands, np.float32)
        quiet = np.quantile(self.heard.frames[: self.heard.n_real], _QUIET_SHARE, axis=0).astype(np.float32)
        if self.score_of(np.broadcast_to(quiet, self.frames.shape)) < _TAKEN_FOR * self.score:
            return quiet
        noise = np.random.default_rng(0).standard_normal(round(_ROOM_S * spec.sample_rate_hz))
        noise *= 10 ** (_ROOM_DBFS / 20)
        room: Frames = Frontend(spec).process(noise.astype(np.float32)).mean(axis=0)
        return np.minimum(room, quiet) if spec.features != "mfcc" else room

    def score_of(self, frames: Frames) -> float:
        """Return the score that other frames in the stretch's place would have had, by the runtime."""
        self.graph.reset()
        logits = stream(self.graph, np.ascontiguousarray(frames, np.float32))
        posteriors = activate(logits.astype(np.float64), self.activation)[:, self.column]
        return float(posteriors @ self.weights)


def ask(
    heard: Heard, graph: StreamingGraph, *, label: str | None = None, at_s: float | None = None
) -> Question:
    """Find what is to be explained.

    Parameters
    ----------
    heard, graph
        What `edgeaudio.explaining.hearing.hear` returned.
    label : str, optional
        Of the model; by default of what it told, the surest, and if it told nothing, the highest.
    at_s : float, optional
        Look around this second only, for the peak of the score; by default everywhere.

    Raises
    ------
    UsageError
        The model has no such label, or the recording no such second.
    """
    manifest = heard.manifest
    if label is not None and label not in manifest.labels:
        near = nearest(label, list(manifest.labels))
        advice = f"Did you mean '{near}'? " if near else ""
        raise UsageError(
            f"model '{manifest.name}' has no label '{label}'",
            hint=f"{advice}It has: {', '.join(manifest.labels)}",
        )
    if at_s is not None and not 0.0 <= at_s <= heard.seconds:
        raise UsageError(f"{at_s:g} s is not in the recording, which lasts {heard.seconds:.2f} s")
    places = _places(heard, at_s)
    told = _named(heard, places) or {*(manifest.spotted or manifest.labels)}
    names = told if label is None else {label}
    columns = [i for i, name in enumerate(manifest.labels) if name in names]
    scores = np.where(places[:, None], heard.smoothed[:, columns], -1.0)
    frame, column = np.unravel_index(int(scores.argmax()), scores.shape)
    return _question(heard, graph, manifest.labels[columns[int(column)]], int(frame))


def _named(heard: Heard, places: NDArray[np.bool_]) -> set[str]:
    """Return the labels that were told in those places."""
    known = np.array([heard.known_s(int(frame)) for frame in np.flatnonzero(places)])
    # A word is told when an output frame is known, and a stretch's ends lie anywhere.
    room_s = (heard.known_s(1) - heard.known_s(0)) / 2
    return {
        one.label
        for one in heard.told
        if ((known >= one.start_s - room_s) & (known <= one.end_s + room_s)).any()
    }


def _places(heard: Heard, at_s: float | None) -> NDArray[np.bool_]:
    """Which output frames may be explained."""
    known = np.array([heard.known_s(frame) for frame in range(len(heard.smoothed))])
    # A word's score may peak only after the recording's end, and a sound is over there.
    heard_of = known <= (np.inf if heard.manifest.activity is None else heard.seconds)
    if at_s is None and heard_of.any():
        return heard_of
    if at_s is None:
        return ~heard_of
    near = heard_of & (known >= at_s - _EARLIER_S) & (known <= at_s + _LATER_S)
    if not near.any():
        near[np.abs(known - at_s).argmin()] = True
    return near


def _question(heard: Heard, graph: StreamingGraph, label: str, frame: int) -> Question:
    manifest = heard.manifest
    stride, step = manifest.stride, manifest.step_frames
    earliest = max(0, frame - heard.smoothing_frames + 1)
    first = max(0, (earliest + 1) * stride - manifest.receptive_field_frames) // step * step
    behind = -(-((frame + 1) * stride) // step) * step
    weights = np.zeros((behind - first) // stride)
    weights[earliest - first // stride : frame - first // stride + 1] = 1 / heard.smoothing_frames
    return Question(heard, graph, label, frame, first, weights)

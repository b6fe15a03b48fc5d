"""What a model makes of a whole recording: its scores over time, and what it told."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from edgeaudio.backends import Runtime, StreamingGraph, open_graph
from edgeaudio.errors import InputError, ModelError
from edgeaudio.events import Detection, SoundEvent, SpeechEnd
from edgeaudio.frontend import Frontend
from edgeaudio.models.bundle import Bundle
from edgeaudio.models.manifest import Activity, Decision, ModelManifest
from edgeaudio.profiles.profile import Profile
from edgeaudio.sources.file import FileSource
from edgeaudio.tasks.base import Task
from edgeaudio.tasks.classifier import Classifier
from edgeaudio.tasks.clip import smooth
from edgeaudio.tasks.spotter import Spotter
from edgeaudio.tasks.stepping import Stepper
from edgeaudio.tasks.vad import Vad
from edgeaudio.types import SAMPLE_RATE_HZ, Frames, Samples

__all__ = ["Heard", "Told", "check_explainable", "hear", "load_clip"]

LONGEST_S = 600.0
"""Longer recordings are refused: frames and scores of all of it are kept."""
_BLOCK_SAMPLES = 16_000
_AFTERWARDS_S = 0.3
"""What is played after the end, besides the smoothing, as a spotter does when a stream ends."""


@dataclass(frozen=True)
class Told:
    """What a model told: a word at one moment, or a stretch of sound, in seconds of the recording."""

    label: str
    score: float
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Heard:
    """A recording as a model hears it.

    ``frames`` are ``[n_frames, n_bands]``; those from ``n_real`` on are the quietest frame of the last second
    again and again. ``posteriors`` and ``smoothed`` are ``[n_out, n_labels]``.
    """

    manifest: ModelManifest
    samples: Samples
    frames: Frames
    n_real: int
    posteriors: Frames
    smoothed: Frames
    told: tuple[Told, ...]
    runtime: str

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return len(self.samples) / SAMPLE_RATE_HZ

    @property
    def smoothing_frames(self) -> int:
        """Output frames in the moving mean."""
        return _smoothing_frames(self.manifest)

    def known_s(self, frame: int) -> float:
        """Return when the output frame `frame` is known: at the end of the last sample that it needs."""
        return _known_s(self.manifest, frame)

    def frame_s(self, frame: float) -> float:
        """Return where the input frame `frame` is drawn from: a hop around the middle of its window."""
        spec = self.manifest.frontend
        around = (spec.window_samples - spec.hop_samples) / 2
        return float((frame * spec.hop_samples + around) / spec.sample_rate_hz)

    def threshold(self, label: str) -> float | None:
        """Return the score from which on `label` is told; None if it never is."""
        deciding = _deciding(self.manifest)
        if label in deciding.silent_labels:
            return None
        return deciding.thresholds.get(label, deciding.threshold)


def load_clip(path: Path, channel: int | None = None) -> Samples:
    """Return a recording, ``[n] float32`` at 16 kHz, the mean of all channels or one of them.

    Raises
    ------
    InputError
        It cannot be read, holds no audio, or is longer than ten minutes.
    UsageError
        There is no such channel.
    """
    source = FileSource(path, channel=channel)
    blocks: list[Samples] = []
    room = round(LONGEST_S * SAMPLE_RATE_HZ)
    try:
        while (waiting := source.wait(_BLOCK_SAMPLES, timeout_s=1.0)) and room >= 0:
            block = source.ring.peek(waiting)
            if block is None:
                break
            blocks.append(block.copy())
            source.ring.advance(waiting)
            room -= waiting
    finally:
        source.stop()
    if room < 0:
        raise InputError(f"{path} is longer than {LONGEST_S:.0f} s", hint="Cut out the part to be explained.")
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def hear(
    samples: Samples, bundle: Bundle, *, backend: Runtime | None = None, profile: Profile | None = None
) -> tuple[Heard, StreamingGraph]:
    """Let a model hear a whole recording; return what it made of it, and its graph for further questions.

    Raises
    ------
    ModelError
        The model gives no scores to labels.
    InputError
        The recording is shorter than one frame.
    BackendError
        The runtime is not installed.
    """
    manifest = bundle.manifest
    check_explainable(manifest)
    real = Frontend(manifest.frontend).process(np.ascontiguousarray(samples)).copy()
    if not len(real):
        spec = manifest.frontend
        raise InputError(
            f"the recording has {len(samples)} samples, and the model hears {spec.window_samples} at a time",
            hint="Give a longer one.",
        )
    graph = open_graph(bundle, backend, profile)
    stepper = Stepper(graph, manifest)
    afterwards_s = _AFTERWARDS_S + _deciding(manifest).smoothing_ms / 1000
    steps = [
        (heard.copy(), stepper.posteriors.copy())
        for heard in chain(stepper.steps(real), stepper.play_on(afterwards_s))
    ]
    frames, posteriors = (np.concatenate(parts) for parts in zip(*steps, strict=True))
    heard = Heard(
        manifest=manifest,
        samples=samples,
        frames=frames,
        n_real=len(real),
        posteriors=posteriors,
        smoothed=smooth(posteriors, _smoothing_frames(manifest)),
        told=tuple(_told(manifest, graph, real)),
        runtime=graph.runtime,
    )
    return heard, graph


def check_explainable(manifest: ModelManifest) -> None:
    """Refuse a model that gives no scores to labels.

    Raises
    ------
    ModelError
        It makes captions or tells voices apart.
    """
    _deciding(manifest)


def _deciding(manifest: ModelManifest) -> Decision | Activity:
    deciding = manifest.decision or manifest.activity
    if deciding is None:
        does = {"captions": "makes captions", "speaker": "tells voices apart"}[manifest.kind]
        raise ModelError(
            f"model '{manifest.name}' {does}; only models that give each label a score can be explained",
            hint="Give one that spots words or tells sounds apart; list models with: edgeaudio models list",
        )
    return deciding


def _frame_ms(manifest: ModelManifest) -> float:
    return 1000 * manifest.frontend.hop_samples / manifest.frontend.sample_rate_hz * manifest.stride


def _smoothing_frames(manifest: ModelManifest) -> int:
    return max(1, round(_deciding(manifest).smoothing_ms / _frame_ms(manifest)))


def _known_s(manifest: ModelManifest, frame: int) -> float:
    spec = manifest.frontend
    last = (frame + 1) * manifest.stride - 1
    return (last * spec.hop_samples + spec.window_samples) / spec.sample_rate_hz


def _told(manifest: ModelManifest, graph: StreamingGraph, frames: Frames) -> list[Told]:
    """Return what the task tells that runs live."""
    task: Task
    if manifest.decision is not None:
        task = Spotter(graph, manifest)
    elif manifest.kind == "vad":
        task = Vad(graph, manifest)
    else:
        task = Classifier(graph, manifest)
    told = []
    for event in (*task.process(frames), *task.flush()):
        if isinstance(event, (Detection, SoundEvent, SpeechEnd)):
            # A word is known at one moment, as its beginning is a guess.
            start = event.end_sample if isinstance(event, Detection) else event.start_sample
            name = manifest.spotted[0] if isinstance(event, SpeechEnd) else event.name
            told.append(Told(name, event.score, start / SAMPLE_RATE_HZ, event.end_sample / SAMPLE_RATE_HZ))
    return told

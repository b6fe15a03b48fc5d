"""What a tuning tries: ways to compute the models, and rhythms in which audio comes to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from edgeaudio.backends import installed_runtimes
from edgeaudio.engine import Engine
from edgeaudio.events import Caption, Detection, SoundEvent, SpeechEnd
from edgeaudio.models.bundle import load_bundle
from edgeaudio.models.catalogue import find_model
from edgeaudio.profiles import Precision, Profile, Provider, Runtime
from edgeaudio.profiles.hardware import usable_cores
from edgeaudio.sources import ArraySource
from edgeaudio.types import Samples

if TYPE_CHECKING:
    from edgeaudio.profiling.wanted import Wanted
    from edgeaudio.tasks.base import Task

__all__ = ["Candidate", "Compute", "Decisions", "ModelFacts", "computes", "rhythms"]

_Spotted = Detection | SoundEvent | SpeechEnd
_THREADS = (1, 2, 4)
_HOPS_MS = (40, 80, 160)
_BLOCKS_MS = (10, 20, 40, 80)


class Compute(NamedTuple):
    """A way to compute a model."""

    runtime: Runtime
    providers: tuple[Provider, ...]
    precision: Precision
    threads: int

    @classmethod
    def of(cls, task: Task, profile: Profile) -> Compute:
        """Return the way in which a task that was loaded with a profile is computed."""
        graph = getattr(task, "graph", None)
        runtime: Runtime = getattr(graph, "runtime", profile.runtime[0])
        providers = profile.providers if runtime == "onnx" else ("cpu",)
        return cls(runtime, providers, profile.precision, profile.threads)

    def __str__(self) -> str:
        provider = "" if self.providers == ("cpu",) else f" {'+'.join(self.providers)}"
        return f"{self.runtime}{provider} {self.precision}, {self.threads} thread{'s' * (self.threads > 1)}"


class Candidate(NamedTuple):
    """A way to compute, and a rhythm."""

    compute: Compute
    hop_ms: int
    block_ms: int

    def __str__(self) -> str:
        return f"{self.compute}, hop {self.hop_ms} ms, block {self.block_ms} ms"

    def applied(self, profile: Profile) -> Profile:
        """Return the profile with these settings."""
        others = tuple(runtime for runtime in profile.runtime if runtime != self.compute.runtime)
        plain = self.compute.providers == ("cpu",) and self.compute.precision == "int8"
        return msgspec.structs.replace(
            profile,
            # What runs otherwise on onnx alone must not be tried on another runtime.
            runtime=(self.compute.runtime, *others) if plain else ("onnx",),
            providers=self.compute.providers,
            precision=self.compute.precision,
            threads=self.compute.threads,
            hop_ms=self.hop_ms,
            block_ms=self.block_ms,
        )


class ModelFacts(NamedTuple):
    """What is known of a model before it runs."""

    wanted: Wanted
    name: str
    step_frames: int
    step_ms: float
    tolerance: float
    """How much of a difference in logits its maker explains by rounding; scores differ by less."""

    @classmethod
    def read(cls, wanted: Wanted) -> ModelFacts:
        """Read a model's manifest and golden input."""
        bundle = load_bundle(find_model(wanted.model))
        manifest = bundle.manifest
        step_ms = manifest.step_frames * manifest.frontend.hop_ms
        return cls(wanted, manifest.name, manifest.step_frames, step_ms, bundle.golden().tolerance)


@dataclass(frozen=True)
class Decisions:
    """What models decided about a recording."""

    detections: tuple[_Spotted, ...]
    """Words, sounds and stretches of speech."""
    captions: tuple[tuple[str, str], ...]
    """Model and text of each final caption."""

    @classmethod
    def of(cls, tasks: Sequence[Task], samples: Samples, profile: Profile) -> Decisions:
        """Replay a recording. The tasks are reset first."""
        for task in tasks:
            task.reset()
        events = Engine(ArraySource(samples), *tasks, profile=profile).run_until_finished()
        return cls(
            tuple(event for event in events if isinstance(event, _Spotted)),
            tuple(
                (event.model, event.text) for event in events if isinstance(event, Caption) and event.final
            ),
        )

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.detections) + len(self.captions)

    def difference(self, other: Decisions, models: Sequence[ModelFacts]) -> str | None:
        """Say in what these decisions differ from others; None if they are equal.

        Detections are equal if word and model are, the scores to the model's tolerance and the ends to
        one step of it; captions if every letter is.
        """
        if [*map(_named, self.detections)] != [*map(_named, other.detections)]:
            return f"{len(self.detections)} detections instead of {len(other.detections)}, or other ones"
        facts = {model.name: model for model in models}
        for mine, theirs in zip(self.detections, other.detections, strict=True):
            model = facts[mine.model]
            shift_ms = 1000 * abs(mine.end_sample - theirs.end_sample) / mine.sample_rate_hz
            if not abs(mine.score - theirs.score) <= model.tolerance:
                return f"'{_named(mine)[1]}' scores {mine.score:.3f} instead of {theirs.score:.3f}"
            if shift_ms > model.step_ms:
                return f"'{_named(mine)[1]}' ends {shift_ms:.0f} ms elsewhere"
        if len(self.captions) != len(other.captions):
            return f"{len(self.captions)} captions instead of {len(other.captions)}"
        for (_, text), (_, other_text) in zip(self.captions, other.captions, strict=True):
            if text != other_text:
                return f"a caption reads {text!r} instead of {other_text!r}"
        return None


def _named(event: _Spotted) -> tuple[str, str]:
    """Return who heard what."""
    return event.model, "speech" if isinstance(event, SpeechEnd) else event.name


def computes(profile: Profile, runtimes: Sequence[Runtime]) -> list[Compute]:
    """Return the ways to compute that this machine may have, on these of the installed runtimes."""
    cores = len(profile.affinity or usable_cores())
    threads = [n for n in _THREADS if n <= cores]
    found: list[Compute] = []
    for runtime in installed_runtimes():
        if runtime not in runtimes:
            continue
        found += [Compute(runtime, ("cpu",), "int8", n) for n in threads]
        if runtime == "onnx":
            found += [Compute(runtime, ("cpu",), "float32", n) for n in threads]
            found += [Compute(runtime, (gpu, "cpu"), "float32", 1) for gpu in _gpus()]
    return found


def rhythms(profile: Profile, models: Sequence[ModelFacts]) -> list[tuple[int, int]]:
    """Return hops and blocks, in ms, with which answers may come no later than with the profile's.

    With a hop of several steps of a model, the first ones wait for the last: that is known without
    trying. So is that audio in longer blocks comes later.
    """
    steps_ms = [model.step_ms for model in models]

    def wait_ms(hop_ms: int) -> float:
        return max(max(0.0, hop_ms - step_ms) for step_ms in steps_ms)

    hops = {hop for hop in _HOPS_MS if wait_ms(hop) <= wait_ms(profile.hop_ms)} | {profile.hop_ms}
    blocks = {block for block in _BLOCKS_MS if block < profile.block_ms} | {profile.block_ms}
    return [(hop, block) for hop in sorted(hops) for block in sorted(blocks)]


def _gpus() -> list[Provider]:
    """Return what onnxruntime says it can compute with besides the CPU."""
    import onnxruntime as ort

    from edgeaudio.backends.providers import ORT_NAMES

    there = ort.get_available_providers()
    known: list[Provider] = ["cuda", "tensorrt"]
    return [name for name in known if ORT_NAMES[name] in there]

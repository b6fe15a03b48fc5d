"""What runs inside the emulated device; on this machine, too, so that answers can be compared.

python -m tools.emulated.guest answers RECORDINGS.npz ANSWERS.npz
python -m tools.emulated.guest count RECORDINGS.npz
python -m tools.emulated.guest versions
"""

from __future__ import annotations

import gc
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeaudio.backends import RUNTIMES, open_graph, stream
from edgeaudio.backends.base import Runtime
from edgeaudio.engine import Engine
from edgeaudio.frontend import Frontend, FrontendSpec
from edgeaudio.models.bundle import Bundle, load_bundle
from edgeaudio.models.catalogue import list_models, search_path
from edgeaudio.sources import ArraySource
from edgeaudio.tasks.base import Task
from edgeaudio.tasks.classifier import Classifier
from edgeaudio.tasks.loading import load_acoustic
from edgeaudio.tasks.recognizer import Recognizer
from edgeaudio.tasks.spotter import Spotter
from edgeaudio.tasks.vad import Vad
from edgeaudio.types import Frames, Samples
from tools.emulated.counting import LONG_S, MARK, SHORT_S

_TASKS: dict[str, type[Spotter | Recognizer | Classifier | Vad]] = {
    "captions": Recognizer,
    "commands": Spotter,
    "sounds": Classifier,
    "vad": Vad,
    "wake": Spotter,
}
"""What runs a model of each kind."""

RATE_HZ = 16_000
FRAMES_PER_S = 100
BLOCK_MS = 80
"""The hop of the profile generic."""
SPOTTERS = ("wake-computer", "commands-12")
CAPTIONS = "captions-en-small"
PACKAGES = ("numpy", "numba", "llvmlite", "onnxruntime", "ai-edge-litert", "msgspec")


class Recordings(NamedTuple):
    """The bundled recordings, ``[n] float32`` at 16 kHz."""

    words: Samples
    sentences: Samples

    @classmethod
    def load(cls, path: Path) -> Recordings:
        """Read what this machine decoded: the device needs no decoder."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(arrays["words"], arrays["sentences"])


class Workload(NamedTuple):
    """Something whose instructions are counted: ``work`` hears the first so many seconds of a recording."""

    name: str
    work: Callable[[int], None]


class _Streaming(Protocol):
    def process(self, x: NDArray[np.float32], /) -> object: ...
    def reset(self) -> None: ...


# --- answers: what the frontend, the networks and the tasks make of fixed inputs ---------------


def answers(recordings: Recordings, *, search: bool) -> dict[str, NDArray[Any]]:
    """Return everything that must be the same on every device, by name."""
    found: dict[str, NDArray[Any]] = {}
    bundles = _bundles()
    for spec in _specs(bundles):
        name = f"frames {spec.features} {spec.n_bands} {spec.fingerprint[:12]}"
        found[name] = Frontend(spec).process(recordings.words).copy()
    for bundle in bundles:
        golden = bundle.golden()
        found[f"tolerance {bundle.name}"] = np.array(golden.tolerance)
        for runtime in _runtimes(bundle):
            found[f"logits {bundle.name} {runtime}"] = stream(open_graph(bundle, runtime), golden.frames)
    for bundle in bundles:
        kind = _TASKS.get(bundle.manifest.kind)
        if kind is None or (kind is Recognizer and not search):
            continue
        task = kind.load(bundle.path)
        heard = recordings.sentences if kind is Recognizer else recordings.words
        events = Engine(ArraySource(heard), task).run_until_finished()
        found[f"events {bundle.name}"] = np.array(
            json.dumps([msgspec.to_builtins(event) for event in events])
        )
    return found


def _bundles() -> list[Bundle]:
    """Return the shipped models: none that the user added."""
    shipped = search_path()[0]
    found = [load_bundle(entry.path) for entry in list_models() if entry.path.is_relative_to(shipped)]
    # What takes longest comes last: a run that is broken off has not compiled the rest in vain.
    return sorted(found, key=lambda bundle: bundle.manifest.kind == "captions")


def _specs(bundles: list[Bundle]) -> list[FrontendSpec]:
    """Return the frontends of the shipped models, and one of each further kind of features."""
    others = [FrontendSpec(features="mfcc"), FrontendSpec(features="pcen")]
    return list(dict.fromkeys([bundle.manifest.frontend for bundle in bundles] + others))


def _runtimes(bundle: Bundle) -> Iterator[Runtime]:
    return (runtime for runtime in RUNTIMES if bundle.has_graph(runtime))


# --- counts: instructions, read off by the plugin --------------------------------------------


def count(recordings: Recordings, *, search: bool) -> None:
    """Let the plugin read its counter before and after a short and a long stretch of each workload."""
    for name, work in workloads(recordings, search=search):
        work(SHORT_S)  # whatever is done once is done now
        print(name, flush=True)
        for seconds in (SHORT_S, LONG_S):
            # A collection of the whole heap comes seldom: it would fall into one stretch and not the other.
            gc.collect()
            gc.freeze()
            mark()
            work(seconds)
            mark()


def workloads(recordings: Recordings, *, search: bool) -> Iterator[Workload]:
    """Yield what is counted, one after the other: each is made when its turn comes."""
    bundles = {bundle.name: bundle for bundle in _bundles()}
    for name in (SPOTTERS[0], CAPTIONS):
        spec = bundles[name].manifest.frontend
        yield Workload(
            f"frontend, {spec.n_bands} bands", _by_blocks(Frontend(spec), recordings.sentences, RATE_HZ)
        )
    for name in SPOTTERS:
        frames = _frames(bundles[name], recordings.words)
        for runtime in _runtimes(bundles[name]):
            spotter = Spotter.load(name, backend=runtime)
            yield Workload(f"{name}, {runtime}", _by_blocks(spotter, frames, FRAMES_PER_S))
    frames = _frames(bundles[CAPTIONS], recordings.sentences)
    for runtime in _runtimes(bundles[CAPTIONS]):
        acoustic, _, _ = load_acoustic(CAPTIONS, language=None, backend=runtime)
        yield Workload(f"{CAPTIONS}, acoustic model, {runtime}", _by_blocks(acoustic, frames, FRAMES_PER_S))
    yield Workload("whole engine, wake word", _by_engine(lambda: Spotter.load(SPOTTERS[0]), recordings.words))
    if search:
        recognizer = Recognizer.load(CAPTIONS, backend="litert")
        yield Workload(f"{CAPTIONS}, litert", _by_blocks(recognizer, frames, FRAMES_PER_S))
        yield Workload("whole engine, captions", _by_engine(Recognizer.load, recordings.sentences))


def _frames(bundle: Bundle, heard: Samples) -> Frames:
    frames: Frames = Frontend(bundle.manifest.frontend).process(heard).copy()
    return frames


def _by_blocks(listener: _Streaming, heard: NDArray[np.float32], rate: int) -> Callable[[int], None]:
    """Hear ``heard`` in the engine's blocks; it has ``rate`` samples or frames a second."""
    block = rate * BLOCK_MS // 1000

    def work(seconds: int) -> None:
        listener.reset()
        for start in range(0, rate * seconds, block):
            listener.process(heard[start : start + block])

    return work


def _by_engine(load: Callable[[], Task], heard: Samples) -> Callable[[int], None]:
    """Hear ``heard`` with an engine, from its making to its end."""

    def work(seconds: int) -> None:
        Engine(ArraySource(heard[: RATE_HZ * seconds]), load()).run_until_finished()

    return work


def mark() -> None:
    """Have the counter read: a system call that fails, and that nothing else makes; see count.c."""
    try:
        os.getpriority(os.PRIO_USER, MARK)
    except OSError:
        return
    raise RuntimeError(f"there is a user number {MARK}")


def versions() -> dict[str, str]:
    """Return the versions of what runs here."""
    system = {
        "machine": platform.machine(),
        "Python": platform.python_version(),
        "libc": " ".join(platform.libc_ver()),
    }
    return system | {name: metadata.version(name) for name in PACKAGES}


def main() -> None:
    """Do what the command line says."""
    command, *paths = (argument for argument in sys.argv[1:] if argument != "--search")
    search = "--search" in sys.argv
    if command == "versions":
        print(json.dumps(versions()))
        return
    recordings = Recordings.load(Path(paths[0]))
    if command == "count":
        count(recordings, search=search)
    else:
        found: dict[str, Any] = answers(recordings, search=search)
        np.savez(paths[1], **found)


if __name__ == "__main__":
    main()

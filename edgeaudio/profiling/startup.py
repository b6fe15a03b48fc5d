"""How long a start takes, from a new process to its first frame: measured in such a process."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgeaudio.profiling.measurement import StartUp

if TYPE_CHECKING:
    from edgeaudio.backends.base import Runtime
    from edgeaudio.events import Event
    from edgeaudio.frontend import FrontendSpec
    from edgeaudio.profiles import Profile
    from edgeaudio.profiling.wanted import Wanted
    from edgeaudio.types import Frames

__all__ = ["measure_start_up"]

_LOG = logging.getLogger(__name__)
_PATIENCE_S = 180.0
"""A Raspberry Pi Zero that has never compiled the kernels takes more than a minute."""
_FIRST_FRAME_S = 30.0


def measure_start_up(
    wanted: Sequence[Wanted], profile: Profile, backend: Runtime | None = None
) -> StartUp | None:
    """Start a process that loads the same models and hears until the first frames are done.

    The process does what ``edgeaudio wake`` and ``edgeaudio caption`` do, in their order, on recorded sound
    that comes by the clock. The import counts from the start of the interpreter, the first frame from the
    start of the source, so that it contains the time in which the first block is spoken. Files are as
    the system's cache has them.

    Returns
    -------
    StartUp or None
        None if the process failed. Whoever loads the models next is told why.
    """
    request = {
        "wanted": [list(one) for one in wanted],
        "profile": msgspec.to_builtins(profile),
        "backend": backend,
        "started_ns": 0,
    }
    package = Path(__file__).resolve().parents[2]
    path = os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH"))))
    request["started_ns"] = time.monotonic_ns()
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__, json.dumps(request)],
            env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE_S,
            check=True,
        )
        return msgspec.json.decode(done.stdout, type=StartUp)
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError) as error:
        said = getattr(error, "stderr", None) or b""
        _LOG.debug("start-up: %s: %s", error, said.decode("utf-8", "replace"))
        _LOG.warning("the start-up could not be measured")
        return None


def _start(request: dict[str, Any]) -> StartUp:
    """Be the new process."""
    # As the commands do, in a process that they would have started.
    import_module("edgeaudio.cli.startup").load_numba()
    from edgeaudio.engine import Engine
    from edgeaudio.profiles import Profile
    from edgeaudio.profiling.audio import recordings
    from edgeaudio.profiling.wanted import Wanted

    profile = msgspec.convert(request["profile"], Profile)
    wanted = [Wanted(*one) for one in request["wanted"]]
    for one in wanted:
        one.bring_in()
    imported_ns = time.monotonic_ns()
    compiling = _watch_compiling()
    tasks = [one.load(profile, request["backend"]) for one in wanted]
    loaded_ns = time.monotonic_ns()
    compiled_while_loading_ns = compiling.total_ns
    first = _FirstFrame(tasks[0].spec)
    source = recordings()
    engine = Engine(source, *tasks, first, profile=profile)
    begun_ns = time.monotonic_ns()
    with engine:
        ready_ns = time.monotonic_ns()
        if not first.heard.wait(_FIRST_FRAME_S):
            raise TimeoutError("no frame came")
    return StartUp(
        import_ms=(imported_ns - request["started_ns"]) / 1e6,
        compile_ms=(ready_ns - begun_ns + compiled_while_loading_ns) / 1e6,
        model_load_ms=(loaded_ns - imported_ns - compiled_while_loading_ns) / 1e6,
        first_frame_ms=(first.at_ns - ready_ns) / 1e6,
        # Without the reading of the recordings, for which a microphone has no need.
        total_ms=(first.at_ns - request["started_ns"] - (begun_ns - loaded_ns)) / 1e6,
    )


class _FirstFrame:
    """A task that notes when the first frame after the warm-up came; it hears after all wake words."""

    name = "first frame"

    def __init__(self, spec: FrontendSpec) -> None:
        self.spec = spec
        self.heard = threading.Event()
        self.at_ns = 0

    def process(self, frames: Frames) -> list[Event]:
        if len(frames) and not self.heard.is_set():
            self.at_ns = time.monotonic_ns()
            self.heard.set()
        return []

    def flush(self) -> list[Event]:
        return []

    def reset(self, at_sample: int = 0) -> None:
        self.heard.clear()


class _Stopwatch:
    """Adds up the time that Numba takes to compile what its cache does not have."""

    def __init__(self) -> None:
        self.total_ns = 0
        self._depth = 0
        self._begun_ns = 0

    def begin(self) -> None:
        """Note that something is being compiled, perhaps for something else that is."""
        if not self._depth:
            self._begun_ns = time.monotonic_ns()
        self._depth += 1

    def end(self) -> None:
        self._depth -= 1
        if not self._depth:
            self.total_ns += time.monotonic_ns() - self._begun_ns


def _watch_compiling() -> _Stopwatch:
    event: Any = import_module("numba.core.event")
    watch = _Stopwatch()

    class Listener(event.Listener):
        def on_start(self, _event: Any) -> None:
            watch.begin()

        def on_end(self, _event: Any) -> None:
            watch.end()

    event.register("numba:compile", Listener())
    return watch


if __name__ == "__main__":
    print(msgspec.json.encode(_start(json.loads(sys.argv[1]))).decode())  # noqa: T201 - for who started it

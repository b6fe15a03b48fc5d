"""``python -m tests.cli.scripted wake …``: the real command, with a model that follows a script.

`wake` hears "computer" at 0.5 s, and every second from there on; `caption` hears "one two three" from
0.4 s on, and again every three seconds; `vad` hears speech in the second half of each second.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgeaudio.cli import caption, listen_tasks, vad, wake
from edgeaudio.cli.main import main

if TYPE_CHECKING:
    from edgeaudio.tasks.endpoint import Endpoint
    from edgeaudio.tasks.recognizer import Recognizer
    from edgeaudio.tasks.spotter import Spotter
    from edgeaudio.tasks.vad import Vad

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "tests.cli.scripted"]


def load(_name: str, _options: object, _profile: object) -> Spotter:
    """Stand in for the loading of a model."""
    from edgeaudio.testing import scripted_spotter

    return scripted_spotter([(0.5 + second, "computer") for second in range(100)])


def load_recognizer(options: caption._Options, _profile: object) -> Recognizer:
    """Stand in for the loading of a recogniser."""
    return scripted_captions(caption._endpoint(options))


def scripted_captions(endpoint: Endpoint | None = None) -> Recognizer:
    """Return a recogniser that follows the script."""
    from edgeaudio.testing import scripted_recognizer

    words = [
        (second + start, second + start + 0.4, text)
        for second in range(0, 3600, 3)
        for start, text in ((0.4, "one"), (0.8, "two"), (1.2, "three"))
    ]
    return scripted_recognizer(words, endpoint=endpoint)


def load_vad(_options: object, _profile: object) -> Vad:
    """Stand in for the loading of a detector of speech."""
    from edgeaudio.models.manifest import Activity
    from edgeaudio.testing import scripted_vad

    activity = Activity(threshold=0.6, pre_roll_ms=100.0, least_off_ms=80.0)
    return scripted_vad([(second + 0.52, second + 1.0) for second in range(100)], activity)


def load_listed(section: Any, _place: object) -> listen_tasks.Made:
    """Stand in for the loading of a model in `listen`."""
    task: Any = {
        "WakeTask": lambda: load("", None, None),
        "CaptionTask": scripted_captions,
        "VadTask": lambda: load_vad(None, None),
    }[type(section).__name__]()
    # Those of one name are refused.
    task._manifest = msgspec.structs.replace(task._manifest, name=section.model)
    return listen_tasks.Made(task)


LISTED = dict.fromkeys(("wake", "caption", "vad"), load_listed)


@contextmanager
def running(
    *args: str | Path, real: bool = False, search: Path | str = ROOT, **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command beside the test, with the script or a real model; it never outlives the test.

    `search` is where Python looks for modules first.
    """
    command = [sys.executable, "-m", "edgeaudio"] if real else COMMAND
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    environment = {**os.environ, "PYTHONPATH": str(search), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([*command, *map(str, args)], cwd=ROOT, env=environment, **options) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)


def on_a_terminal(*args: str | Path, until: bytes, columns: int = 80) -> tuple[str, int]:
    """Run on a terminal and press Ctrl-C when it drew the pattern `until`; return all of it, and the code."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "LINES"}}
    environment |= {"LANG": "C.UTF-8", "PYTHONIOENCODING": "utf-8", "TERM": "xterm"}
    process = subprocess.Popen(
        [*COMMAND, *map(str, args)],
        cwd=ROOT,
        env=environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    screen = b""
    watchdog = threading.Timer(60.0, process.kill)
    watchdog.start()
    interrupted = False
    try:
        while True:
            select.select([master], [], [])
            try:
                screen += os.read(master, 65536)
            except OSError:  # how Linux says that the other side is closed
                break
            if not interrupted and re.search(until, screen, re.DOTALL):
                process.send_signal(signal.SIGINT)
                interrupted = True
        return screen.decode(), process.wait(60.0)
    finally:
        watchdog.cancel()
        os.close(master)
        process.kill()
        process.wait()


def read_until(process: subprocess.Popen[bytes], text: bytes) -> None:
    """Read standard error until a line holds `text`."""
    for line in process.stderr or ():
        if text in line:
            return
    raise AssertionError(f"it ended without {text!r}")


if __name__ == "__main__":
    wake._load = load
    caption._load = load_recognizer
    listen_tasks.LOADERS.update(LISTED)
    vad._load = load_vad
    sys.exit(main())

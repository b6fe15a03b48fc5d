"""A private PulseAudio server with a virtual microphone: real parts that tests can break.

Whatever is played into the null sink ``vmic`` is heard, bit for bit, by whoever records from its
monitor; the server is the test's own, lives in a temporary folder and is ended by its process id.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

_PROGRAMS = ("pulseaudio", "pactl", "pacat")
_SLOWER = 6.0
"""How much slower than the one on which limits were chosen a busy machine may be."""


def until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Wait for a condition, or fail the test saying what did not happen."""
    deadline = time.monotonic() + _SLOWER * timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {_SLOWER * timeout_s} s"
        time.sleep(0.005)


class PulseServer:
    """The server; `environment` is what a client needs to reach it and nothing else."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o700)
        self.folder = folder
        self.environment = {
            "XDG_RUNTIME_DIR": str(folder),
            "XDG_CONFIG_HOME": str(folder),
            "PULSE_COOKIE": str(folder / "cookie"),
            "PULSE_SERVER": f"unix:{folder}/native",
            "PULSE_SOURCE": "vmic.monitor",
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._sink = ""

    def start(self) -> None:
        """Start the server and plug the microphone in."""
        socket = self.folder / "native"
        with (self.folder / "log").open("ab") as log:
            command = "pulseaudio -n --daemonize=no --exit-idle-time=-1 --use-pid-file=no"
            command += " --disable-shm --realtime=no --high-priority=no"
            self._process = subprocess.Popen(
                [*command.split(), "-L", f"module-native-protocol-unix socket={socket} auth-anonymous=1"],
                env={**os.environ, **self.environment},
                stderr=log,
            )
        until(self._answers, 10, "the PulseAudio server answers")
        self.plug()

    def _answers(self) -> bool:
        return (self.folder / "native").exists() and self._pactl("info").returncode == 0

    def _pactl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **self.environment}
        return subprocess.run(
            ["pactl", *arguments], env=environment, capture_output=True, text=True, check=False, timeout=20
        )

    def plug(self) -> None:
        """Plug the microphone in. Without ``norewinds`` it would not be bit-exact."""
        sink = "module-null-sink sink_name=vmic rate=16000 channels=1 format=s16le norewinds=1"
        done = self._pactl("load-module", *sink.split())
        assert done.returncode == 0, done.stderr
        self._sink = done.stdout.strip()

    def plug_another(self, name: str, delay_ms: int | None = None) -> None:
        """Plug in another sink; with a delay, the microphone hears what is played there so much later."""
        modules = [f"module-null-sink sink_name={name} rate=16000 channels=1 format=s16le norewinds=1"]
        if delay_ms is not None:
            modules.append(f"module-loopback source={name}.monitor sink=vmic latency_msec={delay_ms}")
        for module in modules:
            done = self._pactl("load-module", *module.split())
            assert done.returncode == 0, done.stderr

    def recorders(self) -> str:
        """List who is recording."""
        return self._pactl("list", "short", "source-outputs").stdout

    def unplug(self) -> None:
        """Pull the microphone out."""
        assert self._pactl("unload-module", self._sink).returncode == 0

    def kill(self) -> None:
        """End the server as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)
        (self.folder / "native").unlink(missing_ok=True)

    def pause(self) -> None:
        """Freeze the server."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen server go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def play(self, samples: NDArray[np.int16]) -> subprocess.Popen[bytes]:
        """Say something into the microphone, at its own pace; the caller ends the player."""
        path = self.folder / "speech.raw"
        path.write_bytes(samples.astype("<i2").tobytes())
        command = "pacat --playback --device=vmic --raw --rate=16000 --channels=1 --format=s16le"
        return subprocess.Popen([*command.split(), str(path)], env={**os.environ, **self.environment})

    @contextmanager
    def playing(self, samples: NDArray[np.int16]) -> Iterator[None]:
        """Say something for as long as the block lasts."""
        player = self.play(samples)
        try:
            yield
        finally:
            player.kill()
            player.wait()

    def close(self) -> None:
        """End everything."""
        if self._process is not None and self._process.poll() is None:
            self.resume()
            self.kill()


def _cannot_run(reason: str) -> None:
    """Skip, or fail where everything has to be there."""
    packages = "pulseaudio pulseaudio-utils libasound2-plugins libportaudio2"
    message = f"no virtual microphone: {reason}; apt-get install {packages}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture
def pulse(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[PulseServer]:
    """A running server that this process's PortAudio is connected to."""
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if missing:
        _cannot_run(f"{', '.join(missing)} not installed")
    from edgeaudio.errors import MissingDependencyError
    from edgeaudio.sources.devices import list_devices
    from edgeaudio.sources.portaudio import refresh_devices

    server = PulseServer(tmp_path_factory.mktemp("pulse"))
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    try:
        server.start()
        try:
            refresh_devices()
        except MissingDependencyError as error:
            _cannot_run(error.message)
        if "pulse" not in [device.name for device in list_devices()]:
            _cannot_run("ALSA knows no device 'pulse'")
        yield server
    finally:
        server.close()

"""The file of `edgeaudio listen`, read again while it listens: what has changed is changed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from edgeaudio.cli.listen_config import Config, load_config
from edgeaudio.cli.listen_outputs import LONGEST_SOUND_S, Lines, OutputSet, clip_seconds, stdout_form
from edgeaudio.cli.listen_tasks import Place, TaskSet
from edgeaudio.errors import ConfigError, EdgeAudioError

if TYPE_CHECKING:
    from edgeaudio.cli.session import Session
    from edgeaudio.engine import Engine
    from edgeaudio.profiles import Profile
    from edgeaudio.sinks.cutter import Tape

__all__ = ["Reloader", "Running"]

_LOG = logging.getLogger(__name__)
_FIXED = ("source", "profile", "denoise")
"""What only a new start can change."""


class Running(NamedTuple):
    """What was made of a file."""

    config: Config
    tasks: TaskSet
    outputs: OutputSet


class Reloader:
    """Holds what runs, and replaces it as the file says.

    Parameters
    ----------
    path : Path
        The file.
    running : Running
    profile : Profile
    tape : Tape
        What clips are cut from.
    clip_s : float
        How long a clip may be that is cut from it.
    wait : bool
        As for `OutputSet`.
    """

    def __init__(
        self, path: Path, running: Running, profile: Profile, tape: Tape, *, clip_s: float, wait: bool
    ) -> None:
        self.running = running
        self._path = path
        self._profile = profile
        self._tape = tape
        self._clip_s = clip_s
        self._wait = wait

    def reload(self, engine: Engine, session: Session, lines: Lines) -> None:
        """Read the file again and change what has changed; say what, or what is wrong with it.

        Whatever is wrong, all goes on as before.
        """
        before, after = self.running, None
        try:
            after = self._make(load_config(self._path))
            engine.replace_tasks(*after.tasks.tasks)
        except Exception as error:  # whatever it is, what listens goes on
            if after is not None:
                after.outputs.close_all_but(before.outputs)
            _refuse(error)
            return
        self.running = after
        lines.form = stdout_form(after.config)
        session.exchange(after.outputs.sinks)
        before.outputs.close_all_but(after.outputs)
        session.say(f"{'reloaded':<10}{after.tasks.difference(before.tasks)}")

    def kill(self) -> None:
        """Kill the programs that run; for a signal handler."""
        self.running.outputs.kill()

    def close(self) -> None:
        """Close all outputs, whatever still waits for them; idempotent."""
        self.running.outputs.close_all_but(None, discard=True)

    def _make(self, config: Config) -> Running:
        for key in _FIXED:
            if getattr(config, key) != getattr(self.running.config, key):
                _LOG.warning("%s: %s has changed: that takes effect at the next start", self._path, key)
        fixed = {key: getattr(self.running.config, key) for key in _FIXED}
        config = msgspec.structs.replace(config, **fixed)
        if clip_seconds(config) > self._clip_s:
            edges_s = self._clip_s - LONGEST_SOUND_S
            raise ConfigError(
                f"{self._path}: clips may become longer at the next start only",
                hint=f"Until then, pre_roll_s and post_roll_s together are at most {edges_s:g}.",
            )
        place = Place(self._path.parent, self._profile, config.backend)
        tasks = TaskSet(config, place, self.running.tasks)
        outputs = OutputSet(config, place, self._tape, wait=self._wait, before=self.running.outputs)
        outputs.know(tasks.spotters)
        return Running(config, tasks, outputs)


def _refuse(error: Exception) -> None:
    if isinstance(error, EdgeAudioError):
        _LOG.error("%s; nothing was changed", " ".join(map(str.strip, str(error).splitlines())))
    else:
        _LOG.exception("this is a bug: %s: %s; nothing was changed", type(error).__name__, error)

"""The tasks that a file for `edgeaudio listen` asks for: loaded, and loaded anew only where need be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeaudio.cli.listen_config import CaptionTask, Config, TaskEntry, WakeTask

if TYPE_CHECKING:
    from edgeaudio.profiles import Profile, Runtime
    from edgeaudio.tasks.base import Task

__all__ = ["Place", "TaskSet"]


@dataclass(frozen=True)
class Place:
    """Where the file lies, and what all of its tasks run with."""

    folder: Path
    profile: Profile
    backend: Runtime | None = None

    def path(self, text: str) -> Path:
        """Return a path that the file names."""
        return self.folder / Path(text).expanduser()

    def name(self, text: str) -> str:
        """Return the name of a thing, or its path: what has a slash is one."""
        return str(self.path(text)) if "/" in text else text


@dataclass(frozen=True)
class _Loaded:
    entry: TaskEntry
    backend: Runtime | None
    stamps: tuple[object, ...]
    task: Task


class TaskSet:
    """Tasks, and what each was made from.

    Parameters
    ----------
    config : Config
    place : Place
    before : TaskSet, optional
        Its tasks are kept where the file says of them what it said, and neither their models nor the other
        files that they were made from have changed since.

    Raises
    ------
    EdgeAudioError
        A model is missing or wrong, or contradicts what the file says of it.
    """

    def __init__(self, config: Config, place: Place, before: TaskSet | None = None) -> None:
        from edgeaudio.cli.several import check_names

        at_hand = list(before._loaded) if before is not None else []
        self._loaded: list[_Loaded] = []
        for entry in config.tasks:
            stamps = tuple(_stamp(path) for path in _files(entry, place))
            kept = next(
                (
                    one
                    for one in at_hand
                    if (one.entry, one.backend, one.stamps) == (entry, place.backend, stamps)
                ),
                None,
            )
            if kept is not None:
                at_hand.remove(kept)
            self._loaded.append(
                kept or _Loaded(entry, place.backend, stamps, LOADERS[entry.kind](entry.value, place))
            )
        check_names(self.tasks)

    @property
    def tasks(self) -> list[Task]:
        """In the file's order."""
        return [loaded.task for loaded in self._loaded]

    def difference(self, before: TaskSet) -> str:
        """Say in a few words what stays, what is new and what goes."""
        stay, new = _split(self.tasks, before.tasks)
        gone = _split(before.tasks, self.tasks)[1]
        parts = [("stays", stay), ("new", new), ("gone", gone)]
        return "; ".join(f"{what}: {', '.join(names)}" for what, names in parts if names)


def _split(tasks: Sequence[Task], others: Sequence[Task]) -> tuple[list[str], list[str]]:
    """Return the names of those that are among the others, and of the rest."""
    names: tuple[list[str], list[str]] = ([], [])
    for task in tasks:
        names[0 if any(task is other for other in others) else 1].append(task.name)
    return names


def _files(entry: TaskEntry, place: Place) -> list[Path]:
    """Return the files that decide what a task is: when they change, it is loaded anew."""
    from edgeaudio.cli.enrolled import find_listener
    from edgeaudio.models.calibrated import calibrations_folder

    section = entry.value
    folder = find_listener(place.name(section.model))
    files = [*sorted(folder.glob("*.yaml")), calibrations_folder() / f"{folder.name}.yaml"]
    grammar = getattr(section, "grammar", None)
    return [*files, place.path(grammar)] if grammar is not None else files


def _stamp(path: Path) -> tuple[str, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return str(path), status.st_mtime_ns, status.st_size


def _load_wake(section: WakeTask, place: Place) -> Task:
    from edgeaudio.cli.enrolled import attach_verifiers, find_listener
    from edgeaudio.cli.keeping import settle_decision
    from edgeaudio.cli.several import Choice, load_spotter

    folder = find_listener(place.name(section.model))
    spotter = load_spotter(Choice(folder, section.threshold), place.backend, place.profile)
    attach_verifiers(section.verifiers, [spotter], [folder])
    settle_decision(spotter, section.threshold, section.near_misses)
    return spotter


def _load_caption(section: CaptionTask, place: Place) -> Task:
    from edgeaudio.cli.recognition import RecognizerOptions, check_recognizer, load_recognizer, make_endpoint

    options = RecognizerOptions(
        model=place.name(section.model),
        language=None if section.language is None else place.name(section.language),
        grammar=None if section.grammar is None else place.path(section.grammar),
        hotwords=section.hotwords,
        decoder=section.decoder,
        backend=place.backend,
        profile=None,
    )
    check_recognizer(options)
    complete_s = min(section.end_complete_s, section.end_silence_s)
    endpoint = make_endpoint(section.end_silence_s, complete_s, section.max_length_s)
    return load_recognizer(options, place.profile, endpoint)


LOADERS: dict[str, Callable[[Any, Place], Task]] = {"wake": _load_wake, "caption": _load_caption}
"""What loads each kind of task."""

"""The tasks that a file for `edgeaudio listen` asks for: loaded, and loaded anew only where need be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeaudio.cli.listen_config import Config
from edgeaudio.cli.listen_sections import CaptionTask, SoundsTask, SpeakerTask, TaskEntry, VadTask, WakeTask

if TYPE_CHECKING:
    from edgeaudio.profiles import Profile, Runtime
    from edgeaudio.tasks.base import Task
    from edgeaudio.tasks.spotter import Spotter

__all__ = ["Made", "Place", "TaskSet"]


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
class Made:
    """What a section became: the task itself, what must hear each block before it, what knows thresholds."""

    task: Task
    first: Task | None = None
    spotter: Spotter | None = None


@dataclass(frozen=True)
class _Loaded:
    entry: TaskEntry
    backend: Runtime | None
    stamps: tuple[object, ...]
    made: Made


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
        check_names(self.told)

    @property
    def told(self) -> list[Task]:
        """Those whose events are told, in the file's order."""
        return [loaded.made.task for loaded in self._loaded]

    @property
    def tasks(self) -> list[Task]:
        """What an engine runs, in the order in which it must."""
        first = [loaded.made.first for loaded in self._loaded]
        return [*(task for task in first if task is not None), *self.told]

    @property
    def spotters(self) -> list[Spotter]:
        """Whose detections a ledger may keep."""
        return [loaded.made.spotter for loaded in self._loaded if loaded.made.spotter is not None]

    def difference(self, before: TaskSet) -> str:
        """Say in a few words what stays, what is new and what goes."""
        stay, new = _split(self.told, before.told)
        gone = _split(before.told, self.told)[1]
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
    from edgeaudio.models.enrolments import enrolments_folder

    section = entry.value
    models = [section.model, *filter(None, [getattr(section, "vad", None)])]
    folders = [find_listener(place.name(model)) for model in models]
    folders += [enrolments_folder() / name for name in getattr(section, "verifiers", ())]
    if isinstance(section, SpeakerTask):
        folders += [path for path in sorted(enrolments_folder().glob("*")) if path.is_dir()]
    files = [path for folder in folders for path in sorted(folder.glob("*.yaml"))]
    files += [calibrations_folder() / f"{folder.name}.yaml" for folder in folders]
    grammar = getattr(section, "grammar", None)
    return [*files, place.path(grammar)] if grammar is not None else files


def _stamp(path: Path) -> tuple[str, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return str(path), status.st_mtime_ns, status.st_size


def _load_wake(section: WakeTask, place: Place) -> Made:
    from edgeaudio.cli.enrolled import attach_verifiers, find_listener
    from edgeaudio.cli.gating import only_spoken
    from edgeaudio.cli.keeping import settle_decision
    from edgeaudio.cli.several import Choice, load_spotter

    folder = find_listener(place.name(section.model))
    spotter = load_spotter(Choice(folder, section.threshold), place.backend, place.profile)
    attach_verifiers(section.verifiers, [spotter], [folder])
    settle_decision(spotter, section.threshold, section.near_misses)
    if section.vad is None:
        return Made(spotter, spotter=spotter)
    (detector, words), _ = only_spoken([spotter], place.name(section.vad), place.backend, place.profile)
    return Made(words, first=detector, spotter=spotter)


def _load_caption(section: CaptionTask, place: Place) -> Made:
    from edgeaudio.cli.gating import gate_speech
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
    recognizer = load_recognizer(options, place.profile, endpoint)
    if section.vad is None:
        return Made(recognizer)
    return Made(gate_speech(recognizer, place.name(section.vad), place.backend, place.profile))


def _load_sounds(section: SoundsTask, place: Place) -> Made:
    from edgeaudio.cli.several import Threshold
    from edgeaudio.cli.sounds import settle_names, settle_thresholds
    from edgeaudio.models.catalogue import find_model
    from edgeaudio.models.manifest import MANIFEST_FILE, load_manifest
    from edgeaudio.tasks.classifier import Classifier

    folder = find_model(place.name(section.model))
    manifest = load_manifest(folder / MANIFEST_FILE)
    scores = [Threshold(sound, score) for sound, score in section.thresholds.items()]
    if section.threshold is not None:
        scores.append(Threshold(None, section.threshold))
    classifier = Classifier.load(
        folder,
        backend=place.backend,
        threshold=settle_thresholds(tuple(scores), manifest),
        names=settle_names(section.only, section.ignore, manifest),
        onsets=section.onsets,
        profile=place.profile,
    )
    return Made(classifier)


def _load_vad(section: VadTask, place: Place) -> Made:
    from edgeaudio.cli.vad import load_vad

    detector = load_vad(
        place.name(section.model),
        place.profile,
        backend=place.backend,
        threshold=section.threshold,
        pre_roll_s=section.pre_roll_s,
        hangover_s=section.hangover_s,
    )
    return Made(detector)


def _load_speaker(section: SpeakerTask, place: Place) -> Made:
    from edgeaudio.tasks.speaker import Speaker, enrolled_voices
    from edgeaudio.tasks.turns import SpeakerTask as Turns
    from edgeaudio.tasks.vad import Vad

    ear = Speaker.load(place.name(section.model), backend=place.backend, profile=place.profile)
    vad = Vad.load(place.name(section.vad), backend=place.backend, profile=place.profile)
    voices = enrolled_voices(ear, section.names)
    return Made(Turns(ear, vad, voices, false_accepts=section.max_false_accepts))


LOADERS: dict[str, Callable[[Any, Place], Made]] = {
    "wake": _load_wake,
    "caption": _load_caption,
    "sounds": _load_sounds,
    "vad": _load_vad,
    "speaker": _load_speaker,
}
"""What loads each kind of task."""

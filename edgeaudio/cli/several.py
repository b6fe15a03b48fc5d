"""Several models in one listening command: which, each one's threshold, and what they share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edgeaudio.cli.common import probability
from edgeaudio.cli.enrolled import find_listener
from edgeaudio.errors import UsageError

if TYPE_CHECKING:
    from edgeaudio.frontend import FrontendSpec
    from edgeaudio.profiles import Profile, Runtime
    from edgeaudio.tasks.base import Task
    from edgeaudio.tasks.spotter import Spotter

__all__ = ["Choice", "Threshold", "check_names", "choose_models", "load_spotter", "sharing", "threshold"]


class Threshold(NamedTuple):
    """A score at which words count: those of one model, or of all (None)."""

    model: str | None
    score: float


@dataclass(frozen=True)
class Choice:
    """A model to listen with; `threshold` is None for its own."""

    folder: Path
    threshold: float | None


def threshold(text: str | Threshold) -> Threshold:
    """Read ``NUMBER`` or ``MODEL=NUMBER``, as an option's type."""
    if isinstance(text, Threshold):
        return text
    model, equals, number = text.rpartition("=")
    return Threshold(model if equals else None, probability(number))


def choose_models(names: Sequence[str], thresholds: Sequence[Threshold]) -> list[Choice]:
    """Find the models, each once, and their thresholds.

    Parameters
    ----------
    names : sequence of str
        Names or paths. Under both, a model would report every word twice; it counts once.
    thresholds : sequence of Threshold
        Each names a model as `names` does, or as its events do.

    Raises
    ------
    ModelError
        There is no such model, and no word of that name is enrolled.
    UsageError
        A threshold is for none of them or for two, or a model has two.
    """
    given: dict[Path, set[str]] = {}
    folders: dict[Path, Path] = {}
    for name in names:
        folder = find_listener(name)
        folders.setdefault(folder.resolve(), folder)
        given.setdefault(folder.resolve(), set()).update((name, folder.name))
    scores: dict[Path | None, float] = {}
    for model, score in thresholds:
        key = None if model is None else _named(model, given)
        if key in scores:
            raise UsageError(f"--threshold was given twice for {model or 'all models'}", hint="Give it once.")
        scores[key] = score
    return [Choice(folder, scores.get(key, scores.get(None))) for key, folder in folders.items()]


def load_spotter(choice: Choice, backend: Runtime | None, profile: Profile) -> Spotter:
    """Load a model, or a word that was enrolled."""
    from edgeaudio.models.enrolments import holds_enrolment
    from edgeaudio.tasks.spotter import Spotter

    folder, score = choice.folder, choice.threshold
    if holds_enrolment(folder):
        from edgeaudio.tasks.enrolled import enrolled_spotter

        return enrolled_spotter(folder, backend=backend, threshold=score, profile=profile)
    return Spotter.load(folder, backend=backend, threshold=score, profile=profile)


def _named(model: str, given: dict[Path, set[str]]) -> Path:
    found = [folder for folder, names in given.items() if model in names]
    if not found:
        # Reading a manifest takes a while, and most people use one name for one thing.
        from edgeaudio.models.manifest import MANIFEST_FILE, holds_model, load_manifest

        models = filter(holds_model, given)
        found = [folder for folder in models if load_manifest(folder / MANIFEST_FILE).name == model]
    if len(found) != 1:
        which = "two of the models" if found else "none of the models"
        raise UsageError(
            f"--threshold {model}=… is for {which} that listen",
            hint=f"Write what --model says; the models are: {', '.join(map(str, given))}",
        )
    return found[0]


def check_names(tasks: Iterable[Task]) -> None:
    """Refuse two models of one name: nobody could tell whose an event is.

    Raises
    ------
    UsageError
        Naming them.
    """
    seen: set[str] = set()
    for task in tasks:
        if task.name in seen:
            raise UsageError(
                f"two different models are named '{task.name}': nobody could tell their events apart",
                hint="Change `name` in the model.yaml of one of them.",
            )
        seen.add(task.name)


def sharing(tasks: Sequence[Task]) -> str:
    """Say which models listen, and which of them hear the same features.

    Examples
    --------
    >>> from edgeaudio.testing import scripted_spotter
    >>> sharing([scripted_spotter([(0.5, "go")])])
    'scripted'
    """
    groups: dict[FrontendSpec, list[str]] = {}
    for task in tasks:
        groups.setdefault(task.spec, []).append(task.name)
    first, *others = groups.items()
    text = ", ".join(first[1])
    for spec, names in others:
        text += f"; with another frontend, computed besides: {', '.join(names)} ({spec.features})"
    return text

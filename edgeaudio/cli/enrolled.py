"""What `edgeaudio wake` does with what was enrolled: words of one's own, and voices behind a wake word."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgeaudio.errors import UsageError

if TYPE_CHECKING:
    from edgeaudio.tasks.spotter import Spotter

__all__ = ["attach_verifiers", "find_listener"]


def find_listener(name: str) -> Path:
    """Return the folder of a model, or of a word that was enrolled.

    Raises
    ------
    ModelError
        There is no such model, and nothing is enrolled under that name.
    """
    from edgeaudio.models.catalogue import find_model
    from edgeaudio.models.enrolments import enrolments_folder, holds_enrolment, list_enrolments

    if name in list_enrolments():
        return enrolments_folder() / name
    return Path(name) if holds_enrolment(Path(name)) and "/" in name else find_model(name)


def attach_verifiers(names: Sequence[str], spotters: Sequence[Spotter], folders: Sequence[Path]) -> None:
    """Let each enrolled voice guard the words of its model.

    Raises
    ------
    ModelError
        One is not enrolled, or was made with another version of its model.
    UsageError
        One is a word of its own, or for a model that does not listen.
    """
    if not names:
        return
    from edgeaudio.models.enrolments import find_enrolment, load_enrolment
    from edgeaudio.tasks.verifier import load_verifier

    by_model: dict[str, list[str]] = {}
    for name in names:
        enrolment = load_enrolment(find_enrolment(name))
        if enrolment.kind == "word":
            raise UsageError(
                f"'{name}' is a word of its own, no voice", hint=f"Use it so: edgeaudio wake --model {name}"
            )
        if enrolment.kind == "speaker":
            raise UsageError(
                f"'{name}' is a voice behind no wake word", hint="Use it so: edgeaudio speaker identify"
            )
        by_model.setdefault(enrolment.model, []).append(name)
    for model, voices in by_model.items():
        found = [
            (spotter, folder)
            for spotter, folder in zip(spotters, folders, strict=True)
            if folder.name == model
        ]
        if not found:
            raise UsageError(
                f"'{voices[0]}' was enrolled behind {model}, which does not listen here",
                hint=f"Use it so: edgeaudio wake --model {model} --verifier {voices[0]}",
            )
        for spotter, folder in found:
            spotter.listen_for(load_verifier(voices, folder))

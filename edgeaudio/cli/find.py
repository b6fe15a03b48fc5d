"""``edgeaudio label --find``: where a phrase is said in recordings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgeaudio.cli.common import quiet_libraries, stdout_bytes
from edgeaudio.cli.listening import settle_profile
from edgeaudio.cli.progress import progress_bar
from edgeaudio.errors import UsageError

if TYPE_CHECKING:
    from edgeaudio.cli.label import LabelOptions
    from edgeaudio.training.finder import Find

__all__ = ["find"]


def find(options: LabelOptions) -> None:
    """Print every find, and cut them out if that is wanted.

    Raises
    ------
    UsageError
        Options contradict each other, or the phrase is nothing that can be said.
    InputError
        There is no recording, none can be read, or the phrase is said in none.
    """
    phrase = _check(options)
    from edgeaudio.training.finder import Finder
    from edgeaudio.training.finds import check_free, recordings_in, search, write_finds
    from edgeaudio.training.phrases import check_phrase

    check_phrase(phrase, allow_short=True)
    if options.clips is not None:
        check_free(options.clips)
    rows = [row for path in options.paths for row in recordings_in(path)]
    with quiet_libraries(), progress_bar("listening") as progress:
        finder = Finder.load(
            phrase,
            model=options.model,
            language=options.language,
            backend=options.backend,
            profile=settle_profile(options.profile),
        )
        finds = search(rows, finder, progress=progress, tell=_print)
        if options.clips is not None:
            write_finds(finds, finder.phrase, options.clips, root=_root(options.paths))


def _check(options: LabelOptions) -> str:
    if options.phrase is None:
        raise UsageError("--clips without --find", hint='As in: --find "hey computer" --clips DIR')
    useless = {
        "--align": options.align,
        "--all": options.everything,
        "--output": options.outputs,
        "--grammar": options.grammar is not None,
        "--hotword": options.hotwords,
    }
    for name, is_given in useless.items():
        if is_given:
            raise UsageError(f"--find has no use for {name}", hint="Leave it out.")
    return options.phrase


def _root(paths: tuple[Path, ...]) -> Path:
    """What all recordings lie in."""
    root = Path(os.path.commonpath([path.absolute() for path in paths]))
    return root if root.is_dir() else root.parent


def _print(found: Find) -> None:
    from edgeaudio.evaluation.manifest import path_text

    line = {
        "path": path_text(found.row.path),
        "start_s": round(found.start_s, 3),
        "end_s": round(found.end_s, 3),
        "confidence": round(found.confidence, 4),
        "verdict": found.verdict,
        "speaker": found.row.speaker,
    }
    stdout_bytes().write(msgspec.json.encode(line) + b"\n")
    stdout_bytes().flush()

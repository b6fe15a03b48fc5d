"""``edgeaudio label``: write down what is said in recordings, and when."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeaudio.cli.common import is_same_file, log_level_option, quiet_libraries, stdout_bytes
from edgeaudio.cli.listening import settle_profile
from edgeaudio.cli.progress import progress_bar
from edgeaudio.cli.recognition import (
    RecognizerOptions,
    check_recognizer,
    load_recognizer,
    recognizer_options,
)
from edgeaudio.cli.startup import load_numba
from edgeaudio.errors import InputError, UsageError

if TYPE_CHECKING:
    from edgeaudio.evaluation.label_files import LabelFile, LabelFormat
    from edgeaudio.evaluation.labels import Labeller
    from edgeaudio.evaluation.manifest import Row

__all__ = ["LabelOptions", "label"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LabelOptions(RecognizerOptions):
    """The command line of ``edgeaudio label``."""

    paths: tuple[Path, ...]
    outputs: tuple[Path, ...]
    form: LabelFormat
    align: bool
    everything: bool
    phrase: str | None
    clips: Path | None


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH|MANIFEST...")
@click.option(
    "--output",
    "outputs",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Add to this file, and go on where it stops; its name tells the format"
    " (.tsv manifest, .json, .ctm). Repeatable.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["tsv", "json", "ctm"]),
    default="json",
    show_default=True,
    help="What is printed where there is no --output.",
)
@click.option("--align", is_flag=True, help="Find the word times of the text that a MANIFEST gives.")
@click.option("--all", "everything", is_flag=True, help="Also write down anew what has text already.")
@click.option("--find", "phrase", metavar="PHRASE", help="Find where this is said, and what sounds like it.")
@click.option("--clips", type=click.Path(path_type=Path), metavar="DIR", help="Cut what --find finds out.")
@recognizer_options
@log_level_option
def label(**options: Any) -> None:
    """Transcripts and word times for recordings that have none.

    PATH is a recording or a folder of recordings, MANIFEST a file .tsv with the columns path and, if
    known, seconds, speaker, split, label and text. What has text already is passed on as it is. A run
    that was interrupted goes on where it stopped when it is given the same --output.

    With --find, transcripts are a help: what they say is aligned, the rest is searched. Folders may be
    corpora.
    """
    _run(LabelOptions(**options))


def _run(options: LabelOptions) -> None:
    load_numba()
    from edgeaudio.evaluation.label_files import LabelFile

    check_recognizer(options)
    if options.phrase is not None or options.clips is not None:
        from edgeaudio.cli.find import find

        find(options)
        return
    if options.align and options.everything:
        raise UsageError("--align keeps the text that there is, --all replaces it", hint="Give one of them.")
    if options.align and (options.grammar is not None or options.hotwords):
        raise UsageError(
            "--align finds given words; --grammar and --hotword have no use", hint="Leave them out."
        )
    rows = _rows(options.paths)
    wanted = [
        row for row in rows if (bool(row.text) if options.align else options.everything or not row.text)
    ]
    if options.align and not wanted:
        raise InputError(
            f"{options.paths[0]}: no recording has any text to align",
            hint="Without --align it is written down.",
        )
    for output in options.outputs:
        if any(is_same_file(output, path) for path in options.paths):
            raise UsageError(f"{output} is what is read", hint="Name another --output.")
    with contextlib.ExitStack() as stack:
        # What is cheap to get wrong is checked before what is slow to load.
        files = [stack.enter_context(contextlib.closing(LabelFile(output))) for output in options.outputs]
        stack.enter_context(quiet_libraries())
        labeller = _labeller(options) if any(_is_new(row, files) for row in wanted) else None
        failed = _label(rows, {id(row) for row in wanted}, labeller, files, options.form)
    if failed:
        raise InputError(
            f"{failed} of {len(wanted)} recordings could not be labelled", hint="The log says why for each."
        )


def _rows(paths: Iterable[Path]) -> list[Row]:
    from edgeaudio.evaluation.labels import find_recordings
    from edgeaudio.evaluation.manifest import read_manifest

    rows: list[Row] = []
    for path in paths:
        found = read_manifest(path) if path.suffix.lower() == ".tsv" else find_recordings(path)
        if not found:
            raise InputError(f"{path}: there is no recording in this folder")
        rows += found
    return rows


def _is_new(row: Row, files: list[LabelFile]) -> bool:
    return not files or any(not file.holds(row) for file in files)


def _labeller(options: LabelOptions) -> Labeller:
    profile = settle_profile(options.profile)
    if not options.align:
        from edgeaudio.evaluation.labels import Transcriber

        return Transcriber(load_recognizer(options, profile))
    from edgeaudio.evaluation.labels import Aligner

    return Aligner.load(options.model, language=options.language, backend=options.backend, profile=profile)


def _label(
    rows: list[Row], wanted: set[int], labeller: Labeller | None, files: list[LabelFile], form: LabelFormat
) -> int:
    """Label what is wanted and not there yet, and return how many recordings failed."""
    from edgeaudio.evaluation.label_files import HEADER, record

    failed = 0
    if not files:
        stdout_bytes().write(HEADER[form])
    with progress_bar("labelling") as progress:
        for done, row in enumerate(rows):
            progress(done, len(rows))
            if not _is_new(row, files):
                continue
            try:
                found = labeller(row) if labeller is not None and id(row) in wanted else None
                for file in files:
                    if not file.holds(row):
                        file.add(row, found)
                if not files:
                    stdout_bytes().write(record(form, str(row.path), row, found))
                    stdout_bytes().flush()
            except InputError as error:
                failed += 1
                _LOG.warning("%s", error.message)
    return failed

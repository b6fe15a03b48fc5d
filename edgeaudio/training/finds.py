"""Finds of a phrase in a folder of recordings, cut out as a corpus to learn from."""

from __future__ import annotations

import heapq
import logging
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgeaudio.errors import InputError, OutputError
from edgeaudio.evaluation.labels import find_recordings
from edgeaudio.evaluation.manifest import Row, path_text, read_manifest, read_part
from edgeaudio.training.corpora import look_for_corpora
from edgeaudio.training.finder import Find, Finder, Verdict
from edgeaudio.training.phrases import check_phrase
from edgeaudio.types import SAMPLE_RATE_HZ

__all__ = [
    "NEAR_MISS",
    "NothingFoundError",
    "check_free",
    "find_occurrences",
    "recordings_in",
    "search",
    "write_finds",
]

Progress = Callable[[int, int], None]
"""Called with (done, total) after each recording."""

NEAR_MISS = "near_miss"
"""The label of what sounds like the phrase and is not."""
COLUMNS = (
    *("path", "seconds", "speaker", "split", "label", "text", "source", "licence", "start", "end"),
    *("confidence", "recording"),
)
"""Those of synthetic corpora, then how sure the find is, and in which recording it was."""

MOST_SAID = 10_000
NEAR_PER_FIND, LEAST_NEAR = 3, 100
MOST_NEAR = NEAR_PER_FIND * MOST_SAID
BEFORE_S, AFTER_S = 0.1, 0.15
"""What surrounds a find: 95 % of words then lie in it as a whole."""

_SHOWN = 3

_LOG = logging.getLogger(__name__)


class NothingFoundError(InputError):
    """All could be heard, and the phrase was not in it."""


def find_occurrences(
    folder: str | Path,
    phrase: str,
    out_dir: str | Path,
    *,
    finder: Finder | None = None,
    progress: Progress | None = None,
) -> Path:
    """Find where a phrase is said in a folder of recordings, and write a corpus of it.

    Clips are FLAC files of 16 kHz. Those of the phrase have it as label and text; what sounds like it and
    is not has the label ``near_miss``. Speaker, split, source and licence are those of the recording;
    where nobody says who speaks, the recording stands for the speaker.

    Parameters
    ----------
    folder : str or Path
        Corpora of any known layout, a manifest, or just recordings. Transcripts are used where there are
        any.
    phrase : str
    out_dir : str or Path
        Must not exist; appears when all is done.
    finder : Finder, optional
        By default one with the shipped captions model.
    progress : callable, optional

    Returns
    -------
    Path
        ``out_dir``.

    Raises
    ------
    UsageError
        The phrase is nothing that can be said.
    InputError
        There is no recording, none can be read, or the phrase is said in none (`NothingFoundError`).
    OutputError
        ``out_dir`` exists or cannot be written.
    """
    folder, out_dir = Path(folder), Path(out_dir)
    check_phrase(phrase, allow_short=True)
    check_free(out_dir)
    rows = recordings_in(folder)
    finder = finder or Finder.load(phrase)
    finds = search(rows, finder, progress=progress)
    write_finds(finds, finder.phrase, out_dir, root=folder)
    return out_dir


def search(
    rows: Sequence[Row],
    finder: Finder,
    *,
    progress: Progress | None = None,
    tell: Callable[[Find], None] | None = None,
) -> list[Find]:
    """Find a phrase in many recordings, and choose what is worth keeping.

    Recordings that cannot be read are named in the log.

    Parameters
    ----------
    rows : sequence of Row
    finder : Finder
    progress : callable, optional
    tell : callable, optional
        Called with every find at once, doubtful ones included.

    Returns
    -------
    list of Find
        The surest of what is said, and of the nearest misses three for each of these, or a hundred.

    Raises
    ------
    InputError
        None can be read, or the phrase is said in none.
    """
    best: dict[Verdict, _Best] = {
        "said": _Best(MOST_SAID),
        "near": _Best(MOST_NEAR),
        "doubtful": _Best(_SHOWN),
    }
    for find in _find_all(rows, finder, progress):
        best[find.verdict].add(find)
        if tell is not None:
            tell(find)
    said, near = best["said"].finds, best["near"].finds
    if not said:
        raise _nothing(finder.phrase, len(rows), [*best["doubtful"].finds, *near[:_SHOWN]])
    return [*said, *near[: max(LEAST_NEAR, NEAR_PER_FIND * len(said))]]


def recordings_in(path: Path) -> list[Row]:
    """The recordings of a manifest, of the corpora in a folder, or else all that lie in it.

    Raises
    ------
    InputError
        There is none, or a manifest is malformed.
    """
    if path.suffix.lower() == ".tsv":
        return read_manifest(path)
    rows = [row for corpus in look_for_corpora(path).values() for row in corpus] or find_recordings(path)
    if not rows:
        raise InputError(f"{path}: there is no recording in this folder")
    return rows


def _find_all(rows: Sequence[Row], finder: Finder, progress: Progress | None) -> Iterator[Find]:
    failed = 0
    for done, row in enumerate(rows, start=1):
        try:
            yield from finder(row)
        except InputError as error:
            failed += 1
            _LOG.warning("%s", error.message)
            if failed == len(rows):
                raise InputError(
                    f"none of the {len(rows)} recordings can be read", hint="The log says why for each."
                ) from error
        if progress is not None:
            progress(done, len(rows))


class _Best:
    """So many of the finds with the highest confidence."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[float, int, Find]] = []
        self._n = 0

    def add(self, find: Find) -> None:
        self._n += 1
        push = heapq.heappush if len(self._heap) < self._most else heapq.heappushpop
        push(self._heap, (find.confidence, -self._n, find))

    @property
    def finds(self) -> list[Find]:
        """The surest first."""
        return [find for *_, find in sorted(self._heap, reverse=True)]


def _nothing(phrase: str, n_rows: int, best: Sequence[Find]) -> NothingFoundError:
    if not best:
        return NothingFoundError(f"nothing in {n_rows} recordings sounds like {phrase!r}")
    shown = "".join(
        f"\n  {find.confidence:.3f}  {find.row.path} at {find.start_s:.2f} s"
        for find in sorted(best, key=lambda find: -find.confidence)[:_SHOWN]
    )
    return NothingFoundError(
        f"{phrase!r} was found in none of {n_rows} recordings; what came closest:{shown}",
        hint="Listen to these, or give other recordings.",
    )


def check_free(out_dir: Path) -> None:
    """Raise an OutputError if there is something where finds are to be written."""
    if out_dir.exists() or out_dir.is_symlink():
        raise OutputError(f"{out_dir} exists already", hint="Name a folder that does not.")


def write_finds(finds: Sequence[Find], phrase: str, out_dir: Path, *, root: Path) -> None:
    """Cut finds out of their recordings and write them as a corpus that appears as a whole.

    Parameters
    ----------
    finds : sequence of Find
        Each is the phrase, or near.
    phrase : str
        Their label, if it is what is said.
    out_dir : Path
    root : Path
        Recordings are named by their path from there.

    Raises
    ------
    InputError
        A recording cannot be read any more.
    OutputError
        ``out_dir`` exists or cannot be written.
    """
    check_free(out_dir)
    numbers = dict.fromkeys((phrase, NEAR_MISS), 0)
    lines = ["\t".join(COLUMNS)]
    with _appearing(out_dir) as folder:
        for find in sorted(finds, key=lambda find: (str(find.row.path), find.start_s)):
            label = phrase if find.verdict == "said" else NEAR_MISS
            numbers[label] += 1
            # No phrase has a hyphen.
            folder_name = re.sub("[^a-z]+", "_", label) if find.verdict == "said" else "near-misses"
            path = f"{folder_name}/{numbers[label]:05d}.flac"
            seconds, start_s = _cut(find, folder / path)
            text = phrase if find.verdict == "said" else ""
            row, name = find.row, _name(find.row.path, root)
            who, source = row.speaker or name, row.source or _name(row.path.parent, root.parent)
            where = start_s, start_s + find.end_s - find.start_s
            times = [f"{x:.6f}" for x in (seconds, where[0], min(where[1], seconds))]
            fields = (path, times[0], who, row.split, label, text, source, row.licence, *times[1:])
            lines.append("\t".join((*fields, f"{find.confidence:.4f}", name)))
        (folder / "manifest.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _cut(find: Find, path: Path) -> tuple[float, float]:
    """Write a find with what surrounds it; returns the clip's length and where in it the phrase begins."""
    import soundfile

    first_s = max(0.0, find.start_s - BEFORE_S)
    samples = read_part(find.row, first_s, find.end_s + AFTER_S)
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, samples, SAMPLE_RATE_HZ, subtype="PCM_16")
    return len(samples) / SAMPLE_RATE_HZ, find.start_s - first_s


def _name(path: Path, root: Path) -> str:
    """A path as it can stand in a manifest."""
    path, root = path.absolute(), root.absolute()
    inner = path.relative_to(root) if path.is_relative_to(root) else path
    return re.sub(r"\s", " ", path_text(inner))


@contextmanager
def _appearing(out_dir: Path) -> Iterator[Path]:
    """A folder to fill, which gets its name when that is done, and vanishes if it fails."""
    from soundfile import LibsndfileError

    parent = out_dir.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out_dir.name}.", dir=parent) as outer:
            folder = Path(outer) / "finds"
            folder.mkdir()
            yield folder
            folder.rename(out_dir)
    except (OSError, LibsndfileError) as error:
        raise OutputError(f"cannot write finds to {out_dir}: {error}") from error

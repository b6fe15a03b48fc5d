"""The page docs/emulated-pi.md: written from what was found, and read again to compare with it."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence

from tools.emulated.counting import LONG_S, SHORT_S, TOLERANCE
from tools.emulated.device import CORES, REPOSITORY
from tools.emulated.parity import Comparison

__all__ = ["DOCUMENT", "counts_table", "known_counts", "page", "parity_table", "write_page"]

DOCUMENT = REPOSITORY / "docs" / "emulated-pi.md"
_COUNTS = "| million instructions per audio second |"
_PREFACE = """# A Raspberry Pi, emulated

Written by `tools/emulate-pi --write-docs`. No Raspberry Pi was at hand. What a Pi runs is run here under
QEMU's user mode emulation: Debian's Python for 64-bit ARM, the wheels that a Pi gets from PyPI, and
edgeaudio as it lies in this repository. Two things can be learned from that: whether the answers are the
same, and how many instructions they take.

**A count of instructions is a proxy for cost, never milliseconds.** Caches, memory, clock rate and how
many instructions a core finishes at a time are not in it: a Pi 3 and a Pi 4 that execute the same number
of them take different times. What it is good for: the same code has the same count, within about 1 %,
on every day and machine, so where it moves by 2 %, the code has changed. Time is measured on the device
itself, with `edgeaudio profile`.
"""
_COUNTED = """`frontend` hears speech in blocks of 80 ms; models are named with their runtime and hear
finished frames; `search and writing` is what the recogniser does behind its network, and depends on what
the network hears. `whole engine` is `Engine.run_until_finished` with its Python, level meter, frontend
and task, on the default runtime. Each is counted over {short} s and over {long} s of a bundled
recording, in a process in which all of it ran before; the table shows the difference, divided by
{difference} s.
"""
_UNSEARCHED = """What looks for words in captions, and captions as a whole, were **not counted** in this run.
"""
_COMPARED = """What the emulated device answers, against x86: frames of `demo.flac`, logits of each
model's golden input, and the decisions (words, order, positions to the sample) on `demo.flac` for
spotters and on `speech.flac` for captions. Largest absolute differences.
"""


def counts_table(counts: Mapping[str, Mapping[str, float]]) -> str:
    """Return instructions per audio second as a Markdown table: a row a workload, a column a core."""
    cores = list(counts)
    lines = [f"{_COUNTS} {' | '.join(cores)} |", f"|---|{'---|' * len(cores)}"]
    for name in next(iter(counts.values()), {}):
        cells = [f"{counts[core][name] / 1e6:.3f}" for core in cores]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def known_counts(page: str) -> dict[str, dict[str, float]]:
    """Return what the page's table says, by core and workload.

    Raises
    ------
    ValueError
        The page has no such table, or a cell is no positive number.
    """
    lines = iter(page.splitlines())
    header = next((line for line in lines if line.startswith(_COUNTS)), None)
    if header is None:
        raise ValueError(f"there is no table that begins with '{_COUNTS}'")
    cores = _cells(header)[1:]
    found: dict[str, dict[str, float]] = {core: {} for core in cores}
    next(lines, None)
    for line in lines:
        if not line.startswith("|"):
            break
        name, *cells = _cells(line)
        if len(cells) != len(cores):
            raise ValueError(f"{name}: {len(cells)} counts for {len(cores)} cores")
        for core, cell in zip(cores, cells, strict=True):
            count = float(cell) * 1e6
            if not 0 < count < math.inf:
                raise ValueError(f"{name}, {core}: {cell} is no count of instructions")
            found[core][name] = count
    return found


def parity_table(compared: Mapping[str, Sequence[Comparison]]) -> str:
    """Return the comparisons as a Markdown table: a row a comparison, a column a core."""
    cores = list(compared)
    rows: dict[str, dict[str, Comparison]] = {}
    for core in cores:
        for comparison in compared[core]:
            rows.setdefault(comparison.name, {})[core] = comparison
    lines = [
        f"| compared | of | {' | '.join(cores)} | at most |  |",
        f"|---|---|{'---|' * len(cores)}---|---|",
    ]
    for name, row in rows.items():
        cells = [f"{row[core].difference:.2g}" if core in row else "" for core in cores]
        verdict = "kept" if all(each.holds for each in row.values()) else "**exceeded**"
        first = next(iter(row.values()))
        lines.append(f"| {name} | {first.note} | {' | '.join(cells)} | {first.allowed:.2g} | {verdict} |")
    return "\n".join(lines)


def page(
    counts: Mapping[str, Mapping[str, float]],
    compared: Mapping[str, Sequence[Comparison]],
    versions: Sequence[str],
    *,
    search: bool,
) -> str:
    """Return the whole page; ``versions`` has a line for each side, ``search`` tells if all was counted."""
    today = datetime.datetime.now(tz=datetime.timezone.utc).date()
    cores = [f"- {core.name}: {core.boards}" for core in CORES]
    counted = _COUNTED.format(short=SHORT_S, long=LONG_S, difference=LONG_S - SHORT_S)
    limit = (
        f"`tools/emulate-pi --check` fails where a count moved by more than {100 * TOLERANCE:g} % either way."
    )
    parts = [
        _PREFACE,
        "\n\n".join([f"{today}.", *versions]) + "\n",
        f"    tools/emulate-pi --write-docs{'' if search else ' --without-search'}\n",
        "\n".join(cores) + "\n",
        f"## Instructions per second of audio\n\n{counted}",
        counts_table(counts) + "\n",
        *([] if search else [_UNSEARCHED]),
        limit + "\n",
        f"## The same answers\n\n{_COMPARED}",
        parity_table(compared) + "\n",
    ]
    return "\n".join(parts)


def write_page(text: str) -> None:
    """Replace the page."""
    DOCUMENT.write_text(text, encoding="utf-8")


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]

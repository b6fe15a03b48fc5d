"""What a benchmark found: tables, limits, and the page they are written to."""

from __future__ import annotations

import datetime
import os
import platform
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"

_PREFACE = """# Benchmarks

Written by `tools/bench NAME --write-docs`; every section says where, when and how it was measured.
Absolute times belong to that machine. Ratios inside one table were measured in one run, by turns,
and travel better.
"""


@dataclass(frozen=True)
class Limit:
    """``value`` must not exceed ``limit``; a ``--smoke`` run only has to stay below ``smoke_limit``.

    ``smoke_limit`` is None where a short run on a shared machine says nothing.
    """

    name: str
    value: float
    limit: float
    unit: str = ""
    smoke_limit: float | None = None

    def holds(self, *, smoke: bool) -> bool:
        """Whether the value is acceptable for this kind of run."""
        bound = self.smoke_limit if smoke else self.limit
        return bound is None or self.value <= bound


@dataclass(frozen=True)
class Table:
    """Rows of already formatted cells."""

    columns: list[str]
    rows: list[list[str]]
    title: str = ""

    def markdown(self) -> str:
        """The table as GitHub Markdown, its title above it."""
        lines = [f"**{self.title}**", ""] if self.title else []
        lines.append("| " + " | ".join(self.columns) + " |")
        lines.append("|" + "---|" * len(self.columns))
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join(lines)


@dataclass(frozen=True)
class Report:
    """One benchmark's result. ``packages`` are those whose versions matter."""

    title: str
    tables: list[Table]
    limits: list[Limit] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)

    def markdown(self, arguments: Sequence[str]) -> str:
        """The section of docs/benchmarks.md, with circumstances and the command that made it."""
        command = f"    tools/bench {shlex.join(arguments)}"
        parts = [f"## {self.title}", circumstances(self.packages), command]
        parts += [table.markdown() for table in self.tables]
        parts += self.notes
        if self.limits:
            parts.append(_limits_table(self.limits).markdown())
        return "\n\n".join(parts)


def _limits_table(limits: list[Limit]) -> Table:
    rows = []
    for limit in limits:
        verdict = "kept" if limit.holds(smoke=False) else "**exceeded**"
        rows.append([limit.name, f"{limit.value:.3g}{limit.unit}", f"{limit.limit:.3g}{limit.unit}", verdict])
    return Table(["limit", "measured", "at most", ""], rows)


def circumstances(packages: list[str]) -> str:
    """Device, system, date and versions, in one paragraph."""
    versions = ", ".join(f"{name} {_version(name)}" for name in packages)
    today = datetime.datetime.now(tz=datetime.timezone.utc).date()
    return (
        f"{cpu_model()}, {os.cpu_count()} logical cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}; {today}. {versions}".strip().removesuffix(";")
    )


def cpu_model() -> str:
    """The processor's name as the kernel tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for key in ("model name", "Model", "Hardware"):
        for line in lines:
            if line.split(":")[0].strip() == key:
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def write_section(name: str, text: str) -> None:
    """Replace or add one benchmark's section of the page, leaving the others as they are."""
    if not DOCUMENT.exists():
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(_PREFACE, encoding="utf-8")
    write_between(DOCUMENT, f"bench:{name}", text)


def write_between(document: Path, mark: str, text: str, heading: str = "") -> None:
    """Replace what stands between the two comments ``<!-- mark -->``, leaving what people wrote around it.

    Where there are none yet, it comes to the end of the section under `heading`, and without that to the
    end of the document.
    """
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    page = document.read_text(encoding="utf-8")
    section = f"{begin}\n{text}\n{end}"
    if begin in page:
        before, rest = page.split(begin, 1)
        page = before + section + rest.split(end, 1)[1]
    elif heading and heading in page:
        before, rest = page.split(heading, 1)
        own, further, others = rest.partition("\n## ")
        page = f"{before}{heading}{own.rstrip()}\n\n{section}\n{further}{others}"
    else:
        page = "\n\n".join(filter(None, (page.rstrip(), heading, f"{section}\n")))
    document.write_text(page, encoding="utf-8")

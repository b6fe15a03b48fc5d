"""The table of finished variants, and where it stands in the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeaudio.evaluation.intervals import wilson_interval
from tools.benchmarks.report import Table, write_between
from tools.comparison.variants import PLAIN, VARIANTS

__all__ = ["page", "write_docs"]

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "sounds.md"
HEADING = "## Sounds"

_NOTES = """All variants learn from the same examples with the same loss and as many batches ({batches} of 32
examples for each fold), far fewer than the shipped model: what counts is the difference. Each recording is
judged by a network that never heard its fold, in float32. The interval is Wilson's and takes recordings as
independent; {seeds}. CPU time is that of features and int8 network as they run live on the faster runtime,
for a second of audio. Two rows are not exported and their time is put together from parts: for the
Gaussian filters the mel frontend, a full matrix besides, and the network; for two resolutions both
frontends, the network, and a second front. The Gaussians are learnt over the power spectrum of the same
FFT, with centres and widths that begin as the mel bands', and are not LEAF's filters over samples; PCEN
learns one smoothing, gain, bias and root for all bands."""


def page(found: Mapping[str, Mapping[str, Any]], command: str, batches: int, seeds: int) -> str:
    """The comparison: circumstances, the table, and what it means."""
    first = next(iter(found.values()))
    columns = ["network and features", "accuracy, cross-validated", "against plain", "parameters", "CPU"]
    rows = []
    for name, facts in found.items():
        n, of = facts["right"], facts["clips"]
        # Several seeds judge the same recordings again: no more of them are independent.
        low, high = wilson_interval(round(n / seeds), of // seeds)
        against = ""
        if name != PLAIN and PLAIN in found:
            against = f"{100 * (n / of - found[PLAIN]['right'] / found[PLAIN]['clips']):+.1f}"
        rows.append([
            VARIANTS[name].title,
            f"{n / of:.1%} ({low:.1%} to {high:.1%})",
            against,
            f"{facts['parameters']:,}",
            f"{facts['ms']:.2f} ms",
        ])  # fmt: skip
    told = f"mean of {seeds} seeds, the interval that of one" if seeds > 1 else "one seed"
    notes = " ".join(_NOTES.format(batches=f"{batches:,}", seeds=told).split())
    table = Table(columns, rows, f"{first['clips'] // seeds} recordings of ESC-10's kind")
    return "\n\n".join([first["circumstances"], f"    {command}", table.markdown(), notes])


def write_docs(text: str) -> None:
    """Replace the table, leaving what people wrote around it."""
    write_between(DOCUMENT, "compare-sounds", text, HEADING)

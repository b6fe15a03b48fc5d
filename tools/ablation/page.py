"""The tables of finished variants, and where they stand in the documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.ablation.measuring import CLEAN, NOISY
from tools.ablation.variants import BASE, NETWORKS, PARTS, Variant
from tools.benchmarks.report import Table, write_between

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "wake-words.md"
HEADING = "## Ablations"

_NOTES = """A row is one training with the same recordings and budget. In parentheses the 95 % interval
of the share itself (Wilson); what chance does to a training is told by the row of another seed. Thresholds
for one half of the speakers were chosen on the other half. CPU time is that of features and network."""


def page(found: Mapping[str, Mapping[str, Any]], command: str) -> str:
    """The section on ablations: circumstances, networks side by side, and the recipe part by part."""
    base = found[BASE]
    sets = sorted(base["results"], key=lambda name: -_clips(base, name))
    parts = [
        f"{base['circumstances']} {_budget(base)}, seed {base['seed']}.",
        f"    {command}",
        _networks(found, sets[0]).markdown(),
        _recipe(found, sets).markdown(),
        _NOTES,
    ]
    return "\n\n".join(parts)


def _budget(base: Mapping[str, Any]) -> str:
    if base["minutes"] is not None:
        return f"{base['minutes']:g} minutes a training on {base['threads']} thread"
    return f"{base['streams']:,} streams of two seconds in a training"


def write_docs(text: str) -> None:
    """Replace the section's tables, leaving what people wrote around them."""
    write_between(DOCUMENT, "ablate", text, HEADING)


def _networks(found: Mapping[str, Mapping[str, Any]], name: str) -> Table:
    columns = ["network", "parameters", "TFLite / ONNX", "CPU per second of audio", "batches"]
    columns += ["clean, float", "clean, int8", f"{NOISY}, float", f"{NOISY}, int8"]
    rows = []
    for variant, facts in _finished(NETWORKS, found):
        cells = [variant.title, f"{facts['parameters']:,}", *_costs(facts), f"{facts['steps']:,}"]
        for condition in (CLEAN, NOISY):
            cells += [_share(facts, name, condition, form) for form in ("float", "int8")]
        rows.append(cells)
    return Table(columns, rows, f"Three networks, {name} ({_clips(found[BASE], name)} recordings)")


def _recipe(found: Mapping[str, Mapping[str, Any]], sets: Sequence[str]) -> Table:
    main = sets[0]
    columns = [
        "recipe",
        "clean",
        "against all",
        NOISY,
        "against all",
        *(f"{name}, clean" for name in sets[1:]),
    ]
    rows = []
    for variant, facts in _finished((Variant(BASE, "all of it", lambda setup: setup), *PARTS), found):
        cells = [variant.title]
        for condition in (CLEAN, NOISY):
            change = _accuracy(facts, main, condition) - _accuracy(found[BASE], main, condition)
            told = "" if variant.name == BASE else f"{100 * change:+.1f}"
            cells += [_share(facts, main, condition, _form(facts)), told]
        cells += [_share(facts, name, CLEAN, _form(facts)) for name in sets[1:]]
        rows.append(cells)
    return Table(columns, rows, f"The recipe without one of its parts, int8, first {main}")


def _finished(
    variants: Sequence[Variant], found: Mapping[str, Mapping[str, Any]]
) -> list[tuple[Variant, Mapping[str, Any]]]:
    return [(variant, found[variant.name]) for variant in variants if variant.name in found]


def _costs(facts: Mapping[str, Any]) -> list[str]:
    if "costs" not in facts:
        return ["refused", "refused"]
    graphs = [facts["costs"].get(runtime) for runtime in ("litert", "onnx")]
    sizes = " / ".join("-" if graph is None else f"{graph['kilobytes']} kB" for graph in graphs)
    times = " / ".join(
        "-" if graph is None else f"{graph['CPU ms per second of audio']} ms" for graph in graphs
    )
    return [sizes, times]


def _form(facts: Mapping[str, Any]) -> str:
    return "float" if "refused" in facts else "int8"


def _accuracy(facts: Mapping[str, Any], name: str, condition: str) -> float:
    return float(facts["results"][name][condition][_form(facts)]["accuracy"])


def _share(facts: Mapping[str, Any], name: str, condition: str, form: str) -> str:
    measured = facts["results"][name][condition].get(form)
    if measured is None:
        return "refused"
    low, high = (100 * bound for bound in measured["interval"])
    only = " in float only" if form == "float" and _form(facts) == "float" else ""
    return f"{100 * measured['accuracy']:.1f} % ({low:.1f} to {high:.1f}){only}"


def _clips(facts: Mapping[str, Any], name: str) -> int:
    return int(facts["results"][name][CLEAN]["float"]["clips"])

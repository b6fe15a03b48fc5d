"""``edgeaudio models``: what can be heard, and whether it still answers as it should."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from edgeaudio.cli.common import (
    harmless,
    json_option,
    log_level_option,
    print_json,
    print_table,
    quiet_libraries,
    seconds,
)
from edgeaudio.cli.progress import progress_bar

if TYPE_CHECKING:
    from edgeaudio.models.bundle import Bundle
    from edgeaudio.models.catalogue import ModelEntry
    from edgeaudio.models.manifest import ModelManifest

__all__ = ["models"]

_WORDS = {"ok": "ok", "failed": "FAIL", "skipped": "skipped"}


@click.group()
def models() -> None:
    """List, show, verify and add models."""


@models.command("list")
@json_option("Print a JSON array with one object a model.")
@log_level_option
def list_command(as_json: bool) -> None:
    """List the models that can be given to --model."""
    from edgeaudio.models.catalogue import list_models, search_path

    entries = list_models()
    if as_json:
        print_json([_entry_facts(entry) for entry in entries])
    elif not entries:
        click.echo(f"no models in {', '.join(map(str, search_path()))}")
    else:
        rows = [
            (entry.name, entry.manifest.kind, entry.manifest.version, _words(entry.manifest))
            if entry.manifest
            else (entry.name, "broken", "", "see: edgeaudio models verify " + entry.name)
            for entry in entries
        ]
        print_table(("name", "kind", "version", "hears"), rows)


@models.command("show")
@click.argument("model", metavar="NAME|PATH")
@json_option("Print one JSON object.")
@log_level_option
def show_command(model: str, as_json: bool) -> None:
    """Show the facts of a model: licence, data, labels, features, decision, results, sizes."""
    bundle = _load(model)
    if as_json:
        print_json({**_builtins(bundle.manifest), "path": str(bundle.path), "bytes": _sizes(bundle)})
        return
    facts = _facts(bundle)
    width = max(len(name) for name, _ in facts) + 2
    for name, fact in facts:
        click.echo(harmless(f"{name:<{width}}{fact}"))


@models.command("verify")
@click.argument("names", metavar="[NAME|PATH]...", nargs=-1)
@json_option("Print a JSON array with one object a check.")
@log_level_option
def verify_command(names: tuple[str, ...], as_json: bool) -> int:
    """Check models (all of them without a NAME) and replay their golden input on every runtime.

    The exit code is 5 when a check fails.
    """
    from edgeaudio.models.catalogue import list_models

    targets = names or tuple(entry.name for entry in list_models())
    failed = False
    records: list[dict[str, str]] = []
    with quiet_libraries():
        for target in targets:
            for name, outcome, detail in _checks(target):
                failed |= outcome == "failed"
                records.append({"model": target, "check": name, "outcome": outcome, "detail": detail})
                if not as_json:
                    click.echo(harmless(f"{target}  {name:<8}  {_WORDS[outcome]:<7}  {detail}"))
    if as_json:
        print_json(records)
    return 5 if failed else 0


@models.command("add")
@click.argument("source", metavar="PATH|URL")
@click.option("--name", help="What to call it. Default: the network's own name.")
@click.option("--sha256", help="Refuse a file with another checksum.")
@click.option(
    "--lookahead",
    metavar="SECONDS",
    type=seconds(0.1, 5.0),
    default=1.28,
    show_default=True,
    help="What is heard behind a chunk of 0.64 s before it is decided about.",
)
@click.option(
    "--float", "keep_float", is_flag=True, help="Do not quantize a float network: four times slower."
)
@log_level_option
def add_command(
    source: str, name: str | None, sha256: str | None, lookahead: float, keep_float: bool
) -> None:
    """Add QuartzNet, another project's network for captions, from its ONNX file.

    It becomes a model of yours beside the bundled ones, made to run on a stream. Where to get it, under
    which terms, and what it reaches: docs/quartznet.md.
    """
    from msgspec.structs import replace

    from edgeaudio.models.add import add_model, read_source
    from edgeaudio.models.quartznet import WINDOW

    # Whole output frames of 20 ms.
    window = replace(WINDOW, lookahead_ms=20.0 * round(lookahead / 0.02))
    with progress_bar("downloading") as bar:
        data = read_source(source, sha256=sha256, report=bar)
    click.echo(harmless(f"{source}: {len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}"))
    with quiet_libraries():
        folder = add_model(data, source, name=name, window=window, keep_float=keep_float)
    click.echo(harmless(f"wrote {folder}"))
    click.echo(f"Its licence is a matter between its publisher and you: edgeaudio models show {folder.name}")
    click.echo(f"Use it so: edgeaudio caption --model {folder.name}")


@models.command("remove")
@click.argument("name")
@log_level_option
def remove_command(name: str) -> None:
    """Delete a model that was added."""
    from edgeaudio.models.add import remove_model

    click.echo(harmless(f"removed {remove_model(name)}"))


def _load(name_or_path: str) -> Bundle:
    from edgeaudio.models.bundle import load_bundle
    from edgeaudio.models.catalogue import find_model

    return load_bundle(find_model(name_or_path))


def _facts(bundle: Bundle) -> list[tuple[str, str]]:
    manifest = bundle.manifest
    spec = manifest.frontend
    step_ms = spec.hop_ms * manifest.step_frames
    reach_s = spec.hop_ms * manifest.receptive_field_frames / 1000
    return [
        ("name", f"{manifest.name} {manifest.version} ({manifest.kind})"),
        ("about", manifest.description),
        ("hears", _words(manifest)),
        ("licence", manifest.licence),
        ("data", "; ".join(manifest.data)),
        (
            "features",
            f"{spec.features}, {spec.n_bands} bands, window {spec.window_ms:g} ms, hop {spec.hop_ms:g} ms",
        ),
        ("frontend", manifest.frontend_fingerprint[:12]),
        ("network", f"a step every {step_ms:g} ms, decides from the last {reach_s:.2f} s"),
        ("graphs", ", ".join(f"{file} {size / 1000:.0f} kB" for file, size in _sizes(bundle).items())),
        *((key, _flat(_builtins(value))) for key, value in _uses(manifest).items()),
        *((f"result {key}", _flat(value)) for key, value in manifest.results.items()),
        ("folder", str(bundle.path)),
    ]


def _checks(name_or_path: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, outcome and detail of every check; what cannot even be loaded is one failed check."""
    from edgeaudio.errors import ModelError
    from edgeaudio.models.catalogue import find_model
    from edgeaudio.models.verify import verify

    find_model(name_or_path)  # a name that does not exist is a usage error, not a failed check
    try:
        bundle = _load(name_or_path)
    except ModelError as error:
        yield "bundle", "failed", str(error)
        return
    for check in verify(bundle):
        yield check.name, check.outcome, check.detail


def _uses(manifest: ModelManifest) -> dict[str, Any]:
    """Say how the network's answers become events."""
    uses = {
        "decision": manifest.decision,
        "captions": manifest.captions,
        "activity": manifest.activity,
    }
    return {key: value for key, value in uses.items() if value is not None}


def _silent(manifest: ModelManifest) -> list[str]:
    deciding = manifest.decision or manifest.activity
    return list(deciding.silent_labels) if deciding else []


def _words(manifest: ModelManifest) -> str:
    if manifest.captions is None:
        return " ".join(manifest.spotted)
    units = manifest.captions.units
    return (
        f"speech in {len(manifest.labels) - 1} {units}, words of {manifest.captions.language or 'any kind'}"
    )


def _sizes(bundle: Bundle) -> dict[str, int]:
    graphs = (bundle.manifest.graphs.onnx, bundle.manifest.graphs.tflite)
    return {graph.file: (bundle.path / graph.file).stat().st_size for graph in graphs if graph}


def _builtins(value: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(value)


def _entry_facts(entry: ModelEntry) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": entry.name, "path": str(entry.path), "error": entry.error}
    if entry.manifest:
        manifest = entry.manifest
        facts |= {
            "kind": manifest.kind,
            "version": manifest.version,
            "licence": manifest.licence,
            "description": manifest.description,
            "labels": list(manifest.labels),
            "silent_labels": _silent(manifest),
        }
    return facts


def _flat(value: Any) -> str:
    """Write nested facts in one line: ``threshold 0.5, clips (yes 12, no 8)``."""
    if isinstance(value, dict):
        parts = [
            f"{key} ({_flat(item)})" if isinstance(item, dict) else f"{key} {_flat(item)}"
            for key, item in value.items()
        ]
        return ", ".join(parts)
    if isinstance(value, (list, tuple)):
        return " ".join(map(_flat, value))
    return f"{value:g}" if isinstance(value, float) else str(value)

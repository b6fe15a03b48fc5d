"""The card of a model: ``README.md`` in its bundle, from what the bundle knows about itself."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeaudio.errors import OutputError
from edgeaudio.models.manifest import MANIFEST_FILE, ModelManifest, load_manifest
from edgeaudio.training.card_results import result_lines

__all__ = ["RECIPE", "Ingredient", "ingredients", "render_card", "write_card"]

RECIPE = (
    "Recordings are laid at random places into streams of two seconds, with other words, running speech "
    "and pauses around them, played 13 % slower to 15 % faster, then put into rooms, noise (-5 to 25 dB), "
    "microphone and telephone colours, codecs, clipping, and levels down to -40 dBFS, and heard as of other "
    "vocal tracts, with bands and moments hidden; this grows over the first part of the training. The "
    "network answers from 40 ms before to 200 ms after a word's end. While it trains, it also learns to say "
    "what phones the shipped recogniser hears in the same speech; nothing of that is exported. Several times "
    "what it mistook for a word in all other speech is collected and shown to it more often. The weights "
    "are the mean over the last 15 % of the training; batch norm is measured again and folded; weights "
    "and activations are quantized to int8 with scales from 128 such streams."
)

_LIMITS = {
    "commands": (
        'A word inside a sentence counts as said: "go" in "let us go" may be answered.',
        "Words that sound alike (no and go, up and off) are confused first.",
        "It was trained on English words, most of them said by adults into near microphones.",
    ),
    "wake": (
        "It learned the word mostly from speech synthesisers, so that some voices and accents will be missed "
        "more often than measured here.",
        "False alarms were counted over hours, not weeks, of recordings; no television is among them.",
        "It does not know who speaks, and a recording of the word wakes it as the word does.",
    ),
}

_WAVEFORM_LIMIT = (
    "It hears samples in eight bits, so quiet speech drowns in rounding: bring speech to peaks of -20 dBFS "
    "or more."
)


@dataclass(frozen=True)
class Ingredient:
    """Recordings of one corpus; sources and licences as its manifest names them."""

    corpus: str
    clips: int
    sources: str
    licences: str


def ingredients(manifests: Iterable[Path], used: Mapping[str, int]) -> list[Ingredient]:
    """What the manifests say about the corpora that were used (``used[corpus]`` recordings)."""
    found = []
    for manifest in manifests:
        corpus = manifest.parent.name
        if corpus not in used:
            continue
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        sources, licences = (
            "; ".join(dict.fromkeys(row.get(column) or "not stated" for row in rows))
            for column in ("source", "licence")
        )
        found.append(Ingredient(corpus, used[corpus], sources, licences))
    return found


def render_card(
    manifest: ModelManifest, parts: Sequence[Ingredient], recipe: str, limits: Sequence[str] = ()
) -> str:
    """Markdown with purpose, results, data and its licences, recipe and limits: its kind's, unless given."""
    heard = ", ".join(manifest.spotted)
    reach_s = manifest.receptive_field_frames * manifest.frontend.hop_ms / 1000
    features = (
        "raw samples, no spectrogram"
        if manifest.frontend.features == "waveform"
        else f"{manifest.frontend.n_bands} {manifest.frontend.features.replace('_', '-')} bands"
    )
    lines = [
        f"# {manifest.name}",
        "",
        manifest.description,
        "",
        f"Hears: {heard}. Version {manifest.version}, licence {manifest.licence}. A causal CNN on "
        f"{features}, int8, one step every {manifest.step_frames * manifest.frontend.hop_ms:g} ms, "
        f"deciding from the last {reach_s:.2f} s.",
        "",
        "## Measured",
        "",
        "Intervals are 95 % (Wilson; for rates Garwood) and take recordings as independent; they are wider "
        "where a few speakers said many. Held out means: no recording of these speakers, or where the "
        "speaker is unknown none of these recordings, was trained on.",
        "",
        *result_lines(manifest.results),
        "",
        "## Trained on",
        "",
        "| corpus | recordings | licence | source |",
        "|---|---|---|---|",
        *(f"| {p.corpus} | {p.clips} | {p.licences} | {p.sources} |" for p in parts),
        "",
        "## Recipe",
        "",
        recipe,
        "",
        "## What it cannot do",
        "",
        *(f"- {limit}" for limit in limits or _LIMITS[manifest.kind]),
        *([f"- {_WAVEFORM_LIMIT}"] if manifest.frontend.features == "waveform" else []),
    ]
    return "\n".join(lines) + "\n"


def write_card(folder: Path, parts: Sequence[Ingredient], recipe: str, *, limits: Sequence[str] = ()) -> Path:
    """Write ``README.md`` into a bundle's folder; the arguments are those of :func:`render_card`.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    path = folder / "README.md"
    card = render_card(load_manifest(folder / MANIFEST_FILE), parts, recipe, limits)
    try:
        path.write_text(card, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    return path

"""The card of a VAD: ``README.md`` in its bundle, from what the bundle knows about itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeaudio.errors import OutputError
from edgeaudio.models.manifest import MANIFEST_FILE, ModelManifest, load_manifest
from edgeaudio.training.card import Ingredient

__all__ = ["write_vad_card"]

_RECIPE = (
    "Pieces of recordings are laid into streams of five seconds with pauses of 0.15 to 3 s between them; "
    "one stream in seven holds no speech. Single sounds are laid in at -20 to 8 dB, then come rooms, noise "
    "at -5 to 40 dB (recordings at several speeds, voices of eight to 24 people at once, and made music, "
    "engines, alarms, sweeps, typing, hum), microphone and telephone colours, codecs, clipping, and peaks of "
    "-50 to 0 dBFS. "
    "Streams are heard again at other levels, as of other vocal tracts, with bands and moments hidden. What "
    "is speech is found by its level in the clean recording, as edgeaudio evaluate vad finds it; recordings "
    "whose background is less than 25 dB softer than their speech are left out. The network is asked about "
    "the moment 60 ms ago. The weights are the mean over the last 15 % of the training; batch norm is "
    "measured again and folded; weights and activations are quantized to int8."
)
_FACTS = {"int8": "What eight bits cost", "costs": "Size and time", "training": "Training"}
_LIMITS = (
    "Speech in the background, a television or singing is speech to it; babble of many voices mostly is not.",
    "It was trained on English. What it knows of speech holds for other languages, but was not measured.",
    "Sounds that voices make without speaking, such as laughing or coughing, may be taken for speech.",
)


def write_vad_card(folder: Path, parts: Sequence[Ingredient]) -> Path:
    """Write ``README.md`` into a bundle's folder.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    path = folder / "README.md"
    card = "\n".join(_lines(load_manifest(folder / MANIFEST_FILE), parts)) + "\n"
    try:
        path.write_text(card, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def _lines(manifest: ModelManifest, parts: Sequence[Ingredient]) -> Iterator[str]:
    reach_s = manifest.receptive_field_frames * manifest.frontend.hop_ms / 1000
    every_ms = manifest.stride * manifest.frontend.hop_ms
    yield from (f"# {manifest.name}", "", manifest.description, "")
    yield (
        f"Version {manifest.version}, licence {manifest.licence}. A causal CNN on "
        f"{manifest.frontend.n_bands} log-mel bands, int8, a posterior every {every_ms:g} ms from the last "
        f"{reach_s:.2f} s."
    )
    yield from ("", "## Measured", "")
    yield from _measured(manifest.results)
    yield from ("", "## Trained on", "", "| corpus | recordings | licence | source |", "|---|---|---|---|")
    yield from (f"| {p.corpus} | {p.clips} | {p.licences} | {p.sources} |" for p in parts)
    yield from ("", "## Recipe", "", _RECIPE, "", "## What it cannot do", "")
    yield from (f"- {limit}" for limit in _LIMITS)


def _measured(results: Mapping[str, Any]) -> Iterator[str]:
    with_, activity = results["measured with"], results["threshold"]
    yield (
        f"{with_['speech']}, with {with_['noise']} of noise, as `edgeaudio evaluate vad` measures: in "
        "frames of 10 ms, the truth found by the level of the clean recording, answers judged as if given a "
        "constant time earlier. Intervals are 95 %, by a bootstrap over speakers. "
        f"Threshold {activity['threshold']:g}, {activity['chosen']}. Delays are those of `SpeechStart` and "
        "`SpeechEnd`, medians and 95 %."
    )
    yield ""
    columns = (
        "noise",
        "area under the curve",
        "missed",
        "false alarms",
        "start told after",
        "end told after",
    )
    yield f"| {' | '.join((*columns, 'area, float'))} |"
    yield "|---" * 7 + "|"
    for name, row in results["speech in noise"].items():
        cells = (_area(row), _rate(row, "miss"), _rate(row, "false_alarm"))
        delays = (_delay(row[key]) for key in ("start_delay_s", "end_delay_s"))
        yield f"| {name} | {' | '.join((*cells, *delays))} | {row['auc_float']:.4f} |"
    for name, title in _FACTS.items():
        yield from ("", f"### {title}", "")
        yield from (f"- {key}: {_phrase(value)}" for key, value in results[name].items())


def _delay(found: Mapping[str, Any] | None) -> str:
    return "" if found is None else f"{found['median']:.2f} s, {found['p95']:.2f} s"


def _area(row: Mapping[str, Any]) -> str:
    low, high = row["auc_interval"]
    return f"{row['auc']:.4f} ({low:.4f} to {high:.4f})"


def _rate(row: Mapping[str, Any], name: str) -> str:
    low, high = row[f"{name}_interval"]
    return f"{row[f'{name}_rate']:.1%} ({low:.1%} to {high:.1%})"


def _phrase(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {inner}" for name, inner in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)

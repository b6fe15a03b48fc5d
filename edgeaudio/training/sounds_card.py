"""The card of a model of sounds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgeaudio.errors import OutputError
from edgeaudio.models.manifest import MANIFEST_FILE, ModelManifest, load_manifest
from edgeaudio.training.card import Ingredient
from edgeaudio.training.card_results import result_lines

__all__ = ["write_sounds_card"]

_RECIPE = (
    "Recordings are played 20 % slower to 25 % faster, and some of them are put into rooms. Examples are "
    "four seconds long; half of them have a second sound, 12 dB below to 6 dB above the first one, a third "
    "have noise; all have another level and the colour of another microphone, and most hide two stretches of "
    "bands and two of time. Where a recording is quiet, its label does not count. The loss is the binary "
    "cross entropy of every output, and the cross entropy of each example's mean logits where anything "
    "sounds. The weights are the mean over the last fifth of the training; batch norm is measured again and "
    "folded; weights and activations are quantized to int8. The network was trained once for each fold "
    "without that fold, which is what was measured, and once on all folds for as long, which is what is here."
)
_PCEN = (
    " The parameters of the per-channel energy normalisation are learnt with the network: smoothing {0:.3g}, "
    "gain {1:.3g}, bias {2:.3g}, root {3:.3g}."
)
_LIMITS = (
    "It learned each sound from a few dozen recordings. Others of the same name, another dog or another "
    "clock, will be missed more often than the recordings measured here, which were made to be heard "
    "clearly.",
    "It knows no sound but these. What resembles one of them is taken for it: a running tap for rain, a lawn "
    "mower for a chainsaw, wind for the sea.",
    "Two sounds at once are told only where both are clearly audible.",
    "It is no alarm device: let nobody's safety depend on it.",
)


def write_sounds_card(folder: Path, parts: Sequence[Ingredient], folds: Sequence[str]) -> None:
    """Write ``README.md`` into a bundle's folder.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    path = folder / "README.md"
    try:
        path.write_text(_render(load_manifest(folder / MANIFEST_FILE), parts, folds), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def _render(manifest: ModelManifest, parts: Sequence[Ingredient], folds: Sequence[str]) -> str:
    hop_ms, activity = manifest.frontend.hop_ms, manifest.stretches
    thresholds = ", ".join(
        f"{label} {activity.thresholds.get(label, activity.threshold):g}" for label in manifest.spotted
    )
    lines = [
        f"# {manifest.name}",
        "",
        manifest.description,
        "",
        f"Version {manifest.version}, licence {manifest.licence}. A causal CNN, over time and bands first "
        f"and over time alone behind that, on {manifest.frontend.n_bands} {_features(manifest)} bands; "
        f"int8; one answer every {manifest.stride * hop_ms:g} ms, from the last "
        f"{manifest.receptive_field_frames * hop_ms / 1000:.2f} s. Labels are independent of each other: "
        f"several may be on. `{', '.join(activity.silent_labels)}` is no event.",
        "",
        "## Measured",
        "",
        f"Cross-validated over {len(folds)} folds: each recording is judged by a network that never heard "
        "its fold, in int8 as it runs live. Intervals are 95 % (Wilson; for rates Garwood) and take "
        "recordings as independent. The answer for a whole recording is the label of the highest score, "
        "each score the mean of the label's posteriors weighted by themselves.",
        "",
        *result_lines(manifest.results),
        "",
        "Live events are what the thresholds make of the same recordings, on which they were chosen; an hour "
        "of these is denser with other sounds than an hour at home: the recordings of the other sounds, "
        f"cries, speech, and noises such as taps, dishes and music. Thresholds: {thresholds}.",
        "",
        "## Trained on",
        "",
        "| corpus | recordings | licence | source |",
        "|---|---|---|---|",
        *(f"| {p.corpus} | {p.clips} | {p.licences} | {p.sources} |" for p in parts),
        "",
        "## Recipe",
        "",
        _RECIPE + _learnt(manifest),
        "",
        "## What it cannot do",
        "",
        *(f"- {limit}" for limit in _LIMITS),
    ]
    return "\n".join(lines) + "\n"


def _features(manifest: ModelManifest) -> str:
    return "PCEN" if manifest.frontend.features == "pcen" else "log-mel"


def _learnt(manifest: ModelManifest) -> str:
    spec = manifest.frontend
    if spec.features != "pcen":
        return ""
    return _PCEN.format(spec.pcen_smoothing, spec.pcen_gain, spec.pcen_bias, spec.pcen_root)

"""The card of a speaker model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeaudio.errors import OutputError
from edgeaudio.models.manifest import ModelManifest
from edgeaudio.training.card import ingredients
from edgeaudio.training.speaker_data import People, SpeakerJob

__all__ = ["write_speaker_card"]

_RECIPE = (
    "Each batch holds two crops of 1 to 3 s of some people of two corpora, of different recordings where "
    "there are several; everybody's second crop must be found among those of the same corpus, by the "
    "cosine of their embeddings (angular prototypical loss, with a margin in the second half). The corpus "
    "itself, that is its microphones, is never a reason. Everybody may have a vocal tract 11 % longer or "
    "shorter in both crops: then it is somebody else. Short recordings of one person are joined. Each "
    "crop for itself is played up to 14 % slower or faster, through coloured microphones and telephones, "
    "in rooms, in noise and some babble (2 to 30 dB), with bands and times hidden, all of it in the mel "
    "domain and growing over the first part of the training. What comes out of the last layer in each "
    "frame is weighted by the network's one posterior; its mean and standard deviation over a stretch of "
    "speech are projected by the trained layer and by linear discriminant analysis, and made equally "
    "long. Two of them are compared by two covariances (probabilistic linear discriminant analysis). The "
    "learning rate falls to a hundredth; the weights are the mean over the last 15 % of the training; "
    "batch norm is measured again and folded; weights and activations are quantized to int8."
)
_LIMITS = (
    "It is no authentication. A recording of a voice has that voice, and so has a good imitation or a "
    "synthesised copy; and of all strangers as many pass as its threshold says. Let nothing depend on it "
    "that somebody might want to get at.",
    "Brothers, sisters, parents and children of one house are more alike than the strangers it was "
    "measured with; nobody measured how much.",
    "Enrolment and use through one microphone, in one room, is what was measured. Another microphone, a "
    "cold, whispering, shouting and years in between make misses more frequent.",
    "Three seconds of speech are what its thresholds are for; with less it errs more (see above), and below "
    "{least:g} s it gives no answer.",
    "It was trained on English. Other languages were not measured.",
)


def write_speaker_card(job: SpeakerJob, people: People, manifest: ModelManifest) -> None:
    """Write ``README.md`` into the folder of a job's bundle.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    path = job.output / "README.md"
    try:
        path.write_text(_render(manifest, job, people), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def _render(manifest: ModelManifest, job: SpeakerJob, people: People) -> str:
    voices = manifest.telling
    heard = {family.name: len(family.people) for family in people.training}
    measured = {name: value for name, value in manifest.results.items() if "eer" in value}
    others = sorted({key for value in measured.values() for key in value if key.startswith("eer_")})
    # Level by level, since ** does not go through links.
    depths = ("", "*/", "*/*/", "*/*/*/")
    manifests = (
        sorted(p for depth in depths for p in job.data.glob(f"{depth}manifest.tsv")) if job.data else []
    )
    known = ingredients(manifests, people.used)
    costs, origin = manifest.results["costs"], manifest.results["training"]
    frame_ms = manifest.frontend.hop_ms
    least = voices.least_speech_ms / 1000
    return "\n".join([
        f"# {manifest.name}",
        "",
        manifest.description,
        "",
        f"Version {manifest.version}, licence {manifest.licence}. A causal 1-D CNN on "
        f"{manifest.frontend.n_bands} log-mel bands, int8, {costs['parameters']:,} parameters; every "
        f"{manifest.step_frames * frame_ms:g} ms it answers for frames of {manifest.stride * frame_ms:g} ms, "
        f"from the last {manifest.receptive_field_frames * frame_ms / 1000:.2f} s.",
        "",
        *(
            f"{runtime}: {cost['kilobytes']} kB, {cost['CPU ms per second of audio']:g} ms of CPU "
            "for a second of audio, frontend included."
            for runtime, cost in costs.items()
            if isinstance(cost, Mapping)
        ),
        f"Measured on {origin['device']}, {origin['date']}.",
        "",
        "## Measured",
        "",
        f"Two pieces of {voices.seconds:g} s each, sound and pauses, of one person or of two of the same "
        "corpus; nobody of them was trained on. The equal error rate (EER) is where as many are refused as "
        "strangers are accepted; its interval is 95 %, by drawing people anew.",
        "",
        "| people of | people | pairs of one, of two | EER | 95 % | "
        + " | ".join(f"EER, {key[4:-1]} s" for key in others)
        + " |",
        "|---|---|---|---|---|" + "---|" * len(others),
        *(_row(name, value, others) for name, value in measured.items()),
        "",
        *_one_recording(measured),
        "Thresholds: chosen on one half of these people and counted on the other, and the other way round, "
        "for all corpora alike. What is promised is a mean over corpora: one passes more, another less.",
        "",
        "| people of | promised 1 %: strangers who pass | own pieces missed "
        "| promised 5 %: strangers who pass | own pieces missed |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | {value['false accepts at 1%']:.1%} | {value['misses at 1%']:.1%} "
            f"| {value['false accepts at 5%']:.1%} | {value['misses at 5%']:.1%} |"
            for name, value in measured.items()
        ),
        "",
        "## Trained on",
        "",
        f"{sum(heard.values())} people: {', '.join(f'{count} of {name}' for name, count in heard.items())}; "
        f"{origin['length']}.",
        "",
        "| corpus | recordings | licence | source |",
        "|---|---|---|---|",
        *(f"| {p.corpus} | {p.clips} | {p.licences} | {p.sources} |" for p in known),
        "",
        "## Recipe",
        "",
        _RECIPE,
        "",
        "## What it cannot do",
        "",
        *(f"- {limit.format(least=least)}" for limit in _LIMITS),
        "",
    ])  # fmt: skip


def _row(name: str, value: Mapping[str, Any], others: list[str]) -> str:
    low, high = value["interval"]
    further = " | ".join(f"{value[key]:.1%}" if key in value else "" for key in others)
    return (
        f"| {name} | {value['speakers']} | {value['pairs of one']}, {value['pairs of two']} "
        f"| **{value['eer']:.1%}** | {low:.1%} to {high:.1%} | {further} |"
    )


def _one_recording(measured: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Say where microphone and room helped."""
    lines = []
    for name, value in measured.items():
        if value["from one recording"]:
            part = value["from one recording"] / value["pairs of one"]
            lines += [
                f"Of {name}'s pairs of one person {part:.0%} come from a single recording, "
                "for want of another: room and microphone are the same there, which flatters.",
                "",
            ]
    return lines

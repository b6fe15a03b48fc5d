"""The card of a recogniser."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeaudio.errors import OutputError
from edgeaudio.models.manifest import MANIFEST_FILE, ModelManifest, load_manifest
from edgeaudio.training.captions import CaptionsJob, Speech
from edgeaudio.training.card import ingredients

__all__ = ["write_captions_card"]

_RECIPE = (
    "Phones are learned by connectionist temporal classification from whole utterances, with a second "
    "loss half way up the network; a word's pronunciation is drawn anew each time from those that the "
    "dictionary lists, or guessed from its spelling. Utterances are first clean, until the alignment "
    "stands; then they are played up to 14 % slower or faster, by other vocal tracts, through coloured "
    "microphones and telephones, in rooms, in noise and babble (2 to 30 dB), with bands and times hidden, "
    "all of it in the mel domain and growing over the first third of the training. The learning rate falls "
    "to a hundredth; the weights are the mean over the last 15 % of the training; batch norm is measured "
    "again and folded; weights and activations are quantized to int8."
)
_LIMITS = (
    "It is small and has heard little: it is meant for orders in a closed grammar and for rough captions. "
    "Where every word counts, use a larger network; docs/captions.md tells how.",
    "It hears best what it was trained on, see above. Conversation, children, other accents and far "
    "microphones are harder.",
    "Words that its lexicon lacks come out as others that sound alike: name them as hotwords.",
    "It knows no punctuation, no speakers and no other languages.",
)
_REMARKS = {
    "machine transcripts": "A set named machine transcripts is compared with what another recogniser wrote, "
    "which is wrong here and there itself.",
    "synthetic": "Synthetic speech is of a voice never trained on.",
    "known speakers": "In a set named known speakers other recordings of the same people were trained on, "
    "which flatters.",
}


def write_captions_card(job: CaptionsJob, speech: Speech) -> Path:
    """Write ``README.md`` into the folder of a job's bundle.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    path = job.output / "README.md"
    try:
        path.write_text(_render(load_manifest(job.output / MANIFEST_FILE), job, speech), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def _render(manifest: ModelManifest, job: CaptionsJob, speech: Speech) -> str:
    captions = manifest.recognition
    reach_s = manifest.receptive_field_frames * manifest.frontend.hop_ms / 1000
    used: dict[str, int] = {}
    for utterance in speech.training:
        used[utterance.corpus] = used.get(utterance.corpus, 0) + 1
    hours = sum(utterance.seconds for utterance in speech.training) / 3600
    measured = {name: value for name, value in manifest.results.items() if "wer" in value}
    length = f"{job.minutes:g} minutes" if job.minutes is not None else f"{job.epochs} epochs"
    return "\n".join([
        f"# {manifest.name}",
        "",
        manifest.description,
        "",
        f"Version {manifest.version}, licence {manifest.licence}. A causal 1-D CNN on "
        f"{manifest.frontend.n_bands} log-mel bands, int8; every "
        f"{manifest.step_frames * manifest.frontend.hop_ms:g} ms it answers for frames of "
        f"{manifest.stride * manifest.frontend.hop_ms:g} ms, from the last {reach_s:.2f} s and without "
        f"look-ahead; its outputs come {captions.delay_ms:.0f} ms late, which word times allow for. Tokens: "
        f"blank and 39 phones; words by the lexicon and language model {captions.language}.",
        "",
        "## Measured",
        "",
        "| recordings | speakers | words | word errors, live | 95 % interval | offline, int8 "
        "| offline, float | phone errors, int8 | float |",
        "|---|---|---|---|---|---|---|---|---|",
        *(_row(name, value) for name, value in measured.items()),
        "",
        "Live is what `edgeaudio evaluate captions` counts: committed words. Offline decodes each "
        "recording at once, without the gate against noise. Intervals are a bootstrap over speakers. "
        "Nothing of these recordings was trained on, nor, unless said here, anything else of who speaks in "
        "them; but they chose the search settings, so that the figures lean to the favourable side.",
        "",
        *(remark for name, remark in _REMARKS.items() if any(name in one for one in measured)),
        "",
        _confidences(manifest.results.get("confidence")),
        "",
        "## Trained on",
        "",
        f"{len(speech.training)} recordings, {hours:.1f} h, for {length}.",
        "",
        "| corpus | recordings | licence | source |",
        "|---|---|---|---|",
        *_corpora(job, used),
        "",
        "## Recipe",
        "",
        _RECIPE,
        "",
        "## What it cannot do",
        "",
        *(f"- {limit}" for limit in _LIMITS),
        "",
    ])  # fmt: skip


def _confidences(fitted: Mapping[str, Any] | None) -> str:
    if fitted is None:
        return "Confidences are not calibrated: too few words to do so."
    return (
        f"Confidences: on the {fitted['words']} words that they were fitted to they are off by "
        f"{fitted['calibration_error']:.1%} on average."
    )


def _row(name: str, value: Mapping[str, Any]) -> str:
    low, high = value["interval"]
    return (
        f"| {name} | {value['speakers']} | {value['words']} "
        f"| **{value['wer']:.1%}** | {low:.1%} to {high:.1%} "
        f"| {value['wer_offline_int8']:.1%} | {value['wer_offline_float']:.1%} "
        f"| {value['phone_errors_int8']:.1%} | {value['phone_errors_float']:.1%} |"
    )


def _corpora(job: CaptionsJob, used: Mapping[str, int]) -> list[str]:
    """Real corpora one by one as their manifests describe them, synthetic speech by its engine."""
    manifests = sorted(job.data.glob("**/manifest.tsv")) if job.data else []
    known = ingredients(manifests, used)
    rows = [f"| {p.corpus} | {p.clips} | {p.licences} | {p.sources} |" for p in known]
    others = dict(used)
    for part in known:
        others.pop(part.corpus)
    made: dict[str, int] = {}
    for corpus, count in others.items():
        engine = corpus.rsplit("-", 1)[0]
        made[engine] = made.get(engine, 0) + count
    return rows + [f"| {name} | {count} | synthetic, made by edgeaudio | |" for name, count in made.items()]

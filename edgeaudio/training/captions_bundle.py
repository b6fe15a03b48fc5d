"""From a trained recogniser to its bundle: export, the choice of search settings, measures, card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from edgeaudio.decoding.base import LogProbs, Word
from edgeaudio.decoding.language import Language
from edgeaudio.decoding.search import LexiconDecoder
from edgeaudio.decoding.text import normalise
from edgeaudio.errors import InputError
from edgeaudio.evaluation.alignment import Pair, align, distance
from edgeaudio.evaluation.calibration import Calibration, fit_confidence
from edgeaudio.evaluation.captions import evaluate_captions
from edgeaudio.evaluation.manifest import read_clip
from edgeaudio.frontend import Frontend
from edgeaudio.models.catalogue import find_language
from edgeaudio.models.manifest import Captions, Search
from edgeaudio.tasks.acoustic import StreamingAcoustic
from edgeaudio.tasks.loading import load_acoustic
from edgeaudio.tasks.recognizer import Recognizer
from edgeaudio.training.build import Reporter
from edgeaudio.training.captions import (
    BLANK,
    FRONTEND,
    SYNTHETIC,
    TAIL_FRAMES,
    TOKENS,
    CaptionsJob,
    Speech,
    batches,
)
from edgeaudio.training.captions_card import write_captions_card
from edgeaudio.training.corpus import word_bounds
from edgeaudio.training.ctc import CaptionNet, best_path
from edgeaudio.training.export import update_manifest, write_bundle
from edgeaudio.training.nets import to_graph
from edgeaudio.training.utterances import Utterance
from edgeaudio.types import SAMPLE_RATE_HZ, Frames

__all__ = ["Heard", "choose_search", "finish", "hear", "outputs_late_ms", "word_errors"]

STEP_FRAMES = 16
"""160 ms at once, the engine's hop of 80 ms twice."""
_CALIBRATION_FRAMES = 16_000
_CALIBRATION_STRENGTH = 0.3
_MIN_SNR_DB = 10.0
"""Tokens are spikes between blanks: most of the logits' power is in those that never win, where a
coarser step costs nothing. What int8 costs is measured in words."""
_TUNED_ON = 40
"""So many recordings of each set choose the search settings: they are decoded two dozen times."""
_FEW_SPEAKERS = 20
"""A set with fewer says more about these than about speech."""
_MEASURED_ON = 250
_DELAYS_FROM = 300
_CHOICES = {
    "blank_scale": (1.0, 0.5, 0.3, 0.15, 0.08, 0.04),
    "language_weight": (0.5, 0.65, 0.8, 1.0, 1.25),
    "word_bonus": (-1.0, -0.5, 0.0, 0.5, 1.0, 2.0),
}
_ROUNDS = 2


@dataclass(frozen=True)
class Heard:
    """What a network says to a recording, ``[n, n_tokens]``, and what was said in it."""

    log_probs: LogProbs
    words: list[str]
    phones: list[int]


def finish(job: CaptionsJob, speech: Speech, net: CaptionNet, reporter: Reporter) -> dict[str, Any]:
    """Write the bundle ``job.output`` with everything measured, and its card; returns the measures.

    Raises
    ------
    ModelError
        The exported forms do not agree.
    OutputError
        The folder cannot be written.
    """
    captions = Captions(units="phones", blank=BLANK, language=job.language)
    _export(job, speech, net, captions, reporter)
    words = _sample([u for u in speech.training if not u.row.text] or speech.training, _DELAYS_FROM)
    captions = msgspec.structs.replace(captions, delay_ms=outputs_late_ms(job.output, words))
    update_manifest(job.output, captions=captions)
    samples = {corpus: _sample(kept, _MEASURED_ON) for corpus, kept in speech.development.items()}
    tuned_on = [u for kept in _of_people(samples).values() for u in _sample(kept, _TUNED_ON)]
    acoustic = _acoustic(job.output)
    heard = [hear(acoustic, utterance) for utterance in tuned_on]
    language = Language.load(find_language(job.language))
    search = choose_search(language, heard, Search(), reporter)
    calibration = _confidence(language, heard, search)
    captions = msgspec.structs.replace(captions, search=search)
    if calibration is not None:
        captions = msgspec.structs.replace(
            captions, confidence_scale=calibration.scale, confidence_offset=calibration.offset
        )
    update_manifest(job.output, captions=captions)
    results = _measure(job, net, language, search, samples, reporter=reporter)
    if calibration is not None:
        results["confidence"] = {"calibration_error": round(calibration.error, 4), "words": calibration.words}
    update_manifest(job.output, results=results)
    write_captions_card(job, speech)
    return results


def _of_people(samples: dict[str, list[Utterance]]) -> dict[str, list[Utterance]]:
    """The sets that settings are chosen on: those of several people, or what there is."""
    spoken = {
        corpus: kept
        for corpus, kept in samples.items()
        if corpus != SYNTHETIC and len({u.row.speaker for u in kept}) >= _FEW_SPEAKERS
    }
    return spoken or samples


def _export(
    job: CaptionsJob, speech: Speech, net: CaptionNet, captions: Captions, reporter: Reporter
) -> None:
    source = batches(job, speech, reporter, workers=0)
    source.strength = _CALIBRATION_STRENGTH
    calibration: list[Frames] = []
    for batch in source:
        calibration += [own[:n].numpy() for own, n in zip(batch.frames, batch.n_frames.tolist(), strict=True)]
        if sum(map(len, calibration)) > _CALIBRATION_FRAMES:
            break
    agreement = write_bundle(
        replace(to_graph(net), embedding=None),  # nobody asks a recogniser for it
        calibration,
        out_dir=job.output,
        name=job.output.name,
        kind="captions",
        version="1.0.0",
        description="Writes down English speech as it is spoken: streaming CTC over phones.",
        licence="Apache-2.0",
        data=sorted({u.corpus for u in speech.training}),
        frontend=FRONTEND,
        labels=TOKENS,
        activation="softmax",
        step_frames=STEP_FRAMES,
        captions=captions,
        min_snr_db=_MIN_SNR_DB,
    )
    reporter.tell(
        f"int8 against float: {agreement.snr_db:.1f} dB, same token in {agreement.same_best:.1%} of frames"
    )


def _sample(utterances: Sequence[Utterance], n: int) -> list[Utterance]:
    """At most ``n`` of them, always the same, from as many speakers as there are."""
    order = np.random.default_rng(2).permutation(len(utterances))
    seen: dict[str, int] = {}
    ranked: list[tuple[int, int, int]] = []
    for i in order:
        speaker = utterances[i].row.speaker
        seen[speaker] = seen.get(speaker, 0) + 1
        ranked.append((seen[speaker], len(ranked), int(i)))
    return [utterances[i] for _, _, i in sorted(ranked)[:n]]


def _acoustic(folder: Path) -> StreamingAcoustic:
    acoustic, _, _ = load_acoustic(folder, language=None, backend="onnx")
    if not isinstance(acoustic, StreamingAcoustic):
        raise TypeError(f"{folder} is no streaming model")
    return acoustic


def hear(acoustic: StreamingAcoustic, utterance: Utterance) -> Heard:
    """Run the exported network over one recording, from a fresh state."""
    acoustic.reset()
    first = acoustic.process(Frontend(acoustic.spec).process(read_clip(utterance.row))).copy()
    return _heard(np.concatenate((first, acoustic.flush())), utterance)


def _hear_float(net: CaptionNet, utterance: Utterance) -> Heard:
    """The same before quantization; silence follows, as what was said comes out late."""
    frames = Frontend(FRONTEND).process(read_clip(utterance.row))
    quiet = frames.min(axis=0, initial=net.spec.input_mean, keepdims=True)
    frames = np.concatenate((frames, np.repeat(quiet, TAIL_FRAMES, axis=0)))
    whole = torch.from_numpy(frames[: len(frames) // net.spec.stride * net.spec.stride])
    with torch.no_grad():
        logits = net(whole[None].to(next(net.parameters()).device))
    return _heard(logits[0].log_softmax(-1).cpu().numpy(), utterance)


def _heard(log_probs: LogProbs, utterance: Utterance) -> Heard:
    words = normalise(" ".join(utterance.words))
    return Heard(log_probs, words, utterance.tokens().tolist())


def outputs_late_ms(folder: Path, utterances: Sequence[Utterance]) -> float:
    """How late outputs come: the middle of the tokens against the middle of the sound, a median.

    Only recordings count whose tokens are all right; without any it is 0.
    """
    acoustic = _acoustic(folder)
    frame_ms = 1000 * acoustic.frame_samples / SAMPLE_RATE_HZ
    late = []
    for utterance in utterances:
        heard = hear(acoustic, utterance)
        spoken = np.flatnonzero(heard.log_probs.argmax(axis=1))
        start, end = word_bounds(np.asarray(read_clip(utterance.row) * 32767.0, np.int16))
        if len(spoken) and best_path(heard.log_probs) == heard.phones:
            middle_ms = (spoken[0] + spoken[-1] + 1) / 2 * frame_ms
            late.append(middle_ms - (start + end) / 2 / SAMPLE_RATE_HZ * 1000)
    return round(float(np.median(late)), 1) if late else 0.0


def word_errors(
    language: Language, heard: Sequence[Heard], search: Search
) -> tuple[list[list[Pair]], list[tuple[Word, ...]]]:
    """Decode and align: for each recording the pairs of words said and written, and the words written."""
    decoder = LexiconDecoder(language, TOKENS, BLANK, "phones", search)
    pairs, written = [], []
    for item in heard:
        decoder.reset()
        decoder.process(np.ascontiguousarray(item.log_probs))
        words = decoder.flush().words
        pairs.append(align(item.words, [word.text for word in words]))
        written.append(words)
    return pairs, written


def _rate(pairs: Sequence[Sequence[Pair]]) -> float:
    errors = sum(said != written for own in pairs for said, written in own)
    return errors / max(1, sum(bool(said) for own in pairs for said, _ in own))


def choose_search(language: Language, heard: Sequence[Heard], start: Search, reporter: Reporter) -> Search:
    """The settings with the fewest word errors on development recordings, one changed at a time."""
    tried: dict[Search, float] = {}

    def errors(search: Search) -> float:
        if search not in tried:
            tried[search] = _rate(word_errors(language, heard, search)[0])
            reporter.tell(
                f"blank scale {search.blank_scale:g}, language weight {search.language_weight:g}, "
                f"word bonus {search.word_bonus:g}: {tried[search]:.1%} word errors"
            )
        return tried[search]

    best = start
    for _ in range(_ROUNDS):
        for field, values in _CHOICES.items():
            best = min((msgspec.structs.replace(best, **{field: value}) for value in values), key=errors)
    return best


def _confidence(language: Language, heard: Sequence[Heard], search: Search) -> Calibration | None:
    """None where nothing is right, or nothing wrong: what is measured and trained is not lost by that."""
    pairs, written = word_errors(language, heard, search)
    evidence = [word.evidence for words in written for word in words]
    right = [said == found for own in pairs for said, found in own if found]
    try:
        return fit_confidence(evidence, right)
    except InputError:
        return None


def _measure(
    job: CaptionsJob,
    net: CaptionNet,
    language: Language,
    search: Search,
    samples: dict[str, list[Utterance]],
    *,
    reporter: Reporter,
) -> dict[str, Any]:
    """Word errors live and offline, float and int8, and phone errors, on each set held out."""
    net.eval()
    acoustic = _acoustic(job.output)
    recognizer = Recognizer.load(job.output, backend="onnx")
    results: dict[str, Any] = {}
    for corpus, utterances in samples.items():
        rows = [replace(u.row, text=" ".join(u.words)) for u in utterances]
        live = evaluate_captions(rows, recognizer)
        quantized = [hear(acoustic, utterance) for utterance in utterances]
        real = [_hear_float(net, utterance) for utterance in utterances]
        results[corpus] = {
            "wer": round(live.wer, 4),
            "interval": [round(edge, 4) for edge in live.interval],
            "cer": round(live.cer, 4),
            "recordings": len(rows),
            "words": live.words,
            "speakers": len({row.speaker for row in rows}),
            "wer_offline_int8": round(_rate(word_errors(language, quantized, search)[0]), 4),
            "wer_offline_float": round(_rate(word_errors(language, real, search)[0]), 4),
            "phone_errors_int8": round(_phone_errors(quantized), 4),
            "phone_errors_float": round(_phone_errors(real), 4),
        }
        reporter.tell(f"{corpus}: {results[corpus]}")
    return results


def _phone_errors(heard: Sequence[Heard]) -> float:
    edits = sum(distance(item.phones, best_path(item.log_probs)) for item in heard)
    return edits / max(1, sum(len(item.phones) for item in heard))

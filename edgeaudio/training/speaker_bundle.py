"""From a trained network to the bundle of a speaker model: export, space of voices, thresholds, measures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.backends import open_graph
from edgeaudio.errors import InputError
from edgeaudio.evaluation.calibration import fit_confidence
from edgeaudio.evaluation.speaker import (
    MOST_PIECES,
    PIECE_S,
    PROMISED,
    Piece,
    Trials,
    judge,
    make_trials,
    pieces,
)
from edgeaudio.models.background import embedding_fingerprint
from edgeaudio.models.bundle import load_bundle
from edgeaudio.models.manifest import Voices
from edgeaudio.models.speakers import save_speaker_space
from edgeaudio.tasks.speaker import Speaker, Voiceprint
from edgeaudio.training.build import Reporter
from edgeaudio.training.costs import costs, origin
from edgeaudio.training.export import update_manifest, write_bundle
from edgeaudio.training.graph import Conv
from edgeaudio.training.nets import to_graph
from edgeaudio.training.speaker import FRONTEND, LABELS, material
from edgeaudio.training.speaker_card import write_speaker_card
from edgeaudio.training.speaker_data import Family, People, SpeakerJob
from edgeaudio.training.speaker_net import SpeakerNet
from edgeaudio.training.speaker_space import make_space, measured
from edgeaudio.types import Frames

__all__ = ["Heard", "calibrate", "finish", "hear"]

STEP_FRAMES = 16
"""160 ms at once: nobody waits for who it was."""
_CALIBRATION_STRENGTH = 0.4
_CALIBRATION_BATCHES = 2
_MIN_SNR_DB = 10.0
"""The one logit only weighs frames; what int8 costs is measured in errors."""
_STRETCHES, _STRETCH_FRAMES = 6, 288
_MOST_PEOPLE = 1000
_LEAST_SPEECH_MS = 800.0
_RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
_MOST_MEASURED = 100
"""So many people of each corpus are measured on."""
_OTHER_SECONDS = (1.5, 5.0)
_ONE = Voices(
    scale=1.0,
    offset=0.0,
    seconds=PIECE_S,
    least_speech_ms=_LEAST_SPEECH_MS,
    false_accepts=((0.01, 1.0), (0.05, 0.0)),
)
"""Until scores are calibrated."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Heard:
    """Pieces of a corpus with their voiceprints, and pairs of them with their logarithmic ratios."""

    name: str
    found: list[Piece]
    trials: Trials
    ratios: Numbers

    @property
    def others(self) -> Numbers:
        """The ratios of pairs of two people."""
        chosen: Numbers = self.ratios[~self.trials.same]
        return chosen


def finish(job: SpeakerJob, people: People, net: SpeakerNet, reporter: Reporter) -> dict[str, Any]:
    """Write the bundle ``job.output`` with everything measured, and its card; returns the measures.

    Raises
    ------
    InputError
        Nobody is held out to measure on, or too few people spoke.
    ModelError
        The exported forms do not agree.
    OutputError
        The folder cannot be written.
    """
    agreement = _export(job, people, net, reporter)
    reporter.progress("measuring", 0.0)
    speaker = Speaker.load(job.output, backend="onnx")
    heard = _hear_all(speaker, people.held_out, PIECE_S)
    if not heard:
        raise InputError(
            "nobody is left to measure on", hint="Corpora of a hundred people and more are needed."
        )
    voices = calibrate(heard)
    update_manifest(job.output, voices=voices)
    results: dict[str, Any] = {one.name: _measures(one, voices, heard) for one in heard}
    for seconds in _OTHER_SECONDS:
        for one in _hear_all(speaker, people.held_out, seconds):
            results[one.name][f"eer_{seconds:g}s"] = round(_judged(one, voices, seconds).eer, 4)
        reporter.progress("measuring", 0.5)
    for name, value in results.items():
        reporter.tell(f"{name}: {value}")
    results["int8"] = {"signal to rounding noise in dB": round(agreement, 1)}
    parameters = sum(n.weight.size + n.bias.size for n in to_graph(net).nodes if isinstance(n, Conv))
    results["costs"] = costs(
        job.output, parameters, lambda runtime: Speaker.load(job.output, backend=runtime).hear
    )
    results["training"] = origin(job.device, job.threads, job.minutes, job.epochs, job.seed)
    manifest = update_manifest(job.output, results=results)
    write_speaker_card(job, people, manifest)
    return results


def _export(job: SpeakerJob, people: People, net: SpeakerNet, reporter: Reporter) -> float:
    """Write graphs and space; returns how far the logits stand above what int8 adds to them, in dB."""
    source = material(job, people, reporter, workers=0)
    source.set_course(_CALIBRATION_STRENGTH, 1.0)
    batches = source.begin(1)
    calibration: list[Frames] = []
    for _ in range(_CALIBRATION_BATCHES):
        calibration += list(next(batches).frames.numpy())
    agreement = write_bundle(
        to_graph(net),
        calibration,
        out_dir=job.output,
        name=job.output.name,
        kind="speaker",
        version="1.0.0",
        description="Tells voices apart, whatever they say. It is no authentication.",
        licence="Apache-2.0",
        data=sorted(people.used),
        frontend=FRONTEND,
        labels=LABELS,
        activation="sigmoid",
        step_frames=STEP_FRAMES,
        voices=_ONE,
        min_snr_db=_MIN_SNR_DB,
    )
    bundle = load_bundle(job.output)
    graph, rng = open_graph(bundle, "onnx"), np.random.default_rng(job.seed)
    chosen = rng.permutation(len(source.families))[:_MOST_PEOPLE]
    stretches = []
    for done, person in enumerate(chosen.tolist()):
        crops = source.stretches(person, _STRETCH_FRAMES, _STRETCHES, rng)
        stretches.append([measured(graph, crop) for crop in crops])
        reporter.progress("space of voices", done / len(chosen))
    families = [source.families[person] for person in chosen]
    space = make_space(net, stretches, families, embedding_fingerprint(bundle.manifest))
    save_speaker_space(job.output, space)
    return agreement.snr_db


def hear(speaker: Speaker, found: Iterator[Piece]) -> tuple[list[Piece], list[Voiceprint]]:
    """Make a voiceprint of every piece; the pieces come back without their samples."""
    kept, prints = [], []
    for piece in found:
        prints.append(speaker.hear(piece.samples))
        kept.append(Piece(piece.speaker, piece.recordings, piece.samples[:0]))
    return kept, prints


def _hear_all(speaker: Speaker, families: Sequence[Family], seconds: float) -> list[Heard]:
    """All corpora of which pairs can be made."""
    heard = []
    for family in families:
        rows = [row for own in list(family.people.values())[:_MOST_MEASURED] for row in own]
        found, prints = hear(speaker, pieces(rows, seconds=seconds, most=MOST_PIECES))
        try:
            trials = make_trials(found)
        except InputError:
            continue
        vectors = np.stack([one.vector for one in prints])
        ratios = speaker.ratio(vectors[trials.first], vectors[trials.second])
        heard.append(Heard(family.name, found, trials, ratios))
    return heard


def calibrate(heard: Sequence[Heard]) -> Voices:
    """Make scores that can be believed, and thresholds: of all corpora alike, however large they are."""
    rng = np.random.default_rng(0)
    n_same = min(int(one.trials.same.sum()) for one in heard)
    n_other = min(len(one.others) for one in heard)
    same = np.concatenate([rng.choice(one.ratios[one.trials.same], n_same) for one in heard])
    others = np.concatenate([rng.choice(one.others, n_other) for one in heard])
    fitted = fit_confidence(np.concatenate((same, others)), np.arange(len(same) + len(others)) < len(same))
    # The odds before anything is heard are the trials', not the world's: they fall out.
    offset = fitted.offset - float(np.log(len(same) / len(others)))
    levels = fitted.scale * np.quantile(others, 1.0 - np.array(_RATES)) + offset
    return Voices(
        scale=fitted.scale,
        offset=offset,
        seconds=PIECE_S,
        least_speech_ms=_LEAST_SPEECH_MS,
        false_accepts=tuple(
            (rate, round(float(level), 4)) for rate, level in zip(_RATES, levels, strict=True)
        ),
    )


def _judged(one: Heard, voices: Voices, seconds: float = PIECE_S) -> Any:
    scores = voices.scale * one.ratios + voices.offset
    promised = {rate: voices.threshold(rate) for rate in PROMISED}
    return judge(scores, one.trials, one.found, promised=promised, seconds=seconds)


def _measures(one: Heard, voices: Voices, heard: Sequence[Heard]) -> dict[str, Any]:
    """What the card tells of a corpus; thresholds chosen on one half of all people count on the other."""
    found = _judged(one, voices)
    passed = dict.fromkeys(PROMISED, 0.0)
    missed = dict(passed)
    for half in (0, 1):
        levels = calibrate([_half(other, 1 - half) for other in heard])
        there = _judged(_half(one, half), levels)
        for point in there.promised:
            passed[point["promised"]] += point["false_accepts"] / 2
            missed[point["promised"]] += point["misses"] / 2
    return {
        "eer": round(found.eer, 4),
        "interval": [round(edge, 4) for edge in found.interval],
        "speakers": found.speakers,
        "pairs of one": found.same,
        "from one recording": found.one_recording,
        "pairs of two": found.different,
        **{f"false accepts at {rate:.0%}": round(passed[rate], 4) for rate in PROMISED},
        **{f"misses at {rate:.0%}": round(missed[rate], 4) for rate in PROMISED},
    }


def _half(one: Heard, half: int) -> Heard:
    """Pairs among every second person."""
    names = sorted({piece.speaker for piece in one.found})
    chosen = set(names[half::2])
    inside = np.array([piece.speaker in chosen for piece in one.found])
    trials = one.trials
    kept = inside[trials.first] & inside[trials.second]
    return Heard(
        one.name,
        one.found,
        Trials(trials.first[kept], trials.second[kept], trials.same[kept], 0),
        one.ratios[kept],
    )

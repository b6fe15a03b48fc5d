"""A wake word in two minutes, from a typed phrase: a head on the shipped recogniser.

No voice says the phrase and no recording of it is needed, see :mod:`~edgeaudio.training.heads`. The bundle
holds the recogniser's layers and the head in one graph, so that it runs as any other; it takes the
recogniser's processor time, two to three times that of a network made for one word.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeaudio.errors import ModelError
from edgeaudio.models.bundle import Bundle, load_bundle
from edgeaudio.models.catalogue import find_model
from edgeaudio.models.manifest import Decision
from edgeaudio.models.people import BASE, People, load_people
from edgeaudio.training.build import Reporter, SpotterJob, bundle_posteriors
from edgeaudio.training.card import Ingredient, write_card
from edgeaudio.training.card_results import PICTURE
from edgeaudio.training.corpus import Clip, find_manifests, load_clips, mentions
from edgeaudio.training.costs import costs, origin
from edgeaudio.training.det import write_det
from edgeaudio.training.export import Agreement, update_manifest, write_bundle
from edgeaudio.training.graph import Conv, Graph
from edgeaudio.training.heads import BATCHES, UNIT_NATS, Head, Phrases, in_units, train_head
from edgeaudio.training.hints import TEACHER
from edgeaudio.training.import_onnx import import_onnx_int8
from edgeaudio.training.people import APART
from edgeaudio.training.phrases import confusables
from edgeaudio.training.place import check_place, place
from edgeaudio.training.soundalikes import english
from edgeaudio.training.splicing import Row, tokens_of
from edgeaudio.training.spotter import Material, kept_back, said_word
from edgeaudio.training.streams import Pools
from edgeaudio.training.utterances import spoken_words
from edgeaudio.training.wake_tests import FRAME_MS, Heard, WakeTests, condensed, rate, share
from edgeaudio.types import Frames, Samples

__all__ = ["OTHER", "train_quick"]

OTHER = "other"
HEARD = "heard"
"""The tensor between recogniser and head."""
_CALIBRATED = 200
_RESTING = -4.0
"""The mean that a recogniser's frames are normalised with in training."""
_SMOOTHING_MS, _REFRACTORY_MS = 40.0, 1000.0
_RATES_PER_HOUR = (0.1, 0.5, 1.0, 2.0, 5.0)
_RECIPE = (
    "The layers of {ear}, as they are, and on top of them a head of a few small convolutions, which is all "
    "that was trained: {batches} batches of 64 streams. What the recogniser hears when people speak is cut "
    "into pieces that make the phrase, joined behind a sound that both have; phrases near it are "
    "put together alike. Streams lie in other speech, noise or silence, with moments missing. Nobody said "
    "the phrase."
)
_LIMITS = (
    "Nobody has said the phrase to it: that people say it like those whose sounds it was put together of is "
    "a hope, unless recordings of them are among what was measured.",
    "It knows English sounds, and phrases as the lexicon or its letter-to-sound rules say them.",
    "It takes the time of the recogniser's network, two to three times that of one made for a word, and "
    "tells some 0.2 s later.",
)


@dataclass(frozen=True)
class _Ear:
    bundle: Bundle
    people: People
    trunk: Graph

    @classmethod
    def load(cls, name: str) -> _Ear:
        bundle = load_bundle(find_model(name))
        manifest = bundle.manifest
        if not bundle.has_graph("onnx") or manifest.recognition.units != "phones":
            raise ModelError(f"model '{name}' is no recogniser of phones with an ONNX graph")
        people = load_people(bundle.path, manifest)
        return cls(bundle, people, import_onnx_int8(bundle.read_graph("onnx"), resting=_RESTING))

    def with_head(self, head: Head) -> Graph:
        """The recogniser up to what a row of :class:`~edgeaudio.models.people.People` says, and the head."""
        *layers, logits = self.trunk.nodes
        if not isinstance(logits, Conv):
            raise ModelError(f"the last layer of model '{self.bundle.name}' is no convolution")
        # A token's logarithm less the mean over all: the softmax takes the same off each of them.
        n = len(logits.weight)
        centred = np.eye(n) - 1.0 / n
        weight = np.einsum("ij,jkl->ikl", centred, logits.weight.astype(np.float64)) / UNIT_NATS
        bias = (centred @ logits.bias.astype(np.float64) - BASE) / UNIT_NATS
        heard = replace(
            logits, output=HEARD, weight=weight.astype(np.float32), bias=bias.astype(np.float32), relu=True
        )
        return replace(self.trunk, nodes=(*layers, heard, *head.nodes(HEARD)), logits="logits")


def train_quick(
    job: SpotterJob, reporter: Reporter, *, phrase: str, false_alarms_per_hour: float = 0.5
) -> dict[str, Any]:
    """Train a head, choose its threshold, and write its bundle.

    Parameters
    ----------
    job : SpotterJob
        Its data, if any, are only measured on.
    phrase : str
        As :func:`~edgeaudio.training.phrases.check_phrase` returns it.
    false_alarms_per_hour : float
        Wanted on the speech of people it has not learned from.

    Returns
    -------
    dict
        What was measured, as in the bundle's ``results``.

    Raises
    ------
    UsageError
        Something stands where the model goes.
    ModelError
        The recogniser lacks what a phrase is put together of, or its people never say the phrase's sounds.
    """
    started = time.monotonic()
    check_place(job.output, overwrite=job.overwrite)
    ear = _Ear.load(TEACHER)
    labels = ear.bundle.manifest.labels
    sounds = english()
    ways = [tokens_of(one, labels) for one in sounds.phrase_readings(phrase.split())]
    near = [
        tokens_of(reading, labels)
        for other in confusables((phrase,))
        for reading in sounds.phrase_readings(other.split())[:1]
    ]
    tests = _tests(job, phrase, reporter)
    said = Phrases.of(ear.people, ways, near, apart=False)
    ways = [way for way in ways if said.say(way, np.random.default_rng(0)) is not None]
    if not ways:
        raise ModelError(
            f"nobody in {ear.bundle.name} says all sounds of {phrase!r} one after the other",
            hint="Let speech engines say it: edgeaudio train wake",
        )
    near = [way for way in near if said.say(way, np.random.default_rng(0)) is not None]
    head = train_head(
        said,
        ways,
        near,
        seed=job.seed,
        threads=job.threads,
        progress=lambda done: reporter.progress("training", done),
    )
    base = Decision(
        threshold=0.5, smoothing_ms=_SMOOTHING_MS, refractory_ms=_REFRACTORY_MS, silent_labels=(OTHER,)
    )
    with place(job.output) as folder:
        reporter.progress("measuring", 0.0)
        agreement = _write(folder, ear, head, said, ways=ways, decision=base, phrase=phrase)
        if tests is None:
            apart = Phrases.of(ear.people, ways, near, apart=True)
            heard = _other_speech(head, apart, (phrase, OTHER), base)
            reporter.tell("how often people are missed is not known without recordings of them: --data DIR")
        else:
            heard = tests.hear(lambda audio: _by_bundle(folder, audio), (phrase, OTHER), base)
            write_det(heard.curve(), heard.hours, folder / PICTURE, title=f'"{phrase}"')
        reporter.progress("measuring", 0.8)
        threshold = heard.threshold_for(false_alarms_per_hour)
        results = _results(heard, threshold, false_alarms_per_hour, agreement)
        results["costs"] = costs(folder, _parameters(ear, head))
        results["training"] = origin(
            job.device, job.threads, round((time.monotonic() - started) / 60, 1), 0, job.seed
        )
        update_manifest(folder, results=results, decision=msgspec.structs.replace(base, threshold=threshold))
        manifest = ear.bundle.manifest
        recipe = _RECIPE.format(ear=f"{manifest.name} {manifest.version}", batches=BATCHES)
        part = Ingredient(
            manifest.name, len(ear.people), "the recogniser's card names them", manifest.licence
        )
        write_card(folder, [part], recipe, limits=_LIMITS)
    return results


def _write(
    folder: Path,
    ear: _Ear,
    head: Head,
    said: Phrases,
    *,
    ways: Sequence[Row],
    decision: Decision,
    phrase: str,
) -> Agreement:
    rng = np.random.default_rng(0)
    spoken = [said.say(ways[k % len(ways)], rng) for k in range(_CALIBRATED)]
    manifest = ear.bundle.manifest
    frames = ear.people.frames
    step = manifest.step_frames * 10
    return write_bundle(
        ear.with_head(head),
        [frames[i : i + step] for i in range(0, len(frames) - step + 1, step)],
        out_dir=folder,
        name=folder.name,
        kind="wake",
        version="1.0.0",
        description=f'Wakes at "{phrase}".',
        licence=manifest.licence,
        data=manifest.data,
        frontend=manifest.frontend,
        labels=(phrase, OTHER),
        activation="softmax",
        step_frames=manifest.step_frames,
        decision=decision,
        # No recording holds the phrase: what it does to the head is known from pieces alone.
        inner={HEARD: [in_units(one[0]) for one in spoken if one is not None]},
    )


def _parameters(ear: _Ear, head: Head) -> int:
    convs = [node for node in ear.with_head(head).nodes if isinstance(node, Conv)]
    return sum(conv.weight.size + conv.bias.size for conv in convs)


def _at_usual_rate(posteriors: Frames) -> Frames:
    """Each frame as often as the tests count it: they know frames of 20 ms, a recogniser's take 40."""
    repeated: Frames = np.repeat(posteriors, round(40.0 / FRAME_MS), axis=0)
    return repeated


def _by_bundle(folder: Path, audio: Sequence[Samples]) -> list[NDArray[np.float32]]:
    return [_at_usual_rate(found) for found in bundle_posteriors(folder, audio)]


def _other_speech(head: Head, said: Phrases, labels: tuple[str, ...], decision: Decision) -> Heard:
    """What a head makes of the speech of people it has not learned from; none of them says the phrase."""
    nothing = np.zeros((0, 2), np.float32)
    first, second = (
        _at_usual_rate(np.concatenate([nothing, *(head.posteriors(said.people.rows_of(i)) for i in half)]))
        for half in (said.numbers[::2].tolist(), said.numbers[1::2].tolist())
    )
    hours = len(first) * FRAME_MS / 3.6e6, len(second) * FRAME_MS / 3.6e6
    streams = condensed(first, decision), condensed(second, decision)
    return Heard(labels, decision, {}, streams, hours, np.zeros(0))


def _tests(job: SpotterJob, phrase: str, reporter: Reporter) -> WakeTests | None:
    """The job's recordings of the phrase, and other speech of people who are never learned from."""
    if job.data is None:
        return None

    def decoding(corpus: str, done: int, total: int) -> None:
        reporter.progress(f"decoding {corpus}", done / total)

    clips = load_clips(find_manifests(job.data), job.cache, progress=decoding)
    named = (replace(c, label=phrase) if _says_nothing_else(c, phrase) else c for c in clips)
    apart = [clip for clip in named if _is_measured(clip, phrase)]
    material = Material((phrase,), Pools([[]], [[]], [], []), [], [], apart)
    tests = WakeTests.of(material, (phrase,))
    if tests.positives and tests.hours:
        return tests
    reporter.tell(f"{job.data} has no recording of {phrase!r}, or of nothing else: it is not measured on")
    return None


def _says_nothing_else(clip: Clip, phrase: str) -> bool:
    return bool(clip.text) and spoken_words(clip.text) == phrase.split()


def _is_measured(clip: Clip, phrase: str) -> bool:
    if said_word(clip, (phrase,)) is not None:
        return True
    if clip.corpus == "rooms" or not kept_back(clip, APART) or mentions(clip, (phrase,)):
        return False
    # Who says "wildfires", or "wild fire", has said "wildfire".
    return phrase.replace(" ", "") not in re.sub(r"[^a-z]+", "", clip.text.lower())


def _results(heard: Heard, threshold: float, per_hour: float, agreement: Agreement) -> dict[str, Any]:
    missed = heard.missed(threshold)
    return {
        "false alarms per hour": rate(heard.crosswise(per_hour), heard.hours),
        **{
            f"missed, {name}": {"missed": n, **share(n, len(heard.peaks[name]))} for name, n in missed.items()
        },
        "operating points": [heard.operating_point(wanted) for wanted in _RATES_PER_HOUR],
        "int8": {
            "frames with the same best label": round(agreement.same_best, 4),
            "signal to rounding noise in dB": round(agreement.snr_db, 1),
        },
    }

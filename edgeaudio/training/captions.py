"""The streaming recogniser: recordings and their transcripts in, a verified bundle with its card out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edgeaudio.decoding.g2p import Pronouncer
from edgeaudio.errors import InputError, UsageError
from edgeaudio.evaluation.alignment import distance
from edgeaudio.evaluation.manifest import Row
from edgeaudio.frontend import FrontendSpec
from edgeaudio.models.catalogue import find_language
from edgeaudio.training.build import GENERATE, Job, Reporter
from edgeaudio.training.corpora import find_corpora
from edgeaudio.training.corpus import kept_by_hash, sounds_only
from edgeaudio.training.ctc import CaptionNet, CtcBatch, ctc_loss, greedy_tokens
from edgeaudio.training.ctc_batches import CtcBatches, Pool
from edgeaudio.training.distortion import Distorter
from edgeaudio.training.loop import LoopSettings, load_weights, train
from edgeaudio.training.narration import FORMANT_ENGINE, narrate
from edgeaudio.training.nets import NetSpec
from edgeaudio.training.utterances import PHONES, FrameStore, Pronunciations, Utterance, transcribed
from edgeaudio.types import Frames

__all__ = [
    "FRONTEND",
    "KNOWN_SPEAKERS",
    "MANY_SPEAKERS",
    "SYNTHETIC",
    "CaptionsJob",
    "Speech",
    "band_middles_hz",
    "fit",
    "gather",
    "is_kept_back",
    "network",
]

FRONTEND = FrontendSpec(n_mels=80, fmin_hz=40.0, fmax_hz=7600.0, log_floor=1e-6)
BLANK = "<blank>"
TOKENS = (BLANK, *PHONES)

HELD_OUT_SHARE = 0.15
MANY_SPEAKERS = 100
"""Only where so many speak are some of them held out: one voice fewer of five would be missed."""
LEAST_SHARE = 0.05
"""Of the recordings, held out where no speaker is."""
_HELD_OUT_SPLITS = ("test", "dev", "validation", "development", "held_out")
KNOWN_SPEAKERS = ", known speakers"
SYNTHETIC = "synthetic"
"""Name of the set of voices that no engine speaks with in training."""
_MACHINE_TRANSCRIBED = "recognised"
"""Label of recordings whose transcript another recogniser wrote: never learned from."""

# How often an utterance is drawn in comparison with a synthetic one.
WEIGHT_REAL = 2.5
WEIGHT_WORD = 0.35
"""Of recordings of a single word: ten thousand of them are thirty different words."""

LEARNING_RATE = 2e-3
LEARNING_RATE_AGAIN = 1.2e-3
"""From weights that are good already: enough to leave what they have settled in, and not to begin anew."""

DROPOUT = 0.1
"""Phones of people never heard came out wrong half as often again as those of people learned from."""

TAIL_FRAMES = 40
_DEVELOPMENT = 120
"""So many development recordings of a corpus are looked at after each epoch."""
_LEAST_NOISE_FRAMES = 50
_LEAST_NOISE_POWER = 1e-5


@dataclass(frozen=True)
class CaptionsJob(Job):
    """Everything the user may choose.

    Parameters
    ----------
    lexicon : Path
        Pronouncing dictionary in CMUdict's format.
    language : str
        Lexicon and language model that the bundle names, and that measures it; its pronouncer says
        the words that the dictionary lacks.
    weights : mapping
        Corpus → how often one of its recordings is drawn in comparison with a synthetic one.
    sentences : Path or None
        Text for ``synthetic="generate"``.
    synthetic_hours : float
        How much of it to speak.
    width : int
        Channels of the network; its parameters grow with the square.
    batch_seconds : float
        Audio in a batch, padding included.
    start_from : Path or None
        Checkpoint of an earlier training of the same width, whose weights this one begins with: to go
        on with other recordings. All else, the learning rate among it, begins anew.
    """

    lexicon: Path = Path("cmudict.dict")
    language: str = "english-small"
    weights: Mapping[str, float] = field(default_factory=dict)
    sentences: Path | None = None
    synthetic_hours: float = 15.0
    width: int = 256
    batch_seconds: float = 120.0
    start_from: Path | None = None


@dataclass(frozen=True)
class Speech:
    """What is learned from and what is measured on.

    Nobody is heard in both, except in sets whose name ends in :data:`KNOWN_SPEAKERS`.
    """

    training: list[Utterance]
    weights: NDArray[np.float64]
    """How often each recording is drawn in comparison."""
    development: dict[str, list[Utterance]]
    """By corpus."""
    noises: list[Row]
    dropped: dict[str, int]
    """Spoken recordings of each corpus that cannot be learned from."""


def gather(job: CaptionsJob, reporter: Reporter) -> Speech:
    """Find the recordings of a job and keep some speakers apart.

    Raises
    ------
    InputError
        There is no speech to learn from, or a corpus is malformed.
    UsageError
        The job names no recordings, or weights of a corpus that is not there.
    ModelError
        There is no such language, or it has no pronouncer.
    """
    if job.data is None and job.synthetic is None:
        raise UsageError("nothing to learn from", hint="Give --data DIR, --synthetic DIR|generate, or both.")
    path = find_language(job.language)
    pronunciations = Pronunciations(job.lexicon, Pronouncer.load(path.parent))
    training: list[Utterance] = []
    weights: list[float] = []
    noises: list[Row] = []
    development: dict[str, list[Utterance]] = {}
    dropped: dict[str, int] = {}
    for made, folder in enumerate((job.data, _synthetic(job, reporter))):
        for corpus, rows in (find_corpora(folder) if folder else {}).items():
            spoken = [row for row in rows if not sounds_only(corpus, row.label)]
            if corpus != "rooms":
                noises += [row for row in rows if sounds_only(corpus, row.label)]
            usable = transcribed(corpus, spoken, pronunciations)
            dropped[corpus] = dropped.get(corpus, 0) + len(spoken) - len(usable)
            many = len({row.speaker for row in spoken}) >= MANY_SPEAKERS and not made
            for utterance in usable:
                if utterance.row.label == _MACHINE_TRANSCRIBED:
                    development.setdefault(f"{corpus}, machine transcripts", []).append(utterance)
                elif is_kept_back(utterance.row, many=many):
                    development.setdefault(SYNTHETIC if made else corpus, []).append(utterance)
                else:
                    training.append(utterance)
                    weights.append(_weight(utterance, job, made=bool(made)))
    _check(job, training, weights, dropped)
    drawn = np.array(weights)
    if not development:
        training, drawn, development = _some_recordings(training, drawn)
    speech = Speech(training, drawn, _by_acquaintance(development, training), noises, dropped)
    reporter.tell(_summary(speech))
    return speech


def _check(
    job: CaptionsJob, training: list[Utterance], weights: list[float], corpora: Mapping[str, int]
) -> None:
    places = " and ".join(str(place) for place in (job.data, job.synthetic) if place is not None)
    unknown = sorted(set(job.weights) - set(corpora))
    if unknown:
        raise UsageError(
            f"--weight {unknown[0]}: there is no such corpus in {places}",
            hint="Corpora are: " + ", ".join(sorted(corpora)[:20]),
        )
    if not training or not any(weights):
        raise InputError(
            f"{places}: no recording with a transcript to learn from",
            hint="Recordings of 0.2 to 18 s count, whose text has no digits and which no split holds out.",
        )


def _some_recordings(
    training: list[Utterance], weights: NDArray[np.float64]
) -> tuple[list[Utterance], NDArray[np.float64], dict[str, list[Utterance]]]:
    """Where no speakers are held out, hold out recordings, sentences rather than words."""
    sentences = [i for i, utterance in enumerate(training) if utterance.row.text] or range(len(training))
    order = sorted(sentences, key=lambda i: hashlib.sha256(training[i].row.path.name.encode()).digest())
    apart = set(order[: max(1, round(LEAST_SHARE * len(order)))])
    kept = [i for i in range(len(training)) if i not in apart]
    if not kept or not weights[kept].any():
        raise InputError("one recording is not enough: some are learned from, others measured on")
    development: dict[str, list[Utterance]] = {}
    for i in sorted(apart):
        development.setdefault(training[i].corpus, []).append(training[i])
    return [training[i] for i in kept], weights[kept], development


def _by_acquaintance(
    development: Mapping[str, list[Utterance]], training: Sequence[Utterance]
) -> dict[str, list[Utterance]]:
    """Name the sets of people who are learned from; machine transcripts of theirs are left out."""
    heard = {(utterance.corpus, utterance.row.speaker) for utterance in training if utterance.row.speaker}
    sets: dict[str, list[Utterance]] = {}
    for name, kept in development.items():
        for utterance in kept:
            if (utterance.corpus, utterance.row.speaker) not in heard:
                sets.setdefault(name, []).append(utterance)
            elif utterance.row.label != _MACHINE_TRANSCRIBED:
                sets.setdefault(name + KNOWN_SPEAKERS, []).append(utterance)
    return sets


def _summary(speech: Speech) -> str:
    hours = sum(utterance.seconds for utterance in speech.training) / 3600
    held_out = ", ".join(f"{len(kept)} of {corpus}" for corpus, kept in speech.development.items())
    left_out = ", ".join(f"{count} of {corpus}" for corpus, count in speech.dropped.items() if count)
    return f"{len(speech.training)} recordings, {hours:.1f} h; held out: {held_out}; " + (
        f"not usable: {left_out}" if left_out else "all usable"
    )


def _synthetic(job: CaptionsJob, reporter: Reporter) -> Path | None:
    if job.synthetic != GENERATE:
        return None if job.synthetic is None else Path(job.synthetic)
    if job.sentences is None:
        raise UsageError("--synthetic generate needs something to say", hint="Name a text: --sentences FILE")
    try:
        digest = hashlib.sha256(job.sentences.read_bytes()).hexdigest()[:8]
    except OSError as error:
        raise InputError(f"{job.sentences}: cannot read it: {error.strerror or error}") from error
    folder = job.cache / "synthetic" / f"sentences-{digest}-{job.synthetic_hours:g}-{job.seed}"

    def spoken(done: float) -> None:
        reporter.progress("speaking", done)

    narrate(job.sentences, folder, hours=job.synthetic_hours, seed=job.seed, progress=spoken)
    return folder


def is_kept_back(row: Row, *, many: bool) -> bool:
    """Whether a recording is only measured on; ``many``: its corpus has :data:`MANY_SPEAKERS` or more."""
    if not row.text:  # a single word teaches the voice of its speaker, and measures nothing
        return False
    if row.split in _HELD_OUT_SPLITS:
        return True
    return many and kept_by_hash(row.speaker, HELD_OUT_SHARE)


def _weight(utterance: Utterance, job: CaptionsJob, *, made: bool) -> float:
    if utterance.corpus in job.weights:
        return job.weights[utterance.corpus]
    if made:
        # Formants without a human voice in them mislead more than they teach.
        return 0.5 if utterance.corpus.startswith(FORMANT_ENGINE) else 1.0
    return WEIGHT_REAL if utterance.row.text else WEIGHT_WORD


def network(width: int) -> NetSpec:
    """Two strided layers to 40 ms, then ten that see 2.5 s: at width 256 3.7 million parameters."""
    blocks = ((5, 1), (5, 1), (5, 2), (5, 1), (5, 2))
    stem = ((width, 5, 2), (width, 5, 2))
    return NetSpec(FRONTEND.n_bands, len(TOKENS), stem, blocks, -4.0, 4.0, dropout=DROPOUT)


def band_middles_hz(spec: FrontendSpec) -> NDArray[np.float64]:
    """``[n_bands]``: the centre of gravity of each band's weights, strictly rising."""
    weights = spec.mel_weights()
    bin_hz = spec.sample_rate_hz / spec.n_fft * np.arange(weights.shape[1])
    middles = weights @ bin_hz / np.maximum(weights.sum(axis=1), 1e-9)
    return np.asarray(np.maximum.accumulate(middles) + 1e-3 * np.arange(len(middles)))


class _Feed:
    """Batches whose distortion grows with the training: clean until the alignment stands.

    At last, while the learning rate falls, half of it goes again: most speech is not that distorted.
    """

    CLEAN_UNTIL, FULL_AT, FULL = 0.05, 0.35, 0.6
    CALM_FROM, CALM_AT = 0.6, 0.95

    def __init__(self, source: CtcBatches, *, aligned: bool) -> None:
        self._source, self._aligned = source, aligned
        self._batches: Iterator[CtcBatch] | None = None
        self._done = 0.0

    def __iter__(self) -> Iterator[CtcBatch]:
        return self

    def __next__(self) -> CtcBatch:
        if self._batches is None:
            self._batches = self._source.begin(round(self._done * 1e6))
        return next(self._batches)

    def progress(self, done: float) -> None:
        self._done = done
        grown = 1.0 if self._aligned else (done - self.CLEAN_UNTIL) / (self.FULL_AT - self.CLEAN_UNTIL)
        calmed = min(1.0, max(0.0, (done - self.CALM_FROM) / (self.CALM_AT - self.CALM_FROM)))
        self._source.strength = self.FULL * min(1.0, max(0.0, grown)) * (1.0 - 0.5 * calmed)


def batches(
    job: CaptionsJob, speech: Speech, reporter: Reporter, *, workers: int | None = None
) -> CtcBatches:
    """Endless batches of a job; frames are computed first, or mapped from an earlier run."""

    def computed(done: float) -> None:
        reporter.progress("frames", done)

    store = FrameStore([u.row for u in speech.training], FRONTEND, job.cache, computed)
    quiet = FrameStore(speech.noises, FRONTEND, job.cache, computed)
    noises = [frames for frames in map(quiet.__getitem__, range(len(quiet))) if _is_audible(frames)]
    return CtcBatches(
        Pool(speech.training, store, speech.weights),
        Distorter(noises, band_middles_hz(FRONTEND), FRONTEND.log_floor),
        batch_frames=round(job.batch_seconds * 1000 / FRONTEND.hop_ms),
        stride=network(job.width).stride,
        fill=network(job.width).input_mean,
        seed=job.seed,
        workers=job.workers if workers is None else workers,
    )


def _is_audible(frames: Frames) -> bool:
    return (
        len(frames) >= _LEAST_NOISE_FRAMES and float(np.exp(frames).sum(axis=1).mean()) > _LEAST_NOISE_POWER
    )


def fit(job: CaptionsJob, speech: Speech, reporter: Reporter) -> CaptionNet:
    """Train the network, reporting phone errors on the development recordings after every epoch."""
    torch.manual_seed(job.seed)
    feed = _Feed(batches(job, speech, reporter), aligned=job.start_from is not None)
    net = CaptionNet(network(job.width))
    if job.start_from is not None:
        load_weights(job.start_from, net)
    looked_at = {
        corpus: _thinned(kept, np.random.default_rng(1)) for corpus, kept in speech.development.items()
    }
    stores = {
        corpus: FrameStore([u.row for u in kept], FRONTEND, job.cache) for corpus, kept in looked_at.items()
    }

    def progressed(done: float) -> None:
        feed.progress(done)
        reporter.progress("training", done)

    def epoch(number: int, loss: float) -> None:
        net.eval()
        errors = [
            f"{corpus} {phone_errors(net, kept, stores[corpus]):.3f}" for corpus, kept in looked_at.items()
        ]
        reporter.tell(f"epoch {number}: loss {loss:.3f}, phone errors: {', '.join(errors)}")

    settings = LoopSettings(
        minutes=job.minutes,
        epochs=job.epochs,
        batches_per_epoch=300,
        learning_rate=LEARNING_RATE if job.start_from is None else LEARNING_RATE_AGAIN,
        weight_decay=0.02,
        threads=job.threads,
        device=job.device,
    )
    return train(
        net, feed, settings, job.checkpoint,
        loss_of=ctc_loss, resume=job.resume, on_progress=progressed, on_epoch=epoch,
    )  # fmt: skip


def _thinned(kept: list[Utterance], rng: np.random.Generator) -> list[Utterance]:
    if len(kept) <= _DEVELOPMENT:
        return kept
    return [kept[i] for i in np.sort(rng.choice(len(kept), _DEVELOPMENT, replace=False))]


def phone_errors(net: CaptionNet, utterances: Sequence[Utterance], store: FrameStore) -> float:
    """Edits of the greedy path for each phone of the transcripts (first pronunciations)."""
    found = greedy_tokens(net, [store[i] for i in range(len(utterances))], TAIL_FRAMES)
    wanted = [utterance.tokens().tolist() for utterance in utterances]
    edits = sum(distance(w, f) for w, f in zip(wanted, found, strict=True))
    return edits / max(1, sum(map(len, wanted)))

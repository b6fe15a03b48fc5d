"""Let a recogniser hear people speak, half of them in noise, and keep what it hears."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from edgeaudio.backends import open_graph
from edgeaudio.errors import InputError
from edgeaudio.frontend import Frontend
from edgeaudio.models.background import embedding_fingerprint
from edgeaudio.models.bundle import Bundle
from edgeaudio.models.people import BASE, STEPS_PER_NAT, People
from edgeaudio.tasks.acoustic import StreamingAcoustic
from edgeaudio.training.augment import add_room, gain, mix_noise, prepare_room
from edgeaudio.training.corpus import Clip, is_background
from edgeaudio.training.soundalikes import english
from edgeaudio.training.splicing import Row, align, tokens_of
from edgeaudio.training.spotter import kept_back
from edgeaudio.training.utterances import spoken_words
from edgeaudio.types import SAMPLE_RATE_HZ, Frames, Samples

__all__ = ["APART", "heard_rows", "make_people"]

APART = 0.2
"""Part of the speakers who are only measured on."""
_LONGEST_S, _NOISE_S = 20.0, 10.0
_TAIL_S = 0.4
"""A recogniser answers late."""
_SPOILED = 0.5
_SNR_DB, _GAIN_DB, _WET = (3.0, 20.0), (-20.0, 10.0), (0.3, 1.0)
_RMS = 0.05
_MOST_MISMATCH = 2.7
_LOWEST = -8.0
"""Logarithm of the least probability that counts in an alignment."""
_FRAMES, _FRAMES_OF_ONE = 6000, 160


def heard_rows(log_probs: Frames) -> NDArray[np.uint8]:
    """``[n, n_tokens]`` as :class:`~edgeaudio.models.people.People` keeps them."""
    above = log_probs - log_probs.mean(axis=1, keepdims=True) - np.float32(BASE)
    return np.asarray(np.rint(np.clip(above * STEPS_PER_NAT, 0.0, 255.0)), np.uint8)


def make_people(
    bundle: Bundle,
    clips: Sequence[Clip],
    *,
    hours: float,
    seed: int,
) -> People:
    """Hear utterances in random order until they are so many hours, then noises.

    Parameters
    ----------
    bundle : Bundle
        A recogniser of phones.
    clips : sequence of Clip
        Transcribed speech, noise, and impulse responses in a corpus "rooms".
    hours : float
        Length of the utterances.
    seed : int
        Which, and what happens to them.

    Raises
    ------
    InputError
        There is no transcribed speech, or no noise.
    """
    ear = _Ear(bundle)
    rng = np.random.default_rng(seed)
    noises = [_float(clip) for clip in clips if is_background(clip) and _is_noise(clip)]
    rooms = [prepare_room(_float(clip)) for clip in clips if clip.corpus == "rooms"]
    speech = [clip for clip in clips if not is_background(clip) and clip.seconds <= _LONGEST_S]
    random.Random(seed).shuffle(speech)
    rows: list[NDArray[np.uint8]] = []
    tokens: list[Row] = []
    middles: list[NDArray[np.int64]] = []
    clear: list[bool] = []
    apart: list[bool] = []
    frames: list[Frames] = []
    heard_s = 0.0
    for clip, said in _transcribed(speech, bundle.manifest.labels):
        samples = _levelled(clip)
        if noises and rng.random() < _SPOILED:
            samples = _spoiled(samples, noises, rooms, rng)
        log_probs = ear.hear(samples)
        mismatch, first, last = align(np.maximum(log_probs, np.float32(_LOWEST)), said)
        if not np.isfinite(mismatch):
            continue
        rows.append(heard_rows(log_probs))
        tokens.append(said)
        middles.append((first + last) // 2)
        clear.append(mismatch <= _MOST_MISMATCH)
        apart.append(kept_back(clip, APART))
        if len(frames) * _FRAMES_OF_ONE < _FRAMES:
            frames.append(ear.frames[:_FRAMES_OF_ONE].copy())
        heard_s += clip.seconds
        if heard_s >= 3600 * hours:
            break
    sounds = [heard_rows(ear.hear(_levelled_noise(noise, rng))) for noise in noises]
    if not rows or not sounds:
        raise InputError("no transcribed speech to hear, or no noise", hint="Name a folder of corpora.")
    return People(
        rows=np.concatenate(rows),
        ends=np.cumsum([len(own) for own in rows]),
        tokens=np.concatenate([np.array(own, np.uint8) for own in tokens]),
        token_ends=np.cumsum([len(own) for own in tokens]),
        middles=np.concatenate(middles).astype(np.int32),
        clear=np.array(clear),
        apart=np.array(apart),
        sounds=np.concatenate(sounds),
        frames=np.concatenate(frames),
        fingerprint=embedding_fingerprint(bundle.manifest),
    )


class _Ear:
    """A recogniser, from a fresh state for each recording."""

    def __init__(self, bundle: Bundle) -> None:
        self._acoustic = StreamingAcoustic(open_graph(bundle), bundle.manifest)
        self._frontend = Frontend(self._acoustic.spec)
        self._tail = np.zeros(round(_TAIL_S * SAMPLE_RATE_HZ), np.float32)
        self.frames: Frames = np.zeros((0, self._acoustic.spec.n_bands), np.float32)

    def hear(self, samples: Samples) -> Frames:
        """Log-probabilities ``[n, n_tokens]``."""
        self._acoustic.reset()
        self._frontend.reset()
        self.frames = self._frontend.process(np.concatenate((samples, self._tail)))
        heard: Frames = self._acoustic.process(self.frames).copy()
        return heard


def _transcribed(clips: Iterable[Clip], labels: Sequence[str]) -> Iterator[tuple[Clip, Row]]:
    sounds = english()
    for clip in clips:
        words = spoken_words(clip.text or clip.label.replace("_", " "))
        said = [sounds.readings(word) for word in words or ()]
        if said and all(said):
            yield clip, tokens_of(sum((ways[0] for ways in said), ()), labels)


def _is_noise(clip: Clip) -> bool:
    return clip.corpus != "rooms" and clip.seconds > 1.0 and not kept_back(clip, APART)


def _float(clip: Clip) -> Samples:
    samples: Samples = clip.pcm[: round(_NOISE_S * SAMPLE_RATE_HZ)] / np.float32(32768.0)
    return samples


def _levelled(clip: Clip) -> Samples:
    samples: Samples = clip.pcm / np.float32(32768.0)
    samples *= np.float32(_RMS / (float(np.sqrt(np.mean(np.square(samples)))) + 1e-5))
    return samples


def _levelled_noise(noise: Samples, rng: np.random.Generator) -> Samples:
    rms = float(np.sqrt(np.mean(np.square(noise)))) + 1e-5
    return gain(noise * np.float32(_RMS / rms), rng.uniform(*_GAIN_DB))


def _spoiled(
    samples: Samples, noises: Sequence[Samples], rooms: Sequence[Samples], rng: np.random.Generator
) -> Samples:
    """In a room, every second time, in noise, nearer or farther."""
    if rooms and rng.random() < 0.5:
        samples = add_room(samples, rooms[int(rng.integers(len(rooms)))], rng.uniform(*_WET))
    noise = noises[int(rng.integers(len(noises)))]
    start = int(rng.integers(len(noise)))
    noise = np.take(noise, np.arange(start, start + len(samples)), mode="wrap")
    return gain(mix_noise(samples, noise, rng.uniform(*_SNR_DB)), rng.uniform(*_GAIN_DB))

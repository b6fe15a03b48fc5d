"""What a recogniser hears when people speak: what a phrase is put together of that nobody has recorded.

The file ``people.npz`` beside a recogniser's graphs holds hours of transcribed speech, every second
recording of it in noise and rooms, as the recogniser hears it: for each output frame by how much every
token is more probable than usual. It holds no sound; nobody's voice can be made of it.
``tools/make-people`` writes it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeaudio.errors import ModelError
from edgeaudio.models.background import read_beside
from edgeaudio.models.manifest import ModelManifest

__all__ = ["BASE", "PEOPLE_FILE", "STEPS_PER_NAT", "People", "load_people", "save_people"]

PEOPLE_FILE = "people.npz"
_MAX_BYTES = 256 * 1024 * 1024
"""Unfolded; packed it is a tenth of that."""

BASE, STEPS_PER_NAT = 3.0, 4.0
"""Of a token's logarithm, the mean over all tokens subtracted: what is less than this base counts as nothing,
the rest is kept in quarters."""

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class People:
    """Utterances as a recogniser hears them, and sounds in which nobody speaks.

    Attributes
    ----------
    rows : array [n, n_tokens] uint8
        Output frames of all utterances, one after the other, see `BASE`.
    ends : array [n_utterances] int64
        Where each utterance ends among them.
    tokens : array [m] uint8
        What is said in all utterances.
    token_ends : array [n_utterances] int64
        Where each utterance's tokens end among them.
    middles : array [m] int32
        In which of its utterance's rows each token is in its middle.
    clear, apart : array [n_utterances] bool
        Whether the transcript agrees with what was heard, and whether the speaker is only measured on.
    sounds : array [k, n_tokens] uint8
        The same as rows of noise and music.
    frames : array [j, n_bands] float32
        Input frames that are like all others, to choose scales by.
    fingerprint : str
        Of the model, see :func:`~edgeaudio.models.background.embedding_fingerprint`.
    """

    rows: Bytes
    ends: NDArray[np.int64]
    tokens: Bytes
    token_ends: NDArray[np.int64]
    middles: NDArray[np.int32]
    clear: NDArray[np.bool_]
    apart: NDArray[np.bool_]
    sounds: Bytes
    frames: NDArray[np.float32]
    fingerprint: str

    def __len__(self) -> int:
        """Number of utterances."""
        return len(self.ends)

    def rows_of(self, i: int) -> Bytes:
        """``[n, n_tokens]`` of an utterance."""
        return self.rows[self.ends[i - 1] if i else 0 : self.ends[i]]

    def said(self, i: int) -> tuple[tuple[int, ...], NDArray[np.int32]]:
        """Tokens of an utterance, and the rows in which each is in its middle."""
        part = slice(self.token_ends[i - 1] if i else 0, self.token_ends[i])
        return tuple(self.tokens[part].tolist()), self.middles[part]


def save_people(folder: Path, people: People) -> Path:
    """Write the file beside a model's graphs."""
    path = folder / PEOPLE_FILE
    arrays = {field.name: getattr(people, field.name) for field in fields(People)}
    arrays["fingerprint"] = np.frombuffer(bytes.fromhex(people.fingerprint), np.uint8)
    arrays["frames"] = people.frames.astype(np.float16)
    np.savez_compressed(path, **arrays)
    return path


def load_people(folder: Path, manifest: ModelManifest) -> People:
    """Read what is beside a recogniser.

    Raises
    ------
    ModelError
        If there is none, it is no such file, or belongs to another version of the model.
    """
    path = folder / PEOPLE_FILE
    if not path.is_file():
        raise ModelError(
            f"model '{manifest.name}' has no {PEOPLE_FILE}: no phrase can be put together with it",
            hint="Who trained it makes the file with tools/make-people.",
        )
    people = read_beside(
        path, manifest, _read, what="people", max_bytes=_MAX_BYTES, made_by="tools/make-people"
    )
    if people.rows.shape[1] != len(manifest.labels) or people.frames.shape[1] != manifest.frontend.n_bands:
        raise ModelError(f"{path} does not fit the model's tokens or bands")
    return people


def _read(data: bytes) -> People:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        found = {field.name: arrays[field.name] for field in fields(People)}
    people = People(
        **{**found, "fingerprint": found["fingerprint"].tobytes().hex()},
    )
    if not _fits(people):
        raise ModelError("its arrays do not fit each other")
    return People(**{**vars(people), "frames": people.frames.astype(np.float32)})


def _fits(people: People) -> bool:
    n = people.ends.size
    kinds: dict[str, type[np.generic]] = {"rows": np.uint8, "tokens": np.uint8, "sounds": np.uint8}
    kinds |= {"ends": np.int64, "token_ends": np.int64, "middles": np.int32, "frames": np.float16}
    if any(getattr(people, name).dtype != kind for name, kind in kinds.items()):
        return False
    if people.rows.ndim != 2 or people.sounds.ndim != 2 or people.frames.ndim != 2 or n == 0:
        return False
    rows, tokens = np.diff(people.ends, prepend=0), np.diff(people.token_ends, prepend=0)
    return bool(
        people.ends.ndim == people.token_ends.ndim == people.tokens.ndim == 1
        and people.token_ends.size == people.clear.size == people.apart.size == n
        and people.clear.dtype == people.apart.dtype == np.bool_
        and (rows > 0).all()
        and (tokens > 0).all()
        and people.ends[-1] == len(people.rows)
        and people.token_ends[-1] == len(people.tokens) == len(people.middles)
        and (people.middles >= 0).all()
        and (people.middles < np.repeat(rows, tokens)).all()
        and (people.tokens < people.rows.shape[1]).all()
        and people.sounds.shape[1] == people.rows.shape[1]
        and len(people.sounds) > 0
        and len(people.frames) > 0
        and np.isfinite(people.frames).all()
    )

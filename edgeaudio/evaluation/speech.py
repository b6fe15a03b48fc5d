"""Recordings whose every 10 ms are known to hold speech or not, as they are or in noise.

A row says it by its label: ``speech:0.31-1.9,2.4-3`` names the seconds; plain ``speech``, or any label with a
text beside it, means a clean recording in which speech is found by its level; anything else is no speech
from beginning to end.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeaudio.errors import InputError
from edgeaudio.evaluation.manifest import Row, read_clip, read_manifest
from edgeaudio.evaluation.mixing import NoiseBank, active_rms, add_noise, in_quiet
from edgeaudio.sources.file import SUFFIXES
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = [
    "FRAME_SAMPLES",
    "SPEECH",
    "Excerpt",
    "excerpts",
    "is_speech",
    "read_noise",
    "speech_by_level",
    "stretches",
]

FRAME_SAMPLES = SAMPLE_RATE_HZ // 100
SPEECH = "speech"
OTHER_FRAME, SPEECH_FRAME, UNJUDGED = 0, 1, -1

BEFORE_S, AFTER_S = 1.0, 1.5
"""Quiet around a clean recording: its speech begins and ends within the stream, and pauses can be judged."""

_BELOW_LOUDEST_DB = 30.0
_ABOVE_FLOOR_DB = 10.0
_LEAST_RANGE_DB = 10.0
_DOUBT_DB = 6.0
_BRIDGED_FRAMES = 20
_SHORTEST_FRAMES = 3
_SILENT_DB = -100.0
_SPAN = re.compile(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Excerpt:
    """A recording as a detector hears it.

    ``truth`` ``[n_frames] int8`` says of each 10 ms: 1 is speech, 0 anything else, -1 not judged.
    ``group`` tells which recordings are alike; ``snr_db`` is None where no noise was mixed in.
    """

    origin: str
    group: str
    samples: Samples
    truth: NDArray[np.int8]
    snr_db: float | None = None


def speech_by_level(samples: Samples) -> NDArray[np.int8]:
    """Find the speech in a clean recording by its level, in frames of 10 ms.

    Speech is what lies at most 30 dB below the loudest 50 ms and at least 10 dB above the softest
    twentieth of the recording; pauses shorter than 0.2 s, such as before a plosive, are a part of it. What
    is up to 6 dB softer, such as soft sounds of speech and breath, is not judged, and neither are clicks
    shorter than 30 ms.

    Returns
    -------
    array [len(samples) // 160] int8
        1, 0 or -1, see `Excerpt`.
    """
    level_db = _smoothed_db(samples, 3)
    if not len(level_db):
        return np.zeros(0, np.int8)
    loudest_db, floor_db = float(_smoothed_db(samples, 5).max()), float(np.quantile(level_db, 0.05))
    if loudest_db <= _SILENT_DB:
        return np.zeros(len(level_db), np.int8)
    least_db = max(loudest_db - _BELOW_LOUDEST_DB, floor_db + _ABOVE_FLOOR_DB)
    # A recording cut so closely that it has no pause is speech throughout, not only where it is loudest.
    least_db = min(least_db, loudest_db - _LEAST_RANGE_DB)
    truth = np.full(len(level_db), UNJUDGED, np.int8)
    truth[level_db < least_db - _DOUBT_DB] = OTHER_FRAME
    # The mean over three frames bridges a pitch period, but begins a frame early and ends one late.
    loud = level_db >= least_db
    loud &= _smoothed_db(samples, 1) >= least_db - _DOUBT_DB
    runs = [(start, end) for start, end in _runs(loud) if end - start >= _SHORTEST_FRAMES]
    for start, end in _bridged(runs, _BRIDGED_FRAMES):
        truth[start:end] = SPEECH_FRAME
    return truth


def stretches(truth: NDArray[np.int8], *, least_pause_s: float) -> list[tuple[int, int]]:
    """Return where speech begins and ends, in frames, pauses shorter than `least_pause_s` included."""
    return _bridged(_runs(truth == SPEECH_FRAME), round(least_pause_s * SAMPLE_RATE_HZ / FRAME_SAMPLES))


def is_speech(row: Row, labels: Collection[str] = (SPEECH,)) -> bool:
    """Say whether a recording holds speech: by its label, else by whether it has a text.

    Raises
    ------
    InputError
        The row has neither label nor text.
    """
    label = row.label.partition(":")[0]
    if label in labels:
        return True
    if not row.label and not row.text:
        raise InputError(
            f"{row.origin}: neither label nor text says whether this is speech",
            hint="Write the label speech, speech:START-END in seconds, or the name of anything else.",
        )
    return bool(row.text)


def excerpts(
    rows: Sequence[Row],
    *,
    noise: NoiseBank | None = None,
    snrs_db: Sequence[float] = (),
    labels: Collection[str] = (SPEECH,),
    whole: bool = False,
) -> Iterator[Excerpt]:
    """Read recordings, and mix noise into those that are clean speech: each once for each ratio.

    Around clean speech there is 1 s of the quiet of its own room before and 1.5 s after it. Recordings whose
    times are known are heard as they are, without noise, and so is what is no speech. Mixtures are the same
    each time.

    Parameters
    ----------
    rows : sequence of Row
    noise : NoiseBank, optional
        What is mixed in.
    snrs_db : sequence of float
        At which signal-to-noise ratios; the speech's level is that of its active part.
    labels : collection of str
        Which labels mean speech.
    whole : bool
        Take what has the label of speech for speech from beginning to end, instead of finding it by level.

    Raises
    ------
    InputError
        A recording cannot be read, or its row does not say what it is.
    """
    for row in rows:
        if not is_speech(row, labels):
            samples = read_clip(row)
            truth = np.zeros(len(samples) // FRAME_SAMPLES, np.int8)
            yield Excerpt(row.origin, _group(row), samples, truth)
            continue
        label, timed, _ = row.label.partition(":")
        if label in labels and (timed or whole):
            samples = read_clip(row)
            yield Excerpt(row.origin, _group(row), samples, _truth_by_time(row, len(samples)))
        else:
            yield from _clean(row, noise, snrs_db)


def read_noise(path: Path) -> list[Row]:
    """Return the recordings of a manifest, of the manifest.tsv in a folder, or all those in the folder.

    Raises
    ------
    InputError
        There are none.
    """
    if not path.is_dir():
        return read_manifest(path)
    if (path / "manifest.tsv").is_file():
        return read_manifest(path / "manifest.tsv")
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not files:
        raise InputError(f"{path}: no recordings there", hint=f"Looked for {' '.join(SUFFIXES)}")
    return [Row(path=file, origin=str(file)) for file in files]


def _clean(row: Row, noise: NoiseBank | None, snrs_db: Sequence[float]) -> Iterator[Excerpt]:
    samples = read_clip(row)
    n_before, n_after = round(BEFORE_S * SAMPLE_RATE_HZ), round(AFTER_S * SAMPLE_RATE_HZ)
    truth = np.zeros((n_before + len(samples) + n_after) // FRAME_SAMPLES, np.int8)
    own = speech_by_level(samples)
    truth[n_before // FRAME_SAMPLES : n_before // FRAME_SAMPLES + len(own)] = own
    # Measured before anything is added: the level of what was recorded.
    speech_rms = active_rms(samples)
    around = in_quiet(samples, n_before, n_after)
    if noise is None or not snrs_db:
        yield Excerpt(row.origin, _group(row), around, truth)
        return
    for snr_db in snrs_db:
        # From the row's own place, so that fewer rows or other ratios do not change its noise.
        seed = zlib.crc32(f"{row.path.name} {snr_db:g}".encode())
        excerpt = noise.excerpt(np.random.default_rng(seed), len(around))
        mixed = add_noise(around, excerpt, speech_rms=speech_rms, snr_db=snr_db)
        yield Excerpt(row.origin, _group(row), mixed, truth, snr_db)


def _truth_by_time(row: Row, n_samples: int) -> NDArray[np.int8]:
    """What the row's label says: the seconds it names, or everything."""
    _, colon, spans = row.label.partition(":")
    truth = np.zeros(n_samples // FRAME_SAMPLES, np.int8)
    if not colon:
        truth[:] = SPEECH_FRAME
        return truth
    for span in spans.split(","):
        match = _SPAN.fullmatch(span.strip())
        if match is None or float(match[1]) >= float(match[2]):
            raise InputError(
                f"{row.origin}: {span!r} is no stretch of time",
                hint="Write for example speech:0.31-1.90,2.40-3.05",
            )
        start, end = (round(float(second) * SAMPLE_RATE_HZ / FRAME_SAMPLES) for second in match.groups())
        truth[start:end] = SPEECH_FRAME
    return truth


def _group(row: Row) -> str:
    return row.speaker or row.origin


def _smoothed_db(samples: Samples, n_frames: int) -> NDArray[np.float64]:
    """Level of each frame of 10 ms and of those around it, `n_frames` together."""
    whole = samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES]
    power = np.square(whole.reshape(-1, FRAME_SAMPLES), dtype=np.float64).mean(axis=1)
    padded = np.pad(power, n_frames // 2, mode="edge") if len(power) else power
    mean = np.convolve(padded, np.full(n_frames, 1 / n_frames), mode="valid") if len(power) else power
    level: NDArray[np.float64] = 10 * np.log10(mean + 1e-12)
    return level


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where a mask is True: first index, and the one behind the last."""
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _bridged(runs: list[tuple[int, int]], least_gap: int) -> list[tuple[int, int]]:
    """Join what is less than `least_gap` apart."""
    joined: list[tuple[int, int]] = []
    for start, end in runs:
        near = bool(joined) and start - joined[-1][1] < least_gap
        joined.append((joined.pop()[0] if near else start, end))
    return joined

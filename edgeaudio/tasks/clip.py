"""One decision for a whole short recording, as the Speech Commands test sets ask for.

The live decision lies in :mod:`edgeaudio.tasks.trigger`; this one sees all posteriors at once. Pure
numpy, shared by training (which tunes the two thresholds) and evaluation (which reports them).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeaudio.types import SAMPLE_RATE_HZ, Frames, Samples

__all__ = ["CLIP_LEAD_S", "CLIP_TAIL_S", "clip_decision", "pad_clip", "smooth"]

CLIP_LEAD_S = 0.2
CLIP_TAIL_S = 0.4
"""Silence around a recording: room for the model to start, and to answer after the last sample."""


def pad_clip(samples: Samples) -> Samples:
    """A recording with digital silence around it, ``[n + 9600]``, for :func:`clip_decision`."""
    lead, tail = round(CLIP_LEAD_S * SAMPLE_RATE_HZ), round(CLIP_TAIL_S * SAMPLE_RATE_HZ)
    return np.pad(samples, (lead, tail)).astype(np.float32)


def smooth(posteriors: Frames, n_frames: int) -> Frames:
    """Mean of each posterior over the newest ``n_frames`` frames; shorter at the start."""
    total = np.cumsum(np.vstack([np.zeros_like(posteriors[:1]), posteriors]), axis=0, dtype=np.float64)
    ends = np.arange(1, len(posteriors) + 1)
    starts = np.maximum(ends - n_frames, 0)
    return ((total[ends] - total[starts]) / n_frames).astype(np.float32)


def clip_decision(
    posteriors: Frames,
    labels: Sequence[str],
    *,
    word_threshold: float,
    silence_threshold: float,
    smoothing_frames: int,
) -> str:
    """The label of a recording that holds one word, an unknown one, or none.

    Parameters
    ----------
    posteriors : Frames
        ``[n, n_labels] float32``, softmax over ``labels``, for every output frame of the recording
        after :func:`pad_clip`.
    labels : sequence of str
        Words, and the silent labels ``"unknown"`` and ``"silence"``.
    word_threshold : float
        The word with the highest smoothed posterior wins if that reaches this value.
    silence_threshold : float
        Otherwise it was silence if the smoothed posterior of silence never fell below this value.
    smoothing_frames : int
        Output frames in the moving mean.
    """
    smoothed = smooth(posteriors, smoothing_frames)
    words = [i for i, label in enumerate(labels) if label not in ("unknown", "silence")]
    peaks = smoothed[:, words].max(axis=0)
    if peaks.max() >= word_threshold:
        return labels[words[int(peaks.argmax())]]
    # The first frames average over less than a full window and would look like speech.
    quietest = smoothed[smoothing_frames - 1 :, labels.index("silence")].min()
    return "silence" if quietest >= silence_threshold else "unknown"

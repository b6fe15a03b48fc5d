"""Hard negatives: where in hours of other speech a network hears a word that nobody said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgeaudio.frontend import FrontendSpec
from edgeaudio.tasks.clip import smooth
from edgeaudio.training.corpus import Clip, mentions
from edgeaudio.training.hearing import posteriors
from edgeaudio.training.nets import SpotterNet
from edgeaudio.types import SAMPLE_RATE_HZ

__all__ = ["hard_negatives"]

BEFORE_S, AFTER_S = 1.2, 0.3
"""What is cut out around a false peak: all that the network saw, and a little of what follows."""
MIN_PEAK = 0.2
_AT_ONCE = 512


def hard_negatives(
    net: SpotterNet, speech: Sequence[Clip], words: Sequence[str], spec: FrontendSpec, *, most: int = 600
) -> list[Clip]:
    """Cut out the worst false peaks, at most one a recording and word, highest first.

    Parameters
    ----------
    speech : sequence of Clip
        Recordings whose transcript, where there is one, tells which words really occur: those do not
        count as false.
    most : int
        Longest list returned.
    """
    frame_samples = spec.hop_samples * net.spec.stride
    found: list[tuple[float, Clip]] = []
    for first in range(0, len(speech), _AT_ONCE):
        part = speech[first : first + _AT_ONCE]
        heard = posteriors(net, [clip.pcm / np.float32(32768.0) for clip in part], spec)
        for clip, result in zip(part, heard, strict=True):
            if not len(result):
                continue
            smoothed = smooth(result[:, : len(words)], 5)
            for w in np.flatnonzero(smoothed.max(axis=0) > MIN_PEAK):
                if mentions(clip, [words[int(w)]]):
                    continue
                at = (int(smoothed[:, w].argmax()) + 1) * frame_samples
                start = max(0, at - round(BEFORE_S * SAMPLE_RATE_HZ))
                cut = clip.pcm[start : at + round(AFTER_S * SAMPLE_RATE_HZ)]
                found.append((float(smoothed[:, w].max()), replace(clip, pcm=cut)))
    found.sort(key=lambda item: -item[0])
    return [clip for _, clip in found[:most]]

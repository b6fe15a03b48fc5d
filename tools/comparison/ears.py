"""What samples become before anything is learned: mel bands, whole power spectra, two resolutions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeaudio.dsp.mel import hz_to_mel
from edgeaudio.dsp.window import make_window
from edgeaudio.frontend import Frontend, FrontendSpec
from edgeaudio.training.batches import offline_frames
from edgeaudio.training.sounds import SHARED_SPEC
from edgeaudio.training.sounds_frames import Ear, frontend_ear
from edgeaudio.types import Frames, Samples

__all__ = ["LONG_SPEC", "bin_mels", "mel_ear", "spectrum_ear", "two_ears"]

LONG_SPEC = FrontendSpec(
    window_ms=100.0, n_fft=2048, n_mels=SHARED_SPEC.n_mels, fmin_hz=40.0, fmax_hz=7600.0, log_floor=1e-6
)
"""Four times the resolution in frequency, a fourth of it in time."""
FLOOR = 1e-6


def mel_ear() -> Ear:
    """The frames that the shipped model hears."""
    return frontend_ear(SHARED_SPEC)


def bin_mels() -> NDArray[np.float32]:
    """``[n_bins]``: where a bin of the short spectrum lies on the mel scale, 0 at 40 and 1 at 7600 Hz."""
    hz = np.arange(SHARED_SPEC.n_fft // 2 + 1) * SHARED_SPEC.sample_rate_hz / SHARED_SPEC.n_fft
    low, high = hz_to_mel(np.array([SHARED_SPEC.fmin_hz, SHARED_SPEC.fmax_hz]), "htk")
    return np.asarray((hz_to_mel(hz, "htk") - low) / (high - low), np.float32)


def spectrum_ear() -> Ear:
    """Logarithms of the power in each bin, of the very windows that the mel bands are made of."""
    spec = SHARED_SPEC
    shape = make_window(spec.window, spec.window_samples)

    def frames_of(samples: Samples) -> Frames:
        size, hop = spec.window_samples, spec.hop_samples
        blocks = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop].astype(np.float32)
        blocks -= blocks.mean(axis=1, keepdims=True)
        emphasised = blocks - spec.preemphasis * np.roll(blocks, 1, axis=1)
        emphasised[:, 0] = (1.0 - spec.preemphasis) * blocks[:, 0]
        power = np.abs(np.fft.rfft(emphasised * shape, spec.n_fft)) ** 2
        return np.log(power + FLOOR).astype(np.float32)

    return Ear("power spectrum", frames_of, np.clip(bin_mels(), 0.0, 1.0), FLOOR)


def two_ears() -> Ear:
    """Bands of 25 ms, and beside them bands of 100 ms that end with the same frame."""
    short, long = Frontend(SHARED_SPEC), Frontend(LONG_SPEC)
    lead = LONG_SPEC.window_samples - SHARED_SPEC.window_samples

    def frames_of(samples: Samples) -> Frames:
        first = offline_frames(short, samples)
        second = offline_frames(long, np.pad(samples, (lead, 0)).astype(np.float32))
        # A longer window gathers as much more power from the same steady sound.
        return np.concatenate([first, second - np.float32(np.log(4.0))], axis=1)

    positions = np.tile(np.linspace(0.0, 1.0, SHARED_SPEC.n_mels, dtype=np.float32), 2)
    return Ear("two resolutions", frames_of, positions, FLOOR)

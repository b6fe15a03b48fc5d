"""The whole frontend again in float64, slow and obvious: the truth that tests compare with."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from edgeaudio.frontend import FrontendSpec

__all__ = ["features", "filterbank"]

Array = NDArray[np.float64]


def features(x: NDArray[np.float32], spec: FrontendSpec) -> Array:
    """Return all frames of the recording `x`, shape ``[n_frames, n_bands]``."""
    scaled = x.astype(np.float64) * spec.input_scale
    if spec.features == "waveform":
        return waveform(scaled, spec)
    bands = np.array([mel_energies(frame, spec) for frame in cut(scaled, spec)])
    bands = bands.reshape(-1, spec.n_mels)
    if spec.features == "pcen":
        return pcen(bands, spec)
    logs = np.log(np.maximum(bands + spec.log_offset, spec.log_floor))
    return np.array([cepstrum(row, spec) for row in logs]) if spec.features == "mfcc" else logs


def cut(x: Array, spec: FrontendSpec) -> list[Array]:
    """Return every whole window."""
    window = int(spec.sample_rate_hz * spec.window_ms / 1000)
    hop = int(spec.sample_rate_hz * spec.hop_ms / 1000)
    return [x[start : start + window] for start in range(0, len(x) - window + 1, hop)]


def mel_energies(frame: Array, spec: FrontendSpec) -> Array:
    if spec.remove_dc:
        frame = frame - frame.mean()
    previous = np.concatenate([frame[:1], frame[:-1]])
    frame = (frame - spec.preemphasis * previous) * window_weights(spec.window, len(frame))
    spectrum = np.abs(np.fft.rfft(frame, spec.n_fft))
    return filterbank(spec) @ (spectrum**2 if spec.power else spectrum)


def window_weights(name: str, n: int) -> Array:
    if name == "hann_periodic":
        return np.hanning(n + 1)[:-1]
    return {"povey": np.hanning(n) ** 0.85, "hann": np.hanning(n), "hamming": np.hamming(n)}[name]


def to_mel(hz: float, scale: str) -> float:
    if scale == "htk":
        return float(1127 * np.log(1 + hz / 700))
    return hz * 3 / 200 if hz < 1000 else float(15 + 27 * np.log(hz / 1000) / np.log(6.4))


def to_hz(mel: float, scale: str) -> float:
    if scale == "htk":
        return float(700 * (np.exp(mel / 1127) - 1))
    return mel * 200 / 3 if mel < 15 else float(1000 * 6.4 ** ((mel - 15) / 27))


@cache
def filterbank(spec: FrontendSpec) -> Array:
    """Return mel weights one at a time, shape ``[n_mels, n_fft // 2 + 1]``."""
    low, high = to_mel(spec.fmin_hz, spec.mel_scale), to_mel(spec.fmax_hz, spec.mel_scale)
    step = (high - low) / (spec.n_mels + 1)
    weights = np.zeros((spec.n_mels, spec.n_fft // 2 + 1))
    for band in range(spec.n_mels):
        corners = [low + (band + i) * step for i in range(3)]
        corners_hz = [to_hz(mel, spec.mel_scale) for mel in corners]
        for k in range(spec.n_fft // 2 + 1):
            hz = k * spec.sample_rate_hz / spec.n_fft
            if spec.mel_scale == "htk":
                weights[band, k] = triangle(to_mel(hz, "htk"), corners)
            else:
                weights[band, k] = triangle(hz, corners_hz)
        if spec.mel_norm == "slaney":
            weights[band] *= 2 / (corners_hz[2] - corners_hz[0])
    return weights


def triangle(x: float, corners: list[float]) -> float:
    left, centre, right = corners
    if not left < x < right:
        return 0.0
    return (x - left) / (centre - left) if x <= centre else (right - x) / (right - centre)


def cepstrum(log_mel: Array, spec: FrontendSpec) -> Array:
    n = len(log_mel)
    out = np.zeros(spec.n_mfcc)
    for i in range(spec.n_mfcc):
        basis = np.cos(np.pi * i * (np.arange(n) + 0.5) / n)
        out[i] = basis @ log_mel * np.sqrt((1 if i == 0 else 2) / n)
        if spec.lifter:
            out[i] *= 1 + spec.lifter / 2 * np.sin(np.pi * i / spec.lifter)
    return out


def pcen(energies: Array, spec: FrontendSpec) -> Array:
    out = np.zeros_like(energies)
    level = energies[0] if len(energies) else None
    for i, energy in enumerate(energies):
        level = (1 - spec.pcen_smoothing) * level + spec.pcen_smoothing * energy
        ratio = energy / (spec.pcen_eps + level) ** spec.pcen_gain
        out[i] = (ratio + spec.pcen_bias) ** spec.pcen_root - spec.pcen_bias**spec.pcen_root
    return out


def waveform(x: Array, spec: FrontendSpec) -> Array:
    hop = int(spec.sample_rate_hz * spec.hop_ms / 1000)
    blocked = x.copy()
    if spec.remove_dc:
        blocked[:1] = 0
        for i in range(1, len(x)):
            blocked[i] = x[i] - x[i - 1] + 0.995 * blocked[i - 1]
    emphasised = blocked - spec.preemphasis * np.concatenate([blocked[:1], blocked[:-1]])
    return emphasised[: len(x) // hop * hop].reshape(-1, hop)

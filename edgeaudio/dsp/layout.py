"""Lay out the kernel's tables, state and scratch for one spec."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeaudio.dsp.fft import core_twiddles, half_twiddles, split_twiddles
from edgeaudio.dsp.kernel import Feature, Plan
from edgeaudio.dsp.kernel_fft import AT_INPUT, AT_OUTPUT, AT_TWIDDLES, WORK_SIZE
from edgeaudio.dsp.mel import pack_pieces
from edgeaudio.dsp.mfcc import dct_matrix
from edgeaudio.dsp.spec import FrontendSpec
from edgeaudio.dsp.window import make_window

__all__ = ["lay_out"]

_CACHE_LINE = 8  # float64 values


def lay_out(spec: FrontendSpec) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Build the kernel's two arrays.

    Returns
    -------
    plan : int64 array
        See :class:`~edgeaudio.dsp.kernel.Plan`.
    memory : float64 array
        All but the waiting samples, for which the caller adds room at the end.
    """
    starts, owners, weights = pack_pieces(spec.mel_weights())
    plan = np.concatenate([np.zeros(Plan.STARTS, np.int64), starts, owners])
    plan[Plan.FEATURE] = Feature[spec.features.upper()]
    plan[Plan.WINDOW], plan[Plan.HOP], plan[Plan.N_FFT] = spec.window_samples, spec.hop_samples, spec.n_fft
    plan[Plan.N_MELS], plan[Plan.N_PIECES] = spec.n_mels, starts.size
    plan[Plan.POWER], plan[Plan.REMOVE_DC] = spec.power, spec.remove_dc

    work = np.zeros(WORK_SIZE)
    work[AT_TWIDDLES:] = core_twiddles().ravel()
    # The 256-point FFT's own input and output serve lengths that need no more than it.
    plan[Plan.AT_PACKED], plan[Plan.AT_SPECTRUM] = AT_INPUT, AT_OUTPUT
    parts, size = [work], WORK_SIZE
    for field, values in _blocks(spec, weights).items():
        plan[field] = size
        padding = -values.size % _CACHE_LINE
        parts += [values.ravel(), np.zeros(padding)]
        size += values.size + padding
    return plan, np.concatenate(parts)


def _blocks(spec: FrontendSpec, weights: NDArray[np.float64]) -> dict[Plan, NDArray[np.float64]]:
    """Return what stands behind each offset, state and waiting samples last."""
    half = spec.n_fft // 2
    blocks: dict[Plan, NDArray[np.float64]] = {
        Plan.AT_SETTINGS: _settings(spec),
        Plan.AT_WINDOW: _window(spec),
        Plan.AT_FRAME: np.zeros(spec.n_fft),
        Plan.AT_TWIDDLES: half_twiddles(spec.n_fft),
        Plan.AT_POWER: np.zeros(half),
        Plan.AT_WEIGHTS: weights,
        Plan.AT_MEL: np.zeros(len(weights)),
        Plan.AT_LOG: np.zeros(spec.n_mels),
        Plan.AT_DCT: dct_matrix(spec.n_mels, spec.n_mfcc, spec.lifter),
    }
    if spec.n_fft > 512:
        blocks[Plan.AT_PACKED] = np.zeros(spec.n_fft)
        blocks[Plan.AT_SPECTRUM] = np.zeros(spec.n_fft)
        blocks[Plan.AT_SPLIT] = split_twiddles(half)
    # PCEN's smoother, or two values of the waveform's filter.
    blocks[Plan.AT_STATE] = np.zeros(max(spec.n_mels, 2))
    blocks[Plan.AT_SAMPLES] = np.zeros(0)
    return blocks


def _settings(spec: FrontendSpec) -> NDArray[np.float64]:
    """Return the scalars in the order of ``kernel_bands``."""
    return np.array(
        [
            spec.preemphasis,
            spec.input_scale,
            spec.log_floor,
            spec.pcen_smoothing,
            spec.pcen_gain,
            spec.pcen_bias,
            spec.pcen_root,
            spec.pcen_eps,
            spec.log_offset,
        ]
    )


def _window(spec: FrontendSpec) -> NDArray[np.float64]:
    if spec.features == "waveform":
        return np.zeros(0)
    # The packed FFT yields twice the spectrum, see kernel_fft.packed_power.
    factor = spec.input_scale * (1.0 if spec.n_fft == 256 else 0.5)
    return make_window(spec.window, spec.window_samples) * factor

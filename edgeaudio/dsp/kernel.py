"""The compiled frontend: one call turns a block of samples into feature frames.

The entry point :func:`run` takes four arrays only, since each array argument costs about
70 ns a call: the block, one int64 array (counters and layout, :class:`Plan`), one float64 array
(tables, state, scratch and waiting samples, cut by the offsets in the plan) and the output.
All is computed in float64 up to the band energies: float32 would be a quarter of a microsecond
faster and up to 4e-4 off in narrow bands (as Kaldi's is), where a bin is near zero by chance.
Frames are computed one at a time from raw samples, always by the same instructions, so the
result cannot depend on how the stream was cut into blocks.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from numba import njit, types

from edgeaudio.compiled import cached_njit
from edgeaudio.dsp import kernel_bands, kernel_fft
from edgeaudio.dsp.kernel_bands import (
    FLOOR,
    OFFSET,
    PREEMPHASIS,
    condition,
    log_bands,
    mel_bands,
    pcen_bands,
    project,
    waveform,
)
from edgeaudio.dsp.kernel_fft import AT_INPUT, AT_OUTPUT, fft256, packed_power, split_fft

__all__ = ["Feature", "Plan", "run"]


class Feature(IntEnum):
    """What :func:`run` writes."""

    LOG_MEL = 0
    MFCC = 1
    PCEN = 2
    WAVEFORM = 3


class Plan(IntEnum):
    """Fields of the int64 array; ``AT_*`` are offsets into the float64 array."""

    WAITING = 0  # samples carried over from earlier blocks
    STARTED = 1  # 1 once PCEN's smoother or the waveform's filter has seen input
    FEATURE = 2
    WINDOW = 3
    HOP = 4
    N_FFT = 5
    N_MELS = 6
    N_PIECES = 7
    POWER = 8  # 1: power spectrum, 0: magnitude
    REMOVE_DC = 9
    AT_SETTINGS = 10
    AT_WINDOW = 11
    AT_FRAME = 12
    AT_PACKED = 13
    AT_SPECTRUM = 14
    AT_SPLIT = 15
    AT_TWIDDLES = 16
    AT_POWER = 17
    AT_WEIGHTS = 18
    AT_MEL = 19
    AT_LOG = 20
    AT_DCT = 21
    AT_STATE = 22
    AT_SAMPLES = 23
    STARTS = 24  # from here: first bin of each piece of the filterbank, then owners, see mel.py


_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz", "reassoc"}}
_inner = njit(**_OPTIONS)


@_inner
def _part(memory, at, size):  # type: ignore[no-untyped-def]
    return memory[at : at + size]


@_inner
def _spectrum(plan, memory):  # type: ignore[no-untyped-def]
    """From the windowed frame to its power or magnitude, ``[n_fft // 2]``."""
    n_fft = plan[Plan.N_FFT]
    half = n_fft // 2
    frame = _part(memory, plan[Plan.AT_FRAME], n_fft)
    power = _part(memory, plan[Plan.AT_POWER], half)
    if n_fft == 256:
        for k in range(256):
            memory[AT_INPUT + k] = frame[k]
            memory[AT_INPUT + 256 + k] = 0.0
        fft256(memory)
        for k in range(128):
            re, im = memory[AT_OUTPUT + k], memory[AT_OUTPUT + 256 + k]
            power[k] = re * re + im * im
    else:
        re, im = _part(memory, plan[Plan.AT_PACKED], half), _part(memory, plan[Plan.AT_PACKED] + half, half)
        for k in range(half):
            re[k], im[k] = frame[2 * k], frame[2 * k + 1]
        spectrum = _part(memory, plan[Plan.AT_SPECTRUM], n_fft)
        if n_fft == 512:
            fft256(memory)
        else:
            split_fft(memory, re, im, _part(memory, plan[Plan.AT_SPLIT], half // 128 * half), spectrum)
        twiddles = _part(memory, plan[Plan.AT_TWIDDLES], n_fft)
        packed_power(spectrum[:half], spectrum[half:], twiddles[:half], twiddles[half:], power)
    if not plan[Plan.POWER]:
        for k in range(half):
            power[k] = np.sqrt(power[k])
    return power


@_inner
def _frame(x, plan, memory, out):  # type: ignore[no-untyped-def]
    """Compute one frame from its samples."""
    settings = _part(memory, plan[Plan.AT_SETTINGS], 9)
    started = plan[Plan.STARTED]
    plan[Plan.STARTED] = 1
    n_mels, n_pieces = plan[Plan.N_MELS], plan[Plan.N_PIECES]
    if plan[Plan.FEATURE] == Feature.WAVEFORM:
        waveform(x, settings, plan[Plan.REMOVE_DC], _part(memory, plan[Plan.AT_STATE], 2), started, out)
        return
    window = _part(memory, plan[Plan.AT_WINDOW], x.size)
    samples = _part(memory, plan[Plan.AT_FRAME], x.size)
    condition(x, window, plan[Plan.REMOVE_DC], settings[PREEMPHASIS], samples)
    power = _spectrum(plan, memory)
    mel = _part(memory, plan[Plan.AT_MEL], n_pieces)
    starts, owners = plan[Plan.STARTS : Plan.STARTS + n_pieces], plan[Plan.STARTS + n_pieces :]
    mel_bands(power, _part(memory, plan[Plan.AT_WEIGHTS], 16 * n_pieces), starts, owners, mel)
    if plan[Plan.FEATURE] == Feature.LOG_MEL:
        log_bands(mel, settings[OFFSET], settings[FLOOR], out)
    elif plan[Plan.FEATURE] == Feature.PCEN:
        pcen_bands(mel, _part(memory, plan[Plan.AT_STATE], n_mels), started, settings, out)
    else:
        logs = _part(memory, plan[Plan.AT_LOG], n_mels)
        log_bands(mel, settings[OFFSET], settings[FLOOR], logs)
        project(logs, _part(memory, plan[Plan.AT_DCT], n_mels * out.size), out)


_BLOCK = types.Array(types.float32, 1, "C", readonly=True)


@cached_njit(
    types.int64(_BLOCK, types.int64[::1], types.float64[::1], types.float32[:, ::1]),
    calls=(kernel_fft, kernel_bands),
    **_OPTIONS,
)
def run(x, plan, memory, frames):  # type: ignore[no-untyped-def]
    """Append block `x` to the waiting samples, write every frame that is now complete, return their number.

    `memory` must have room for the waiting samples and the block behind ``AT_SAMPLES``, `frames` for all
    frames. Releases the GIL.
    """
    samples = memory[plan[Plan.AT_SAMPLES] :]
    waiting = plan[Plan.WAITING]
    # A loop, because Numba compiles a slice assignment together with its error messages.
    for k in range(x.size):
        samples[waiting + k] = x[k]
    total = waiting + x.size
    window, hop = plan[Plan.WINDOW], plan[Plan.HOP]
    start = 0
    n = 0
    while start + window <= total:
        _frame(samples[start : start + window], plan, memory, frames[n])
        start += hop
        n += 1
    for k in range(total - start):
        samples[k] = samples[start + k]
    plan[Plan.WAITING] = total - start
    return n

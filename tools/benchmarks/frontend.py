"""Microseconds per 10 ms frame of the frontend, beside other streaming frontends."""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeaudio.frontend import Frontend, FrontendSpec
from tools.benchmarks.report import Limit, Report, Table

RATE_HZ, HOP, WINDOW, N_FFT = 16_000, 160, 400, 512
BANDS = (40, 64, 80, 128)
LIMITED_BANDS = (40, 80)
BLOCKS = (160, 320, 1280)
FMIN_HZ = 60.0
"""With 128 bands from 20 Hz one has no bin of the FFT, which newer versions of kaldi-native-fbank refuse."""
PACKAGES = ["numpy", "numba", "kaldi-native-fbank", "pymicro-features"]
MAX_OF_KALDI, MAX_OF_MICRO = 0.25, 0.4

Run = Callable[[], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write medians and ratios as JSON")


def run(options: argparse.Namespace) -> Report:
    """Measure every combination; the contestants take turns, and the medians count."""
    rounds = 15 if options.smoke else 101
    samples = np.random.default_rng(1).standard_normal(RATE_HZ).astype(np.float32) * np.float32(0.1)
    rows, limits, results = [], [], []
    for n_mels in BANDS:
        for block in BLOCKS:
            n_frames = samples.size // block * block / HOP
            runs = _contestants(samples, block, n_mels)
            medians = {name: t * 1e6 / n_frames for name, t in _take_turns(runs, rounds).items()}
            of_kaldi = medians["edgeaudio"] / medians["kaldi-native-fbank"]
            of_micro = medians["edgeaudio"] / medians["pymicro-features"]
            cells = [f"{medians[name]:.2f}" for name in runs]
            rows.append([f"{n_mels} / {block}", *cells, f"{of_kaldi:.3f}", f"{of_micro:.3f}"])
            results.append({"n_mels": n_mels, "block": block, "us_per_frame": medians})
            if n_mels in LIMITED_BANDS:
                case = f"{n_mels} bands, blocks of {block}"
                limits.append(
                    Limit(f"{case}: of kaldi-native-fbank", of_kaldi, MAX_OF_KALDI, smoke_limit=0.5)
                )
                limits.append(Limit(f"{case}: of pymicro-features", of_micro, MAX_OF_MICRO, smoke_limit=0.8))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    columns = ["mel bands / block", *runs, "of kaldi-native-fbank", "of pymicro-features"]
    return Report(
        title="Streaming frontend, µs per 10 ms frame",
        tables=[Table(columns, rows)],
        limits=limits,
        notes=[
            f"Log-mel, 60 to 8000 Hz, 25 ms window, FFT 512, one second of noise, median of {rounds} rounds. "
            "kaldi-native-fbank is fed Python lists made beforehand, its fastest way in, and asked "
            "for each frame; pymicro-features has 40 bands of its own, whatever the row says."
        ],
        packages=PACKAGES,
    )


def _take_turns(runs: dict[str, Run], rounds: int) -> dict[str, float]:
    """Return the median time of each in seconds; a disturbance hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for measured in runs.values():
        measured()
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, measured in runs.items():
                start = time.perf_counter()
                measured()
                times[name].append(time.perf_counter() - start)
    finally:
        gc.enable()
    return {name: statistics.median(values) for name, values in times.items()}


def _contestants(samples: NDArray[np.float32], block: int, n_mels: int) -> dict[str, Run]:
    blocks = [samples[i : i + block] for i in range(0, samples.size - block + 1, block)]
    return {
        "edgeaudio": _edgeaudio(blocks, n_mels),
        "kaldi-native-fbank": _kaldi(blocks, n_mels),
        "pymicro-features": _micro(blocks),
        "numpy rfft": _numpy(blocks, n_mels),
    }


def _edgeaudio(blocks: list[NDArray[np.float32]], n_mels: int) -> Run:
    frontend = Frontend(FrontendSpec(n_mels=n_mels, fmin_hz=FMIN_HZ))

    def measured() -> None:
        for block in blocks:
            frontend.process(block)

    return measured


def _kaldi(blocks: list[NDArray[np.float32]], n_mels: int) -> Run:
    import kaldi_native_fbank as knf

    options = knf.FbankOptions()
    options.frame_opts.dither = 0.0
    options.mel_opts.num_bins = n_mels
    options.mel_opts.low_freq = FMIN_HZ
    options.mel_opts.high_freq = RATE_HZ / 2
    lists = [block.tolist() for block in blocks]

    def measured() -> None:
        fbank = knf.OnlineFbank(options)
        taken = 0
        for block in lists:
            fbank.accept_waveform(RATE_HZ, block)
            for i in range(taken, fbank.num_frames_ready):
                fbank.get_frame(i)
            taken = fbank.num_frames_ready

    return measured


def _micro(blocks: list[NDArray[np.float32]]) -> Run:
    from pymicro_features import MicroFrontend

    pcm = [(block * 32767).astype("<i2").tobytes() for block in blocks]
    frontend = MicroFrontend()

    def measured() -> None:
        for block in pcm:
            rest = block
            while rest:
                rest = rest[2 * frontend.process_samples(rest).samples_read :]

    return measured


def _numpy(blocks: list[NDArray[np.float32]], n_mels: int) -> Run:
    spec = FrontendSpec(n_mels=n_mels, fmin_hz=FMIN_HZ)
    weights = np.zeros((N_FFT // 2 + 1, n_mels), np.float32)
    weights[:-1] = spec.mel_weights().T
    window = (np.hanning(WINDOW) ** 0.85).astype(np.float32)
    floor = np.float32(spec.log_floor)

    def measured() -> None:
        waiting = np.zeros(0, np.float32)
        for block in blocks:
            waiting = np.concatenate([waiting, block])
            n = (waiting.size - WINDOW) // HOP + 1
            if n <= 0:
                continue
            frames = np.lib.stride_tricks.sliding_window_view(waiting, WINDOW)[::HOP][:n]
            frames = frames - frames.mean(axis=1, keepdims=True)
            previous = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
            spectrum = np.fft.rfft((frames - np.float32(0.97) * previous) * window, N_FFT)
            np.log(np.maximum((spectrum.real**2 + spectrum.imag**2) @ weights, floor))
            waiting = waiting[n * HOP :]

    return measured

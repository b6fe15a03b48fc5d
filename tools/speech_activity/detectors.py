"""The detectors: each hears a whole recording as it would a stream, and says what it said when."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgeaudio.backends import Runtime, open_graph
from edgeaudio.frontend import Frontend
from edgeaudio.models.bundle import load_bundle
from edgeaudio.tasks.stepping import Stepper
from edgeaudio.types import SAMPLE_RATE_HZ, Samples


@dataclass(frozen=True)
class Answers:
    """One answer every ``period_s``; each could be known once ``known`` samples were heard."""

    probabilities: NDArray[np.float32]
    period_s: float
    known: NDArray[np.int64]


class Detector(Protocol):
    """Something that tells when somebody speaks."""

    name: str

    def hear(self, samples: Samples) -> Answers:
        """Answers to one recording, from a fresh state."""


class Ours:
    """A bundle of kind vad, frontend included, fed live-sized steps."""

    def __init__(self, folder: Path, runtime: Runtime) -> None:
        self.bundle = load_bundle(folder)
        self.name = self.bundle.manifest.name
        self.kilobytes = len(self.bundle.read_graph(runtime)) / 1000
        self._stepper = Stepper(open_graph(self.bundle, runtime), self.bundle.manifest)
        self._frontend = Frontend(self.bundle.manifest.frontend)
        self._empty = np.zeros(0, np.float32)

    def hear(self, samples: Samples) -> Answers:
        """See `Detector`."""
        manifest, stepper = self.bundle.manifest, self._stepper
        step_samples = manifest.step_frames * manifest.frontend.hop_samples
        self._frontend.reset()
        stepper.reset()
        found = [self._empty]
        for first in range(0, len(samples), step_samples):
            frames = self._frontend.process(samples[first : first + step_samples])
            found += [stepper.posteriors[:, 0].copy() for _ in stepper.steps(frames)]
        probabilities = np.concatenate(found)
        # An answer waits for the last frame of its step, which ends with its window.
        steps = np.arange(len(probabilities)) // stepper.n_out + 1
        overlap = manifest.frontend.window_samples - manifest.frontend.hop_samples
        return Answers(probabilities, stepper.frame_ms / 1000, steps * step_samples + overlap)


class Silero:
    """Silero VAD's ONNX at 16 kHz: chunks of 512 samples with 64 of context, called directly."""

    name = "Silero VAD"
    _CHUNK, _CONTEXT = 512, 64

    def __init__(self, path: Path | None = None) -> None:
        import onnxruntime

        self.path = path or _packaged("silero_vad", "data/silero_vad.onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(self.path), options, providers=["CPUExecutionProvider"]
        )
        self.kilobytes = self.path.stat().st_size / 1000
        self._rate = np.array(SAMPLE_RATE_HZ, np.int64)

    def hear(self, samples: Samples) -> Answers:
        """See `Detector`."""
        n = len(samples) // self._CHUNK
        window = np.zeros((1, self._CONTEXT + self._CHUNK), np.float32)
        state = np.zeros((2, 1, 128), np.float32)
        found = np.zeros(n, np.float32)
        for i in range(n):
            window[0, : self._CONTEXT] = window[0, -self._CONTEXT :]
            window[0, self._CONTEXT :] = samples[i * self._CHUNK : (i + 1) * self._CHUNK]
            probability, state = self._session.run(None, {"input": window, "state": state, "sr": self._rate})
            found[i] = probability[0, 0]
        return Answers(found, self._CHUNK / SAMPLE_RATE_HZ, np.arange(1, n + 1) * self._CHUNK)


class WebRtc:
    """The detector of WebRTC in one of its modes, 0 (lenient) to 3 (strict), on frames of 30 ms."""

    _FRAME = SAMPLE_RATE_HZ * 30 // 1000

    def __init__(self, mode: int) -> None:
        self.name = f"webrtcvad mode {mode}"
        self._mode = mode

    def hear(self, samples: Samples) -> Answers:
        """See `Detector`."""
        import webrtcvad

        # It has no reset: a new one forgets the noise it has learned.
        detector = webrtcvad.Vad(self._mode)
        pcm = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype("<i2")
        n = len(pcm) // self._FRAME
        frames = (pcm[i * self._FRAME : (i + 1) * self._FRAME].tobytes() for i in range(n))
        found = np.array([detector.is_speech(frame, SAMPLE_RATE_HZ) for frame in frames], np.float32)
        return Answers(found, self._FRAME / SAMPLE_RATE_HZ, np.arange(1, n + 1) * self._FRAME)


def _packaged(package: str, file: str) -> Path:
    """Return a file of an installed package without importing it: Silero's would import torch."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{package} is not installed: pip install --no-deps silero-vad")
    return Path(spec.submodule_search_locations[0]) / file

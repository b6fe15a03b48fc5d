"""The process that runs voices of the Python package ``piper-tts``, ``python -m`` this module.

It runs apart because the network draws random numbers: only a fresh process with a seed of its own
says the same thing twice. It reads :class:`Utterance` as JSON lines, the voice of which is
``FILE#SPEAKER``, and answers each as :data:`~edgeaudio.training.voices.engine.HEADER` says.
"""

from __future__ import annotations

import json
import sys
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.training.voices.engine import FAILED, HEADER, Utterance
from edgeaudio.training.voices.piper import settings

__all__: list[str] = []


@lru_cache(maxsize=4)
def _voice(file: str) -> Any:
    from piper import PiperVoice

    return PiperVoice.load(file)


def _say(utterance: Utterance) -> tuple[NDArray[np.int16], int]:
    from piper import SynthesisConfig

    file, _, speaker = utterance.voice.rpartition("#")
    config = SynthesisConfig(speaker_id=int(speaker) if speaker else None, **settings(utterance))
    voice = _voice(file)
    chunks = [chunk.audio_int16_array for chunk in voice.synthesize(f"{utterance.phrase}.", config)]
    return np.concatenate(chunks), voice.config.sample_rate


def main() -> None:
    """Serve one batch; see the module's description."""
    import onnxruntime

    onnxruntime.set_seed(1)
    for line in sys.stdin:
        try:
            samples, rate = _say(Utterance(**json.loads(line)))
        except Exception as error:  # a voice may break in ways of its own; the next one may not
            sys.stderr.write(f"{error}\n")
            sys.stdout.buffer.write(FAILED)
            continue
        sys.stdout.buffer.write(HEADER.pack(samples.size, rate, 0, samples.size))
        sys.stdout.buffer.write(samples.astype("<i2").tobytes())


if __name__ == "__main__":
    main()

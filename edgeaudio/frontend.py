"""The incremental feature frontend: raw samples in, feature frames out.

One :class:`FrontendSpec` says everything that decides the numbers, travels with every model and
has a fingerprint. One :class:`Frontend` a spec serves all models that declare it, in training as
on the device.
"""

from __future__ import annotations

import numpy as np

from edgeaudio.dsp.spec import FeatureName, FrontendSpec
from edgeaudio.errors import UsageError
from edgeaudio.types import Frames, Samples

__all__ = ["FeatureName", "Frontend", "FrontendSpec"]


class Frontend:
    """Turn a stream of samples into feature frames, whatever the blocks it comes in.

    The result is the same to the last bit for every way of cutting the stream. Values are finite
    for any input: what is not finite counts as silence or as the largest number, and leaves no
    trace once it has left the window. Not to be shared between threads or streams.

    Parameters
    ----------
    spec : FrontendSpec

    Examples
    --------
    >>> frontend = Frontend(FrontendSpec(n_mels=40))
    >>> one_second = np.zeros(16_000, np.float32)
    >>> frontend.process(one_second).shape
    (98, 40)
    """

    def __init__(self, spec: FrontendSpec) -> None:
        # Here, not at the top: specs are read by tools that never compute a frame, and
        # importing Numba takes a fifth of a second.
        from edgeaudio.dsp.kernel import Plan, run
        from edgeaudio.dsp.layout import lay_out

        self.spec = spec
        self.n_bands = spec.n_bands
        self.hop_samples = spec.hop_samples
        self.window_samples = spec.window_samples
        self._kernel = run
        self._plan, self._memory = lay_out(spec)
        self._counters = slice(Plan.WAITING, Plan.STARTED + 1)
        self._state = slice(int(self._plan[Plan.AT_STATE]), int(self._plan[Plan.AT_SAMPLES]))
        self._fixed_size = self._memory.size
        self._frames = np.zeros((0, self.n_bands), np.float32)
        self._room = 0
        self._grow(8 * self.hop_samples)

    def process(self, x: Samples) -> Frames:
        """Take the next samples of the stream.

        Parameters
        ----------
        x : float32 array, shape [n_samples]
            Any number of samples, none included.

        Returns
        -------
        float32 array, shape [n_frames, n_bands]
            The frames that these samples completed: a view, valid until the next call.

        Raises
        ------
        UsageError
            If `x` is not a contiguous one-dimensional float32 array.
        """
        if x.size > self._room:
            self._grow(x.size)
        try:
            n: int = self._kernel(x, self._plan, self._memory, self._frames)
        except TypeError:
            raise UsageError(
                f"frontend: samples have shape {x.shape} and type {x.dtype}",
                hint="Pass a contiguous one-dimensional float32 array, full scale at 1.",
            ) from None
        return self._frames[:n]

    def flush(self) -> Frames:
        """End the stream and return its last frames: none, for an unfilled window makes no frame."""
        self.reset()
        return self._frames[:0]

    def reset(self) -> None:
        """Forget the stream; the next sample is the first of a new one."""
        self._plan[self._counters] = 0
        self._memory[self._state] = 0.0

    def frame_end(self, i: int) -> int:
        """Return the index just behind the last sample of frame `i`, both counted from the reset."""
        return i * self.hop_samples + self.window_samples

    def _grow(self, n_samples: int) -> None:
        """Make room for blocks of up to `n_samples`, keeping what is waiting."""
        memory = np.zeros(self._fixed_size + self.window_samples + n_samples)
        kept = min(self._memory.size, memory.size)
        memory[:kept] = self._memory[:kept]
        self._memory = memory
        self._frames = np.zeros((n_samples // self.hop_samples + 2, self.n_bands), np.float32)
        self._room = n_samples

"""Noise reduction in a stream: sound in, the same sound with less steady noise out.

Each 10 ms the spectrum of the last 30 ms is taken, each of its bins is made quieter by as much as it is
likely to be noise, and the windows are added up to sound again. The noise floor of each bin is tracked all
the time, so that it follows a fan that is switched on; what changes as fast as speech does passes for speech.

References
----------
T. Gerkmann and R. C. Hendriks, "Unbiased MMSE-based noise power estimation with low complexity and low
tracking delay", IEEE Trans. Audio, Speech, Lang. Process. 20 (2012).
Y. Ephraim and D. Malah, "Speech enhancement using a minimum mean-square error [log-]spectral amplitude
estimator", IEEE Trans. Acoust., Speech, Signal Process. 32 (1984) and 33 (1985).
I. Cohen and B. Berdugo, "Speech enhancement for non-stationary noise environments", Signal Processing 81
(2001), and "Noise estimation by minima controlled recursive averaging for robust speech enhancement", IEEE
Signal Process. Lett. 9 (2002).
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from edgeaudio.errors import UsageError
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["STRENGTHS", "Denoiser", "Strength"]

Strength: TypeAlias = Literal["light", "medium", "strong"]
STRENGTHS: tuple[Strength, ...] = get_args(Strength)
"""What people choose from, the gentlest first."""

_REDUCTION_DB: dict[Strength, float] = {"light": 6.0, "medium": 12.0, "strong": 20.0}
RATES_HZ = (4000, 384_000)

_HOP_S = 0.010
_OVERLAP = 3
"""Windows that each sample lies in: the squares of three sine windows a third apart add up to 3/2."""
_FFT_SIZES = (512, 1024, 2048)

# The paper's weights of 0.8 for the noise and 0.9 for the presence hold for its hop of 16 ms. A floor that
# follows three times as slowly takes less of speech for noise.
_NOISE_S = -3 * 0.016 / math.log(0.8)
_PRESENCE_S = -0.016 / math.log(0.9)
_LEVEL_S = 0.025
_PERIOD_S = 0.6
"""What was the least for one to two of these is no speech."""
_PRIOR_KEPT = 0.96
_LEARNING_FRAMES = 5
_LEAST_NOISE = 1.0e-11
"""Mean square: 10 dB below the rounding of 16-bit samples. So no silence is too quiet to divide by."""


class Denoiser:
    """Makes steady noise quieter, whatever the blocks a stream comes in.

    What comes out is as long as what went in and lies in the same place: the first sample returned is the
    first one of the stream. It comes later, by up to `delay_samples`. The result is the same to the last
    bit for every way of cutting the stream, and silence stays exactly silent. Not to be shared between
    threads or streams.

    Parameters
    ----------
    strength : {"light", "medium", "strong"} or float
        By how much noise is made quieter, at most: 6, 12 or 20 dB, or so many dB.
    sample_rate_hz : int, optional
        The stream's rate.

    Raises
    ------
    UsageError
        There is no such strength, or no audio has such a rate.

    Examples
    --------
    >>> denoiser = Denoiser("medium")
    >>> hiss = np.random.default_rng(1).normal(0, 0.01, 16_000).astype(np.float32)
    >>> [len(denoiser.process(hiss)), len(denoiser.flush())]
    [15680, 320]
    """

    def __init__(
        self, strength: Strength | float = "medium", *, sample_rate_hz: int = SAMPLE_RATE_HZ
    ) -> None:
        # Here, not at the top: importing Numba takes a fifth of a second.
        from edgeaudio.dsp.kernel_denoise import Plan, denoise

        self.reduction_db = _reduction_db(strength)
        if not RATES_HZ[0] <= sample_rate_hz <= RATES_HZ[1]:
            raise UsageError(
                f"a sample rate of {sample_rate_hz:g} Hz: noise is reduced from {RATES_HZ[0]} to "
                f"{RATES_HZ[1]} Hz"
            )
        self.sample_rate_hz = sample_rate_hz
        self.hop_samples = min(round(_HOP_S * sample_rate_hz), _FFT_SIZES[-1] // _OVERLAP)
        self.window_samples = _OVERLAP * self.hop_samples
        self._kernel = denoise
        self._plan, self._memory = _lay_out(self.hop_samples, sample_rate_hz, self.reduction_db)
        self._counters = slice(Plan.WAITING, Plan.OWED + 1)
        self._state = slice(int(self._plan[Plan.AT_NOISE]), None)
        self._fixed_size = self._memory.size
        self._out = np.zeros(0, np.float32)
        self._room = 0
        self._owed = 0
        self._zeros = np.zeros(self.window_samples, np.float32)
        self._grow(8 * self.hop_samples)
        self.reset()

    @property
    def delay_samples(self) -> int:
        """How many samples later, at most, a sample comes out than it went in: the window less one."""
        return self.window_samples - 1

    def needed(self, n_samples: int) -> int:
        """Return how many samples of a stream have to go in until its first `n_samples` have come out."""
        hops = -(-n_samples // self.hop_samples)
        return hops * self.hop_samples + self.window_samples - self.hop_samples if hops else 0

    def process(self, x: Samples) -> Samples:
        """Take the next samples of the stream.

        Parameters
        ----------
        x : float32 array, shape [n_samples]
            Any number of samples, none included; those that are not finite count as silence.

        Returns
        -------
        float32 array, shape [n]
            The samples that are ready: a view, valid until the next call.

        Raises
        ------
        UsageError
            If `x` is not a contiguous one-dimensional float32 array.
        """
        if x.size > self._room:
            self._grow(x.size)
        try:
            n = self._kernel(x, self._plan, self._memory, self._out)
        except TypeError:
            raise UsageError(
                f"denoiser: samples have shape {x.shape} and type {x.dtype}",
                hint="Pass a contiguous one-dimensional float32 array, full scale at 1.",
            ) from None
        self._owed += x.size - n
        return self._out[:n]

    def flush(self) -> Samples:
        """End the stream and return its last samples: a view, valid until the next call."""
        owed = self._owed
        rest = self.process(self._zeros)[:owed]
        self.reset()
        return rest

    def reset(self, at_sample: int = 0) -> None:
        """Forget the stream, its noise included; the next sample, of whatever index, begins a new one."""
        from edgeaudio.dsp.kernel_denoise import Plan

        self._plan[self._counters] = 0
        # As if silence had gone before: so every sample lies in as many windows.
        self._plan[[Plan.WAITING, Plan.OWED]] = self.window_samples - self.hop_samples
        self._memory[self._state] = 0.0
        self._owed = 0

    def _grow(self, n_samples: int) -> None:
        """Make room for blocks of up to `n_samples`, keeping what is waiting."""
        memory = np.zeros(self._fixed_size + self.window_samples + n_samples + _FFT_SIZES[-1])
        kept = min(self._memory.size, memory.size)
        memory[:kept] = self._memory[:kept]
        self._memory = memory
        self._out = np.zeros(n_samples + self.window_samples, np.float32)
        self._room = n_samples


def _reduction_db(strength: Strength | float) -> float:
    if isinstance(strength, str):
        if strength not in _REDUCTION_DB:
            raise UsageError(
                f"noise cannot be reduced as '{strength}' says", hint=f"Say one of: {', '.join(STRENGTHS)}"
            )
        return _REDUCTION_DB[strength]
    if not 0.0 <= strength <= 60.0:
        raise UsageError(f"noise cannot be reduced by {strength:g} dB", hint="Give 0 to 60 dB.")
    return float(strength)


def _lay_out(
    hop: int, sample_rate_hz: int, reduction_db: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Build the kernel's two arrays; the waiting samples, which come last, get their room later."""
    from edgeaudio.dsp.fft import core_twiddles, half_twiddles, split_twiddles
    from edgeaudio.dsp.kernel_denoise import Plan
    from edgeaudio.dsp.kernel_fft import AT_TWIDDLES, WORK_SIZE

    window = _OVERLAP * hop
    n_fft = next(size for size in _FFT_SIZES if size >= window)
    half = n_fft // 2
    plan = np.zeros(Plan.SIZE, np.int64)
    plan[Plan.WINDOW], plan[Plan.HOP], plan[Plan.N_FFT] = window, hop, n_fft

    # The square root of a periodic Hann window, before and after.
    sine = np.zeros(n_fft)
    sine[:window] = np.sin(np.pi * np.arange(window) / window)
    hop_s = hop / sample_rate_hz
    settings = np.array(
        [
            -reduction_db * math.log(10) / 20,
            _LEAST_NOISE * float(sine @ sine),
            math.exp(-hop_s / _NOISE_S),
            math.exp(-hop_s / _PRESENCE_S),
            _PRIOR_KEPT,
            _LEARNING_FRAMES,
            math.exp(-hop_s / _LEVEL_S),
            round(_PERIOD_S / hop_s),
        ]
    )
    work = np.zeros(WORK_SIZE)
    work[AT_TWIDDLES:] = core_twiddles().ravel()
    blocks = {
        Plan.AT_SETTINGS: settings,
        # See unpack_spectrum and pack_spectrum for the factors; the overlap makes 3/2 of everything.
        Plan.AT_ANALYSIS: sine / 2,
        Plan.AT_SYNTHESIS: sine / n_fft / (_OVERLAP / 2),
        Plan.AT_PACKED: np.zeros(n_fft),
        Plan.AT_SPECTRUM: np.zeros(n_fft),
        Plan.AT_SPLIT: split_twiddles(half) if half > 256 else np.zeros(0),
        Plan.AT_TWIDDLES: half_twiddles(n_fft),
        Plan.AT_REAL: np.zeros(half + 1),
        Plan.AT_IMAG: np.zeros(half + 1),
        Plan.AT_LOG_GAIN: np.zeros(half + 1),
        Plan.AT_PRIOR: np.zeros(half + 1),
        Plan.AT_WEIGHT: np.zeros(half + 1),
        # The state, from here on.
        Plan.AT_NOISE: np.zeros(half + 1),
        Plan.AT_PRESENCE: np.zeros(half + 1),
        Plan.AT_CLEAN: np.zeros(half + 1),
        Plan.AT_LEVEL: np.zeros(half + 1),
        Plan.AT_MINIMUM: np.zeros(half + 1),
        Plan.AT_NEXT_MINIMUM: np.zeros(half + 1),
        Plan.AT_OVERLAP: np.zeros(n_fft),
        Plan.AT_SAMPLES: np.zeros(0),
    }
    parts, size = [work], WORK_SIZE
    for field, values in blocks.items():
        plan[field] = size
        parts.append(values.ravel())
        size += values.size
    return plan, np.concatenate(parts)

"""What a frontend computes: every number that decides its result, checked."""

from __future__ import annotations

import hashlib
import math
from typing import Literal, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeaudio.dsp.fft import SIZES
from edgeaudio.dsp.mel import MelNorm, MelScale, mel_matrix
from edgeaudio.dsp.window import WindowName
from edgeaudio.errors import ConfigError

__all__ = ["FeatureName", "FrontendSpec"]

FeatureName = Literal["log_mel", "mfcc", "pcen", "waveform"]


class FrontendSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that decides the numbers of a frontend; checks itself when made.

    Frame ``i`` is computed from the samples ``[i * hop, i * hop + window)`` alone (Kaldi's
    ``snip_edges``), in Kaldi's order: mean removal, pre-emphasis, window, FFT, power, mel, log.
    With the defaults, ``fmax_hz`` and ``n_mels`` set alike, log-mel equals kaldi-native-fbank.

    A band so narrow that no FFT bin falls into it is always at the floor, as in Kaldi (128 bands
    from 20 Hz with ``n_fft=512`` have one of them); :attr:`empty_bands` names them. More than a
    sixteenth of such bands is taken for a mistake.

    Parameters
    ----------
    sample_rate_hz : int
    window_ms, hop_ms : float
        Must be whole numbers of samples, hop at most one window, window at most `n_fft` samples.
    n_fft : int
        256, 512, 1024 or 2048; shorter windows are padded with zeros at their end.
    n_mels : int
        Mel bands between `fmin_hz` and `fmax_hz`.
    mel_scale : {"htk", "slaney"}
        Kaldi's triangles, straight over mel; or librosa's, straight over Hz.
    mel_norm : {"none", "slaney"}
        ``slaney`` gives each band unit area over Hz.
    window : {"povey", "hann", "hann_periodic", "hamming"}
    preemphasis : float
        ``x[n] - preemphasis * x[n-1]`` inside each window.
    remove_dc : bool
        Subtract each window's mean.
    power : bool
        Power spectrum, else magnitude.
    input_scale : float
        Factor on the samples; 32768 makes features comparable to those of 16-bit integers.
    log_floor : float
        Smallest band value before the logarithm; the default is Kaldi's.
    log_offset : float
        Added to each band before the logarithm, as NeMo does instead of a floor.
    features : {"log_mel", "mfcc", "pcen", "waveform"}
        With ``waveform`` a frame is the next hop of samples after a DC blocker and pre-emphasis;
        only `sample_rate_hz`, `hop_ms`, `preemphasis`, `remove_dc` and `input_scale` matter then.
    n_mfcc : int
        Cepstral coefficients, with the zeroth.
    lifter : float
        Kaldi's cepstral lifter; 0 for none.
    pcen_smoothing, pcen_gain, pcen_bias, pcen_root, pcen_eps : float
        s, alpha, delta, r and epsilon of Wang et al. 2017, "Trainable frontend for robust and
        far-field keyword spotting", constant here.

    Raises
    ------
    ConfigError
        If a value, or two together, make no sense; the message names key and value.
    """

    sample_rate_hz: int = 16_000
    window_ms: float = 25.0
    hop_ms: float = 10.0
    n_fft: int = 512
    n_mels: int = 40
    fmin_hz: float = 20.0
    fmax_hz: float = 8000.0
    mel_scale: MelScale = "htk"
    mel_norm: MelNorm = "none"
    window: WindowName = "povey"
    preemphasis: float = 0.97
    remove_dc: bool = True
    power: bool = True
    input_scale: float = 1.0
    log_floor: float = 1.1920928955078125e-07
    features: FeatureName = "log_mel"
    n_mfcc: int = 13
    lifter: float = 22.0
    pcen_smoothing: float = 0.025
    pcen_gain: float = 0.98
    pcen_bias: float = 2.0
    pcen_root: float = 0.5
    pcen_eps: float = 1e-6
    log_offset: float = 0.0

    def __post_init__(self) -> None:
        _check_ranges(self)
        _check_framing(self)
        if self.features != "waveform":
            _check_bands(self)

        # One number, one fingerprint: 20 and 20.0 are written differently.
        for key, kind in self.__annotations__.items():
            if kind == "float":
                msgspec.structs.force_setattr(self, key, float(getattr(self, key)))

    @property
    def hop_samples(self) -> int:
        """Samples from one frame to the next."""
        return round(self.sample_rate_hz * self.hop_ms / 1000)

    @property
    def window_samples(self) -> int:
        """Samples that one frame is computed from."""
        if self.features == "waveform":
            return self.hop_samples
        return round(self.sample_rate_hz * self.window_ms / 1000)

    @property
    def n_bands(self) -> int:
        """Values in a frame."""
        sizes = {"mfcc": self.n_mfcc, "waveform": self.hop_samples}
        return sizes.get(self.features, self.n_mels)

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the canonical JSON of all fields.

        A field that came later is left out at its default, so that older models keep theirs.
        """
        fields = {
            key: value
            for key, value in msgspec.structs.asdict(self).items()
            if key not in _LATER_FIELDS or value != _LATER_FIELDS[key]
        }
        return hashlib.sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()

    @property
    def empty_bands(self) -> list[int]:
        """Mel bands into which no FFT bin falls."""
        return [int(band) for band in np.flatnonzero(~self.mel_weights().any(axis=1))]

    def mel_weights(self) -> NDArray[np.float64]:
        """Return the filterbank, shape ``[n_mels, n_fft // 2]``."""
        return mel_matrix(
            self.n_mels,
            self.n_fft,
            self.sample_rate_hz,
            fmin_hz=self.fmin_hz,
            fmax_hz=self.fmax_hz,
            scale=self.mel_scale,
            norm=self.mel_norm,
        )


_LATER_FIELDS = {"log_offset": 0.0}
"""Fields that the first models' fingerprints do not know, and their defaults."""

# Key, smallest and largest value, and whether the ends themselves are allowed.
_RANGES: tuple[tuple[str, float, float, bool], ...] = (
    ("sample_rate_hz", 1000, 384_000, True),
    ("window_ms", 0, 1000, False),
    ("hop_ms", 0, 1000, False),
    ("n_mels", 1, 1024, True),
    ("fmin_hz", 0, math.inf, True),
    ("preemphasis", 0, 1, True),
    ("input_scale", 0, 1e6, False),
    # Smaller than this is no normal float32.
    ("log_floor", 1.2e-38, 1e30, True),
    ("log_offset", 0, 1e30, True),
    ("n_mfcc", 1, 1024, True),
    ("lifter", 0, 1000, True),
    ("pcen_smoothing", 0, 1, False),
    ("pcen_gain", 0, 1, True),
    ("pcen_bias", 0, 1e6, False),
    ("pcen_root", 0, 1, False),
    ("pcen_eps", 1e-30, 1e6, True),
)

_CHOICES: tuple[tuple[str, tuple[object, ...]], ...] = (
    ("n_fft", SIZES),
    ("mel_scale", get_args(MelScale)),
    ("mel_norm", get_args(MelNorm)),
    ("window", get_args(WindowName)),
    ("features", get_args(FeatureName)),
)


def _check_ranges(spec: FrontendSpec) -> None:
    for key, low, high, closed in _RANGES:
        value = getattr(spec, key)
        inside = low <= value <= high if closed else low < value < high
        # Written so that NaN is outside.
        if not inside:
            ends = "and" if closed else "and (both excluded)"
            raise ConfigError(f"frontend: {key} is {value!r}, it must be between {low:g} {ends} {high:g}")
    for name, choices in _CHOICES:
        value = getattr(spec, name)
        if value not in choices:
            listed = ", ".join(str(choice) for choice in choices)
            raise ConfigError(f"frontend: {name} is {value!r}, it must be one of {listed}")


def _check_framing(spec: FrontendSpec) -> None:
    for key in ("window_ms", "hop_ms"):
        samples = spec.sample_rate_hz * getattr(spec, key) / 1000
        # A tenth of a percent of a sample: far above rounding of 0.1 ms steps, far below one sample.
        if abs(samples - round(samples)) > 1e-3 or round(samples) < 1:
            raise ConfigError(
                f"frontend: {key} is {getattr(spec, key):g}, which is {samples:g} samples at "
                f"{spec.sample_rate_hz} Hz",
                hint="Choose a length that is a whole number of samples.",
            )
    if spec.features == "waveform":
        return
    if spec.hop_samples > spec.window_samples:
        raise ConfigError(
            f"frontend: hop_ms is {spec.hop_ms:g}, longer than window_ms {spec.window_ms:g}: "
            "samples between windows would never be heard"
        )
    if spec.window_samples > spec.n_fft:
        raise ConfigError(
            f"frontend: n_fft is {spec.n_fft}, but the window has {spec.window_samples} samples",
            hint="Choose a larger n_fft or a shorter window_ms.",
        )


def _check_bands(spec: FrontendSpec) -> None:
    nyquist_hz = spec.sample_rate_hz / 2
    if not spec.fmax_hz <= nyquist_hz:
        raise ConfigError(
            f"frontend: fmax_hz is {spec.fmax_hz:g}, above {nyquist_hz:g}, the highest frequency "
            f"at {spec.sample_rate_hz} Hz"
        )
    if not spec.fmin_hz < spec.fmax_hz:
        raise ConfigError(f"frontend: fmin_hz is {spec.fmin_hz:g}, not below fmax_hz {spec.fmax_hz:g}")
    empty = spec.empty_bands
    if 16 * len(empty) > spec.n_mels:
        raise ConfigError(
            f"frontend: n_mels is {spec.n_mels}, but no FFT bin falls into {len(empty)} of these "
            f"bands, the first of them band {empty[0]}",
            hint=f"Use fewer bands, or an n_fft larger than {spec.n_fft}.",
        )
    if spec.features == "mfcc" and spec.n_mfcc > spec.n_mels:
        raise ConfigError(f"frontend: n_mfcc is {spec.n_mfcc}, more than n_mels, which is {spec.n_mels}")

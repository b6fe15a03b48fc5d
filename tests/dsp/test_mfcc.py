"""The cosine transform against scipy's, and Kaldi's cepstra as a whole."""

from __future__ import annotations

import kaldi_native_fbank as knf
import numpy as np
import pytest
from scipy.fft import dct

from edgeaudio.dsp.mfcc import dct_matrix
from edgeaudio.frontend import Frontend, FrontendSpec


@pytest.mark.parametrize(("n_mels", "n_mfcc"), [(23, 13), (40, 40), (80, 20)])
def test_equals_the_orthonormal_dct(n_mels: int, n_mfcc: int) -> None:
    x = np.random.default_rng(0).standard_normal(n_mels)
    got = dct_matrix(n_mels, n_mfcc, lifter=0) @ x
    np.testing.assert_allclose(got, dct(x, norm="ortho")[:n_mfcc], atol=1e-12)


@pytest.mark.parametrize("lifter", [22.0, 0.0])
def test_equals_kaldi(lifter: float) -> None:
    options = knf.MfccOptions()
    options.frame_opts.dither = 0.0
    options.mel_opts.num_bins = 40
    options.mel_opts.low_freq = 20.0
    options.mel_opts.high_freq = 8000.0
    options.num_ceps = 13
    options.use_energy = False
    options.cepstral_lifter = lifter
    x = (0.1 * np.random.default_rng(1).standard_normal(16_000)).astype(np.float32)
    mfcc = knf.OnlineMfcc(options)
    mfcc.accept_waveform(16_000, x.tolist())
    theirs = np.array([mfcc.get_frame(i) for i in range(mfcc.num_frames_ready)])
    frames = Frontend(FrontendSpec(features="mfcc", lifter=lifter)).process(x)
    # Kaldi's float32 log-mel error of up to 5e-5, times at most 12 by the lifter.
    np.testing.assert_allclose(frames, theirs, rtol=0, atol=2e-4)

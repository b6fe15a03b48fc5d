import numpy as np
import pytest

from edgeaudio.training.conditions import PEAKS_DBFS, SNRS_DB, conditions

RATE = 16_000


def recordings() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    speech = [rng.normal(0, 0.1, RATE).astype(np.float32) for _ in range(3)]
    return [np.pad(samples, 3200).astype(np.float32) for samples in speech]


def test_every_condition_has_every_recording_at_its_length() -> None:
    clean = recordings()
    noises = [np.random.default_rng(1).normal(0, 0.1, 2 * RATE).astype(np.float32)]
    found = dict(conditions(clean, noises))
    assert len(found) == len(PEAKS_DBFS) + len(SNRS_DB)
    for changed in found.values():
        assert [samples.size for samples in changed] == [samples.size for samples in clean]


@pytest.mark.parametrize("peak_dbfs", PEAKS_DBFS)
def test_peaks_lie_where_the_name_says(peak_dbfs: int) -> None:
    changed = dict(conditions(recordings(), []))[f"peaks at {peak_dbfs} dBFS"]
    for samples in changed:
        # Half a step of 16 bits, the rounding, is all that may be off.
        assert np.abs(samples).max() == pytest.approx(10 ** (peak_dbfs / 20), abs=1.5 / 32768)


def test_noise_has_the_ratio_of_its_name() -> None:
    clean = recordings()
    noise = np.random.default_rng(2).normal(0, 0.3, 3 * RATE).astype(np.float32)
    for changed in dict(conditions(clean, [noise]))["noise at 10 dB"]:
        # What lies in the padding is noise alone; both were scaled by the same factor.
        speech, background = changed[3200:-3200], changed[:3200]
        ratio = (np.mean(speech**2) - np.mean(background**2)) / np.mean(background**2)
        # 3200 samples of noise estimate its power to about 0.1 dB.
        assert 10 * np.log10(ratio) == pytest.approx(10, abs=0.6)


def test_without_noises_only_levels_change() -> None:
    assert len(dict(conditions(recordings(), []))) == len(PEAKS_DBFS)

"""A speaker model's space and its rules: kept as they are, and read strictly."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgeaudio.errors import ModelError
from edgeaudio.models.background import embedding_fingerprint
from edgeaudio.models.enrolments import Enrolment, Estimate, SpeakerNumbers
from edgeaudio.models.manifest import Voices, dump_manifest, load_manifest
from edgeaudio.models.speakers import SPEAKER_FILE, SpeakerSpace, load_speaker_space, save_speaker_space
from tests.voices import RULES, manifest, space


def kept(folder: Path, **changes: np.ndarray) -> SpeakerSpace:
    right = space(embedding_fingerprint(manifest()))
    arrays = {"mean": right.mean, "transform": right.transform, "between": right.between, **changes}
    return SpeakerSpace(**arrays, fingerprint=right.fingerprint)


def test_a_space_is_read_as_it_was_written(tmp_path: Path) -> None:
    wanted = kept(tmp_path, mean=np.arange(126.0) / 8)
    save_speaker_space(tmp_path, wanted)
    found = load_speaker_space(tmp_path, manifest())
    for name in ("mean", "transform", "between"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": np.zeros(120), "transform": np.zeros((8, 120))}, "is for 120 values"),
        ({"transform": np.zeros((7, 126))}, "do not fit"),
        ({"between": np.zeros(8)}, "do not fit"),
        ({"mean": np.full(126, np.nan)}, "do not fit"),
    ],
)
def test_a_space_that_does_not_fit_is_refused(
    changes: dict[str, np.ndarray], message: str, tmp_path: Path
) -> None:
    save_speaker_space(tmp_path, kept(tmp_path, **changes))
    with pytest.raises(ModelError, match=message):
        load_speaker_space(tmp_path, manifest())


def test_another_models_space_and_no_space_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not whole"):
        load_speaker_space(tmp_path, manifest())
    save_speaker_space(tmp_path, space("ab" * 32))
    with pytest.raises(ModelError, match="another version"):
        load_speaker_space(tmp_path, manifest())
    (tmp_path / SPEAKER_FILE).write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(ModelError, match="holds no space of voices"):
        load_speaker_space(tmp_path, manifest())


def test_a_manifest_of_a_speaker_model_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(dump_manifest(manifest()), encoding="utf-8")
    assert load_manifest(path).telling == RULES
    with pytest.raises(ModelError, match="tells voices apart"):
        _ = manifest().stretches


@pytest.mark.parametrize(
    "points", [((0.01, 1.0), (0.05, 1.0)), ((0.05, 1.0), (0.01, 2.0)), ((0.01, float("nan")), (0.05, 0.0))]
)
def test_thresholds_fall_while_false_accepts_rise(points: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValueError, match=r"must rise|not finite"):
        Voices(scale=1.0, offset=0.0, seconds=3.0, least_speech_ms=800.0, false_accepts=points)


def test_an_enrolled_voice_needs_its_numbers_and_no_others() -> None:
    numbers = SpeakerNumbers(voice=(1.0, 2.0), speech_s=20.0)
    estimate = Estimate(missed=0, of=4, interval=(0.0, 0.49))
    facts = {"model": "ear", "model_version": "1", "fingerprint": "0" * 64, "created": "", "recordings": 1}
    Enrolment(name="ann", kind="speaker", estimate=estimate, speaker=numbers, **facts)
    for kind in ("word", "verifier"):
        with pytest.raises(ValueError, match="needs the section"):
            Enrolment(name="ann", kind=kind, estimate=estimate, speaker=numbers, **facts)
    with pytest.raises(msgspec.ValidationError, match="not finite"):
        msgspec.convert({"voice": [1.0, float("inf")], "speech_s": 1.0}, SpeakerNumbers)

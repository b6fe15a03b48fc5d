"""What a speaker model learns from, and the parts of its training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edgeaudio.errors import InputError, UsageError
from edgeaudio.evaluation.manifest import Row
from edgeaudio.evaluation.speaker import make_trials
from edgeaudio.frontend import FrontendSpec
from edgeaudio.sinks.clips import write_wav
from edgeaudio.tasks.speaker import pool, spectrum
from edgeaudio.training.build import Reporter
from edgeaudio.training.captions import band_middles_hz
from edgeaudio.training.distortion import Distorter
from edgeaudio.training.nets import NetSpec
from edgeaudio.training.speaker_batches import SpeakerBatches, Voice
from edgeaudio.training.speaker_bundle import Heard, calibrate
from edgeaudio.training.speaker_data import MANY_PEOPLE, SpeakerJob, gather
from edgeaudio.training.speaker_net import SpeakerBatch, SpeakerNet, pair_loss, spectra
from edgeaudio.training.speaker_net import pool as torch_pool
from edgeaudio.training.speaker_space import directions
from edgeaudio.training.utterances import FrameStore
from tests.evaluation.test_speaker import piece
from tests.voices import spoken

SPEC = FrontendSpec()


def corpora(folder: Path, people: dict[str, int], split: str = "") -> Path:
    for corpus, count in people.items():
        (folder / corpus).mkdir()
        write_wav(folder / corpus / "a.wav", np.zeros(1600, np.float32))
        lines = [f"a.wav\t1.0\t{corpus}{i}\t{split}" for i in range(count) for _ in range(2)]
        text = "\n".join(["path\tseconds\tspeaker\tsplit", *lines])
        (folder / corpus / "manifest.tsv").write_text(text + "\n", encoding="utf-8")
    return folder


def job(folder: Path) -> SpeakerJob:
    return SpeakerJob(data=folder, synthetic=None, output=folder / "model")


def test_nobody_is_learned_from_and_measured_on(tmp_path: Path) -> None:
    people = gather(job(corpora(tmp_path, {"many": 2 * MANY_PEOPLE, "some": 30, "few": 5})), Reporter())
    assert [family.name for family in people.training] == ["many", "some"]
    assert [family.name for family in people.held_out] == ["many"]
    learned, held = set(people.training[0].people), set(people.held_out[0].people)
    assert not learned & held
    assert len(learned | held) == 2 * MANY_PEOPLE
    assert 0.1 < len(held) / (2 * MANY_PEOPLE) < 0.35
    assert people.used == {"many": 2 * len(learned), "some": 60}


def test_parts_of_a_corpus_hold_the_same_people_and_a_split_keeps_some_apart(tmp_path: Path) -> None:
    corpora(tmp_path, {"words_part": 30})
    text = (tmp_path / "words_part" / "manifest.tsv").read_text(encoding="utf-8")
    (tmp_path / "words_half").mkdir()
    write_wav(tmp_path / "words_half" / "a.wav", np.zeros(1600, np.float32))
    lines = [text.splitlines()[0], *(f"a.wav\t1.0\twords_part{i}\tdevelopment" for i in range(3))]
    (tmp_path / "words_half" / "manifest.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    people = gather(job(tmp_path), Reporter())
    assert set(people.held_out[0].people) == {f"words_part{i}" for i in range(3)}
    assert len(people.training[0].people) == 27
    assert len(people.held_out[0].people["words_part0"]) == 3


def test_what_a_corpus_calls_test_is_neither_learned_from_nor_measured_on(tmp_path: Path) -> None:
    corpora(tmp_path, {"all": 30})
    manifest = tmp_path / "all" / "manifest.tsv"
    splits = ["train", "test", "development"]
    lines = [f"a.wav\t1.0\t{i}\t{splits[i % 3]}" for i in range(90)]
    lines += ["a.wav\t1.0\t0\ttest", "a.wav\t1.0\t2\ttest"]  # other recordings of those who stay
    manifest.write_text("\n".join(["path\tseconds\tspeaker\tsplit", *lines]) + "\n", encoding="utf-8")
    people = gather(job(tmp_path), Reporter())
    assert people.used == {"all": 30}
    for families, split in ((people.training, "train"), (people.held_out, "development")):
        assert {row.split for own in families[0].people.values() for row in own} == {split}
        assert len(families[0].people) == 30


def test_without_enough_people_nothing_is_learned(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no corpus in which 20 people"):
        gather(job(corpora(tmp_path, {"few": 5})), Reporter())
    with pytest.raises(UsageError, match="nothing to learn from"):
        gather(SpeakerJob(data=None, synthetic=None, output=tmp_path), Reporter())
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="with a column speaker"):
        gather(job(tmp_path / "empty"), Reporter())


def test_training_measures_what_the_device_measures() -> None:
    """Float32 sums of 150 frames against float64 ones."""
    frames = np.stack([spoken(1, 150), spoken(2, 150, seed=5)])
    for one, found in zip(frames, spectra(torch.from_numpy(frames)).numpy(), strict=True):
        np.testing.assert_allclose(found, spectrum(one), atol=1e-4)
    features, logits = torch.randn(2, 6, 40), torch.randn(2, 1, 40)
    for i, found in enumerate(torch_pool(features, logits).numpy()):
        wanted = pool(features[i].T.numpy(), torch.sigmoid(logits[i, 0]).numpy())
        np.testing.assert_allclose(found, wanted, atol=1e-4)


def net() -> SpeakerNet:
    torch.manual_seed(0)
    return SpeakerNet(NetSpec(40, 1, ((8, 5, 2), (8, 5, 2)), ((3, 1),)))


def test_the_loss_is_of_ones_own_corpus_only() -> None:
    frames = torch.from_numpy(np.stack([spoken(who, 80, seed) for seed in (0, 1) for who in range(4)]))
    one = net().eval()
    with torch.no_grad():
        together = pair_loss(one, SpeakerBatch(frames, torch.zeros(4), torch.tensor(0.0)))
        apart = pair_loss(one, SpeakerBatch(frames, torch.arange(4), torch.tensor(0.0)))
        harder = pair_loss(one, SpeakerBatch(frames, torch.zeros(4), torch.tensor(1.0)))
    assert float(apart) == 0.0 < float(together) < float(harder)


def test_the_embedding_begins_as_the_directions_say() -> None:
    one = net().eval()
    turned = np.zeros((2, 120), np.float32)
    turned[0, 3] = turned[1, 50] = 1.0
    with torch.no_grad():
        one.project.weight[:, 120:] = 0.0
    one.begin_with(torch.from_numpy(turned))
    frames = spoken(1, 80)
    with torch.no_grad():
        found = one(torch.from_numpy(frames[None]))[0, :2].numpy()
    # The norm, fresh, divides by the root of 1 + 1e-5.
    np.testing.assert_allclose(found, spectrum(frames)[[3, 50]], atol=1e-4)


def test_directions_are_those_in_which_people_differ() -> None:
    rng = np.random.default_rng(0)
    people = [rng.normal(0, 3.0, 2) for _ in range(200)]
    stretches = [
        [np.concatenate((own + rng.normal(0, 1.0, 2), rng.normal(0, 5.0, 2))) for _ in range(4)]
        for own in people
    ]
    turned, between = directions(stretches, [0] * 100 + [1] * 100)
    # Shrinking and 200 people: a tenth; by chance a little more.
    np.testing.assert_allclose(between[:2], 9.0, rtol=0.25)
    assert (between[2:] < 0.2).all()
    assert np.abs(turned[:2, 2:]).max() < 0.1 * np.abs(turned[:2, :2]).max()
    with pytest.raises(InputError, match="too few"):
        directions(stretches[:10], [0] * 10)


def test_a_batch_holds_everybody_twice_among_rivals(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for i in range(24):
        write_wav(tmp_path / f"{i}.wav", rng.normal(0, 0.1, 8000).astype(np.float32))
        rows.append(Row(tmp_path / f"{i}.wav", ""))
    store = FrameStore(rows, SPEC, tmp_path)
    voices = [Voice(i % 2, np.array([2 * i, 2 * i + 1])) for i in range(12)]
    distorter = Distorter([], band_middles_hz(SPEC), SPEC.log_floor)
    source = SpeakerBatches(voices, store, distorter, batch_size=8, stride=4, fill=-4.0, seed=1)
    source.set_course(0.5, 0.25)
    batch, again = next(source.begin(0)), next(source.begin(0))
    assert batch.frames.shape[0] == 16
    assert batch.frames.shape[1] % 4 == 0
    assert batch.family.tolist().count(0) == 4
    assert float(batch.margin) == 0.25
    assert torch.equal(batch.frames, again.frames)
    assert not torch.equal(batch.frames[:8], batch.frames[8:])
    crops = source.stretches(3, 60, 2, rng)
    assert [crop.shape for crop in crops] == [(60, 40)] * 2


def test_scores_are_calibrated_to_false_accepts_of_all_corpora_alike() -> None:
    rng = np.random.default_rng(0)
    heard = []
    for name, shift in (("near", 0.0), ("far", 1.0)):
        found = [piece(f"{name}{who}", str(i)) for who in range(30) for i in range(4)]
        trials = make_trials(found)
        ratios = rng.normal(0.0, 1.0, len(trials.same)) + 4.0 * trials.same + shift
        heard.append(Heard(name, found, trials, ratios))
    voices = calibrate(heard)
    level = (voices.threshold(0.05) - voices.offset) / voices.scale
    passed = [float(np.mean(one.others >= level)) for one in heard]
    assert np.mean(passed) == pytest.approx(0.05, abs=0.005)
    assert passed[0] < 0.05 < passed[1]
    # Where one person and two are equally probable the score is 0: half way, by symmetry.
    assert (0.0 - voices.offset) / voices.scale == pytest.approx(2.5, abs=0.3)

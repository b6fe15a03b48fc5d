"""Sounds: where a label is true, what is learned from, what is measured, and the way to a bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="tools/test --train installs PyTorch")

import torch

from edgeaudio.frontend import Frontend
from edgeaudio.models.bundle import load_bundle
from edgeaudio.models.catalogue import find_model
from edgeaudio.tasks.classifier import Classifier
from edgeaudio.training import sounds as training
from edgeaudio.training.batches import offline_frames
from edgeaudio.training.build import Reporter
from edgeaudio.training.corpus import Clip
from edgeaudio.training.loop import LoopSettings
from edgeaudio.training.nets import NetSpec
from edgeaudio.training.nets2d import BandStage
from edgeaudio.training.sounds import SHARED_SPEC, Material, SoundsJob, train_sounds
from edgeaudio.training.sounds_batches import Mixer, Mixture, SoundBatch, batches
from edgeaudio.training.sounds_corpus import SILENCE, SPEECH, read_sounds
from edgeaudio.training.sounds_fit import MEAN, SCALE, SoundNet, SoundPlan, sound_loss
from edgeaudio.training.sounds_frames import Ear, Takes, frontend_ear, make_takes, sounding
from edgeaudio.training.sounds_pcen import LearntPcen
from edgeaudio.training.sounds_scores import Judged, accuracy, choose_activity, event_facts
from tests.training.sound_clips import tone, write_hiss, write_tones

LABELS = ("high", "low", SPEECH, SILENCE)
QUIET = Mixture(sound=1.0, second=0.0, noise=0.0, masked=0.0, colour_db=0.0, gain_db=(0.0, 0.0))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    write_tones(folder / "tones")
    write_hiss(folder / "talk", [("anna", "", "", "hello"), ("ben", "", "", "no"), ("eve", "", "", "yes")])
    write_hiss(folder / "noise", [("", "", "kitchen", "")])
    return folder


@pytest.fixture(scope="module")
def ear() -> Ear:
    return frontend_ear(SHARED_SPEC)


@pytest.fixture(scope="module")
def takes(data: Path, ear: Ear) -> list[Takes]:
    sounds = read_sounds([data], data.parent / "cache", tell=lambda line: None)
    return make_takes(sounds, ear, data.parent / "cache", 1, n_takes=2)


def mixer(takes: list[Takes], ear: Ear, mixture: Mixture) -> Mixer:
    measured = frozenset((one.clip.corpus, one.clip.key) for one in takes if one.clip.corpus == "tones")
    return Mixer(takes, LABELS, ear, n_frames=160, stride=8, fill=MEAN, measured=measured, mixture=mixture)


def test_the_frontend_is_that_of_captions() -> None:
    captions = load_bundle(find_model("captions-en-small")).manifest
    assert SHARED_SPEC.fingerprint == captions.frontend_fingerprint


def test_a_label_is_true_where_there_is_something_to_hear(ear: Ear) -> None:
    ticks = np.concatenate([tone("low", seconds=0.5)] * 3 + [np.zeros(48_000, np.float32)])
    active = sounding(ear.frames_of(ticks))
    # 0.1 s to 1.4 s, give or take the window and the smoothing over five frames.
    assert abs(int(np.argmax(active)) - 10) <= 5
    assert abs(int(active.sum()) - 130) <= 10, "pauses between ticks belong to the clock, padding does not"
    assert not sounding(ear.frames_of(np.zeros(16_000, np.float32))).any()


def test_takes_are_heard_once(takes: list[Takes], data: Path, ear: Ear) -> None:
    sounds = read_sounds([data], data.parent / "cache", tell=lambda line: None)
    deaf = replace(ear, frames_of=lambda samples: pytest.fail("heard again"))
    again = make_takes(sounds, deaf, data.parent / "cache", 1, n_takes=2)
    assert [one.clip.key for one in again] == [one.clip.key for one in takes]
    assert np.array_equal(again[0].takes[1].frames, takes[0].takes[1].frames)
    as_it_is = ear.frames_of(takes[0].clip.pcm / np.float32(32768.0))
    # float16 has a step of 2^-7 at magnitudes of 8 to 16.
    assert np.abs(as_it_is - takes[0].takes[0].frames.astype(np.float32)).max() < 2**-7


def test_an_example_says_what_is_on_and_when(takes: list[Takes], ear: Ear) -> None:
    rng = np.random.default_rng(0)
    draw = mixer(takes, ear, QUIET)
    for _ in range(10):
        example = draw(rng)
        assert example.frames.shape == (160, 80)
        assert example.on.shape == (20, 4)
        (label,) = np.flatnonzero(example.share)
        loud = np.exp(example.frames).sum(1)[7::8] > 0.1
        on = example.on[:, label] > 0
        assert on.any()
        # The tone's band alone tells which one it is.
        assert (example.frames[7::8][on & loud].argmax(1) > 40).all() == (label == 0)
        assert not (on & (example.on[:, LABELS.index(SILENCE)] > 0)).any()
        # Where no tone is there is silence, but for a frame at either end that hears a bit of the tone.
        assert (example.on.max(1) == 0).sum() <= 2


def test_two_sounds_are_both_on(takes: list[Takes], ear: Ear) -> None:
    rng = np.random.default_rng(0)
    draw = mixer(takes, ear, replace(QUIET, second=1.0, second_db=(-6.0, -6.0)))
    shares = [draw(rng).share for _ in range(40)]
    both = next(share for share in shares if share[0] and share[1])
    assert sorted(both[:2].tolist()) == pytest.approx([10 ** (-6 / 20), 1.0])


def test_equal_seeds_give_equal_batches(takes: list[Takes], ear: Ear) -> None:
    first, second = (next(batches(mixer(takes, ear, Mixture()), size=3, seed=5)) for _ in range(2))
    assert torch.equal(first.frames, second.frames)
    assert first.frames.isfinite().all()


def test_learnt_pcen_is_the_runtimes(ear: Ear) -> None:
    pcen = LearntPcen()
    hiss = np.random.default_rng(0).normal(0.0, 0.02, 16_000).astype(np.float32) + tone("high")
    with torch.no_grad():
        pcen.gain += 0.5
        pcen.smoothing -= 0.5
        learnt = pcen(torch.from_numpy(ear.frames_of(hiss))[None])[0].numpy()
    own = offline_frames(Frontend(pcen.spec(SHARED_SPEC)), hiss)
    # The log-mel frames have a floor that the runtime's energies have not, and float32 sums differ.
    assert np.abs(learnt - own).max() < 0.005 * own.max()


def tiny(n_labels: int) -> NetSpec:
    front = (BandStage(4, 4, 8, stride=4, band_stride=8), BandStage(8, 2, 4, stride=2, band_stride=3))
    return NetSpec(80, n_labels, ((8, 1, 1),), ((3, 1),), MEAN, SCALE, front)


def test_the_loss_wants_the_label_where_it_sounds() -> None:
    net = SoundNet(tiny(4)).eval()
    on = torch.zeros(1, 10, 4)
    on[0, 4:, 1] = 1.0
    batch = SoundBatch(torch.zeros(1, 80, 80), on, torch.tensor([[0.0, 1.0, 0.0, 0.0]]))
    losses = {}
    with torch.no_grad():
        net.head.weight.zero_()
        for label in range(4):
            net.head.bias.fill_(-2.0)
            net.head.bias[label] = 2.0
            losses[label] = float(sound_loss(net, batch))
    assert min(losses, key=lambda label: losses[label]) == 1


def judged(label: str, posteriors: dict[str, float]) -> Judged:
    frames = np.zeros((60, 4), np.float32)
    for name, value in posteriors.items():
        frames[20:40, LABELS.index(name)] = value
    return Judged(Clip("tones", label, np.zeros(0, np.int16), label), frames, True)


def test_accuracy_counts_only_among_the_sounds() -> None:
    found = [judged("low", {"low": 0.4, SPEECH: 0.9}), judged("high", {"low": 0.5, "high": 0.4})]
    score = accuracy(found, LABELS, ("high", "low"))
    assert (score.right, score.clips) == (1, 2)
    assert score.recalls()["low"]["right"] == 1


def test_thresholds_lie_between_a_sound_and_what_resembles_it() -> None:
    found = [judged("low", {"low": 0.8})] * 5 + [judged("high", {"low": 0.4, "high": 0.9})] * 5
    activity = choose_activity(found, LABELS, 80.0)
    threshold = activity.thresholds.get("low", activity.threshold)
    assert 0.4 < threshold <= 0.8
    facts = event_facts(found, LABELS, activity, 80.0)
    assert facts["recall, live events"]["low"]["right"] == 5
    assert facts["sounds heard that were not there, per hour"]["rate"] == 0.0


def test_from_recordings_to_a_bundle(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def small(job: SoundsJob, material: Material) -> SoundPlan:
        loop = LoopSettings(epochs=job.epochs, batches_per_epoch=10, average_from=1.0, learning_rate=0.02)
        labels = material.sounds.labels
        return SoundPlan(tiny(len(labels)), labels, loop, batch_size=4, n_frames=80)

    monkeypatch.setattr(training, "plan_of", small)
    lines: list[str] = []

    class Log(Reporter):
        def tell(self, line: str) -> None:
            lines.append(line)

    job = SoundsJob(
        None, None, tmp_path / "tones-small", epochs=2, folders=(data,),
        cache=data.parent / "cache", checkpoint_dir=tmp_path / "checkpoints",
    )  # fmt: skip
    results = train_sounds(job, Log())
    measured = results["accuracy, cross-validated"]
    assert measured["int8"]["clips"] == measured["float"]["clips"] == 8
    assert sum("held out" in line for line in lines) == 2
    manifest = load_bundle(job.output).manifest
    assert manifest.results == results
    assert manifest.labels == LABELS
    assert manifest.spotted == LABELS[:3]
    Classifier.load(job.output)
    card = (job.output / "README.md").read_text()
    assert "| tones | 8 | CC0-1.0 | made here |" in card
    assert {path.name for path in (tmp_path / "checkpoints" / "tones-small").iterdir()} == {
        "all.pt", "without-1.pt", "without-2.pt",
    }  # fmt: skip

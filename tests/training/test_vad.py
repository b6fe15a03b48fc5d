"""What a VAD is trained on: streams, targets, sounds that nobody says, and who is held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("torch", reason="tools/test --train installs PyTorch")

from edgeaudio.errors import InputError
from edgeaudio.frontend import FrontendSpec
from edgeaudio.training import vad_material
from edgeaudio.training.augment import Augmenter, Settings
from edgeaudio.training.corpus import Clip, find_manifests, load_clips
from edgeaudio.training.vad_material import gather, held_out, is_clear, side_of
from edgeaudio.training.vad_sounds import babble, made_sounds
from edgeaudio.training.vad_streams import (
    ActivityLayout,
    ActivityStreams,
    Recipe,
    Talk,
    activity_batches,
)

RATE = 16_000
SPEC = FrontendSpec()


def clip(key: str, *, speaker: str = "", corpus: str = "talk", split: str = "", label: str = "") -> Clip:
    """Half a second of quiet, one of tone, half a second of quiet."""
    rng = np.random.default_rng(0)
    samples = rng.normal(0.0, 3.0, 2 * RATE)
    samples[RATE // 2 : -RATE // 2] += 8000 * np.sin(2 * np.pi * 300 * np.arange(RATE) / RATE)
    return Clip(corpus, key, samples.astype(np.int16), label, speaker, split, "some words")


def talk() -> Talk:
    labels = np.zeros(200, np.int8)
    labels[50:150] = 1
    return Talk(clip("a"), labels)


def test_an_output_frame_is_asked_about_the_moment_a_while_ago() -> None:
    layout = ActivityLayout(SPEC, n_frames=100, stride=2, delay_ms=60.0)
    labels = np.zeros(103, np.int8)
    labels[40:60] = 1
    labels[60:65] = -1
    speech, weight = layout.targets(labels)
    # Output k has heard samples up to (2k + 1) * 160 + 400, and answers for 960 before that.
    asked = (np.arange(50) * 320 + 560 - 1 - 960) // 160
    assert np.array_equal(speech == 1.0, (asked >= 40) & (asked < 60))
    # Nobody is asked about what is not known, or about the time before the stream.
    assert np.array_equal(weight == 0.0, ((asked >= 60) & (asked < 65)) | (asked < 0))
    assert layout.n_samples == 99 * 160 + 400


def test_labels_lie_where_the_speech_lies() -> None:
    streams = ActivityStreams([talk()], (), Recipe(empty=0.0, sounds=0.0, hiss_db=(70.0, 70.0)), 5 * RATE)
    samples, labels = streams(np.random.default_rng(3))
    level = np.sqrt(np.mean(np.square(samples.reshape(-1, 160)), axis=1))
    assert set(np.unique(labels)) == {0, 1}
    # Cut ends are faded over 10 ms; tones are 1000 times as loud as their recording's own noise.
    loud = level > 0.01
    assert np.mean(loud == (labels == 1)) > 0.97


def test_streams_are_the_same_for_equal_generators_and_hold_other_sounds() -> None:
    sound = np.sin(np.arange(2 * RATE) / 3).astype(np.float32)
    recipe = Recipe(empty=1.0, sounds=3.0)
    streams = ActivityStreams([talk()], [sound], recipe, 2 * RATE)
    samples, labels = streams(np.random.default_rng(1))
    again, _ = streams(np.random.default_rng(1))
    assert np.array_equal(samples, again)
    assert not labels.any()
    assert samples.std() > 2e-3, "louder than the hiss"


def test_batches_are_frames_and_their_targets() -> None:
    layout = ActivityLayout(SPEC, n_frames=96, stride=4, delay_ms=40.0)
    streams = ActivityStreams([talk()], (), Recipe(empty=0.0), layout.n_samples)
    augmenter = Augmenter((), (), Settings(warp_share=0.0))
    batch = next(activity_batches(streams, augmenter, layout, batch_size=3, seed=1, workers=0, fill=-9.0))
    assert batch.frames.shape == (3, 96, 40)
    assert batch.speech.shape == batch.weight.shape == (3, 24)
    assert bool(batch.frames.isfinite().all())


def test_made_sounds_are_level_and_differ() -> None:
    sounds = made_sounds(6, seed=1)
    assert len(sounds) == 8  # hum and fans come with them
    for sound in sounds:
        assert sound.dtype == np.float32
        assert np.isfinite(sound).all()
        assert np.sqrt(np.mean(np.square(sound))) == pytest.approx(0.05, rel=1e-3)
    assert not np.array_equal(sounds[2], made_sounds(6, seed=2)[2])
    assert babble([], 3, seed=1) == []


def test_nobody_is_on_two_sides() -> None:
    sides = {
        speaker: {side_of(clip(f"{i}.wav", speaker=speaker), "") for i in range(3)}
        for speaker in (f"s{n}" for n in range(200))
    }
    assert all(len(found) == 1 for found in sides.values())
    apart = [found for found in sides.values() if found != {"training"}]
    assert 20 <= len(apart) <= 60, "a fifth of 200, give or take three standard deviations"
    assert {"development"} in apart
    assert {"test"} in apart


def test_splits_and_folds_are_kept() -> None:
    assert side_of(clip("a", speaker="x", split="test"), "") != "training"
    assert all(side_of(clip("a", speaker=f"x{i}", split="train"), "") == "training" for i in range(40))
    fourth = clip("a", corpus="esc10", split="4")
    assert side_of(fourth, "4") != "training"
    assert side_of(fourth, "5") == "training"


def test_speech_in_noise_is_no_truth() -> None:
    rng = np.random.default_rng(0)
    hiss = rng.normal(0.0, 0.01, 2 * RATE).astype(np.float32)
    tone = np.where(np.arange(2 * RATE) < RATE, 0.0, np.sin(np.arange(2 * RATE) / 5)).astype(np.float32)
    assert is_clear(hiss + tone)
    assert not is_clear(hiss + 0.05 * tone)
    assert not is_clear(np.zeros(2 * RATE, np.float32))


def test_gathering_sorts_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    _little(monkeypatch)
    clips = [clip(f"{i}", speaker=f"s{i}", split="train") for i in range(5)]
    clips += [clip("noisy", corpus="noise", split="train"), clip("hall", corpus="rooms")]
    clips += [clip("who knows", label="silence"), clip("other", speaker="o", split="test")]
    material = gather(clips, seed=1)
    assert material.used == {"talk": 5, "noise": 1, "rooms": 1}
    assert np.count_nonzero(material.talks[0].labels == 1) == pytest.approx(100, abs=4)
    with pytest.raises(InputError, match="no speech"):
        gather(clips[5:], seed=1)


def test_held_out_recordings_are_not_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _little(monkeypatch)
    write_corpora(tmp_path, n_speakers=30)
    manifests = find_manifests(tmp_path)
    material = gather(load_clips(manifests, tmp_path / "cache"), seed=1)
    trained = {talk.clip.key for talk in material.talks}
    sides = [held_out(manifests, side, count=20) for side in ("development", "test")]
    chosen = [{row.path.name for row in side.speech} for side in sides]
    assert chosen[0]
    assert chosen[1]
    assert not chosen[0] & chosen[1]
    assert not trained & (chosen[0] | chosen[1])
    excerpt = sides[1].excerpts(0.0)[0]
    assert excerpt.snr_db == 0.0
    assert set(np.unique(excerpt.truth)) >= {0, 1}


def test_what_a_corpus_calls_test_chooses_no_threshold(tmp_path: Path) -> None:
    write_corpora(tmp_path, n_speakers=30)
    manifest = tmp_path / "talk" / "manifest.tsv"
    head, *lines = manifest.read_text(encoding="utf-8").splitlines()
    text = "\n".join([f"{head}\tsplit", *(f"{line}\ttest" for line in lines)])
    manifest.write_text(text + "\n", encoding="utf-8")
    assert held_out(find_manifests(tmp_path), "test", count=20).speech
    with pytest.raises(InputError, match="no speech is left"):
        held_out(find_manifests(tmp_path), "development", count=20)


def _little(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_MADE_SOUNDS", "_BABBLES", "_MADE_ROOMS"):
        monkeypatch.setattr(vad_material, name, 1)


def write_corpora(folder: Path, *, n_speakers: int) -> None:
    """Speakers who say one tone each, and noises."""
    for corpus, count in (("talk", n_speakers), ("noise", 12)):
        (folder / corpus).mkdir(parents=True)
        lines = ["path\tspeaker\tlabel\ttext"]
        for i in range(count):
            pcm = clip("").pcm if corpus == "talk" else np.random.default_rng(i).normal(0, 900, RATE)
            soundfile.write(folder / corpus / f"{corpus}{i}.wav", pcm.astype(np.int16), RATE)
            who = f"s{i}\t\tsome words" if corpus == "talk" else "\thum\t"
            lines.append(f"{corpus}{i}.wav\t{who}")
        (folder / corpus / "manifest.tsv").write_text("\n".join(lines) + "\n")

"""Who is learned from and who is measured on, and what the network hears meanwhile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("torch", reason="tools/test --train installs PyTorch")

import torch

from edgeaudio.errors import InputError, UsageError
from edgeaudio.training import captions
from edgeaudio.training.build import Reporter
from edgeaudio.training.captions import (
    FRONTEND,
    KNOWN_SPEAKERS,
    CaptionsJob,
    Speech,
    band_middles_hz,
    batches,
    gather,
    network,
)
from edgeaudio.training.ctc import CaptionNet
from edgeaudio.training.nets import to_graph

Listed = tuple[str, str, str, str]  # speaker, split, label, text


class Log(Reporter):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def tell(self, line: str) -> None:
        self.lines.append(line)


def corpus(folder: Path, rows: list[Listed]) -> None:
    folder.mkdir(parents=True)
    soundfile.write(folder / "a.wav", np.random.default_rng(0).normal(0.0, 0.1, 16_000), 16_000)
    lines = ["path\tseconds\tspeaker\tsplit\tlabel\ttext"]
    lines += ["\t".join(("a.wav", "1.0", *row)) for row in rows]
    (folder / "manifest.tsv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def job(tmp_path: Path) -> CaptionsJob:
    lexicon = tmp_path / "small.dict"
    lexicon.write_text("yes Y EH S\nno N OW\n")
    return CaptionsJob(
        data=tmp_path / "data", synthetic=None, output=tmp_path / "out", cache=tmp_path / "cache",
        lexicon=lexicon, width=16, batch_seconds=5.0, workers=0,
    )  # fmt: skip


def speakers(speech: Speech) -> tuple[set[str], dict[str, set[str]]]:
    return (
        {u.row.speaker for u in speech.training},
        {name: {u.row.speaker for u in kept} for name, kept in speech.development.items()},
    )


def test_splits_decide(job: CaptionsJob, tmp_path: Path) -> None:
    splits = ("train", "test", "dev", "validation", "held_out", "")
    corpus(tmp_path / "data" / "own", [(f"s{i}", split, "", "yes no") for i, split in enumerate(splits)])
    training, development = speakers(gather(job, Log()))
    assert training == {"s0", "s5"}
    assert development == {"own": {"s1", "s2", "s3", "s4"}}


def test_of_many_speakers_some_are_kept_and_nobody_is_in_both(job: CaptionsJob, tmp_path: Path) -> None:
    corpus(tmp_path / "data" / "own", [(f"s{i % 120}", "", "", "yes") for i in range(360)])
    training, development = speakers(gather(job, Log()))
    assert 6 <= len(development["own"]) <= 32  # 15 % of 120, four standard deviations
    assert not training & development["own"]
    assert len(training | development["own"]) == 120


def test_people_in_both_splits_are_named_as_known(job: CaptionsJob, tmp_path: Path) -> None:
    rows = [("ann", "train", "", "yes"), ("ann", "test", "", "no"), ("ben", "test", "", "no")]
    corpus(tmp_path / "data" / "own", [*rows, ("ann", "train", "recognised", "no")])
    _, development = speakers(gather(job, Log()))
    assert development == {"own": {"ben"}, f"own{KNOWN_SPEAKERS}": {"ann"}}


def test_machine_transcripts_are_not_learned_from(job: CaptionsJob, tmp_path: Path) -> None:
    rows = [("ann", "train", "", "yes"), ("ben", "train", "recognised", "no")]
    corpus(tmp_path / "data" / "own", rows)
    training, development = speakers(gather(job, Log()))
    assert training == {"ann"}
    assert development == {"own, machine transcripts": {"ben"}}


def test_where_nobody_is_kept_some_recordings_are(job: CaptionsJob, tmp_path: Path) -> None:
    corpus(tmp_path / "data" / "own", [("ann", "", "", "yes no")] * 40 + [("ann", "", "yes", "")] * 10)
    speech = gather(job, Log())
    (name,) = speech.development
    assert name == f"own{KNOWN_SPEAKERS}"
    assert len(speech.development[name]) == 2
    assert len(speech.training) == len(speech.weights) == 48
    assert all(u.row.text for u in speech.development[name])  # sentences measure, words do not


def test_one_recording_is_not_enough(job: CaptionsJob, tmp_path: Path) -> None:
    corpus(tmp_path / "data" / "own", [("ann", "", "", "yes no")])
    with pytest.raises(InputError, match="one recording is not enough"):
        gather(job, Log())


def test_weights_and_noises_and_what_is_left_out(job: CaptionsJob, tmp_path: Path) -> None:
    corpus(
        tmp_path / "data" / "own", [("ann", "", "", "yes no"), ("ann", "", "yes", ""), ("ann", "", "", "5")]
    )
    corpus(tmp_path / "data" / "noise", [("", "", "rain", "")])
    corpus(tmp_path / "data" / "rooms", [("", "", "hall", "")])
    corpus(tmp_path / "synthetic" / "flite-0", [("v", "train", "no", "no"), ("w", "held_out", "no", "no")])
    corpus(tmp_path / "synthetic" / "espeak-ng-0", [("v", "train", "no", "no")])
    log = Log()
    speech = gather(replace(job, synthetic=str(tmp_path / "synthetic")), log)
    assert [u.corpus for u in speech.training] == ["own", "own", "espeak-ng-0", "flite-0"]
    assert speech.weights.tolist() == [2.5, 0.35, 0.5, 1.0]
    assert [row.path.parent.name for row in speech.noises] == ["noise"]
    assert speech.dropped["own"] == 1
    assert list(speech.development) == ["synthetic"]
    assert "not usable: 1 of own" in log.lines[-1]
    weighed = gather(replace(job, synthetic=str(tmp_path / "synthetic"), weights={"own": 7.0}), log)
    assert weighed.weights.tolist() == [7.0, 7.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"data": None}, UsageError, "nothing to learn from"),
        ({"weights": {"other": 1.0}}, UsageError, "--weight other: there is no such corpus"),
        ({"weights": {"own": 0.0}}, InputError, "no recording with a transcript"),
        ({"synthetic": "generate"}, UsageError, "something to say"),
        (
            {"synthetic": "generate", "sentences": Path("/nonexistent")},
            InputError,
            "/nonexistent: cannot read",
        ),
    ],
)
def test_what_cannot_be_is_refused(
    job: CaptionsJob, tmp_path: Path, changes: dict[str, object], error: type[Exception], message: str
) -> None:
    corpus(tmp_path / "data" / "own", [("ann", "", "", "yes no")] * 3)
    with pytest.raises(error, match=message):
        gather(replace(job, **changes), Log())


def test_distortion_grows_after_the_alignment_stands(job: CaptionsJob, tmp_path: Path) -> None:
    corpus(tmp_path / "data" / "own", [("ann", "", "", "yes no")] * 30)
    source = batches(job, gather(job, Log()), Log())

    def strengths(feed: captions._Feed) -> list[float]:
        found = []
        for done in (0.0, 0.05, 0.2, 0.35, 1.0):
            feed.progress(done)
            found.append(source.strength)
        return found

    feed = captions._Feed(source, aligned=False)
    assert strengths(feed) == pytest.approx([0.0, 0.0, 0.3, 0.6, 0.3])
    assert next(feed).frames.shape[2] == FRONTEND.n_bands
    assert strengths(captions._Feed(source, aligned=True)) == pytest.approx([0.6] * 4 + [0.3])


def test_bands_rise_and_lie_where_their_filters_do() -> None:
    middles = band_middles_hz(FRONTEND)
    assert (np.diff(middles) > 0).all()
    assert FRONTEND.fmin_hz < middles[0] < 150.0
    assert 7000.0 < middles[-1] < FRONTEND.fmax_hz


def test_the_shipped_network_has_the_size_and_the_reach_it_is_said_to_have() -> None:
    net = CaptionNet(network(256))
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(3.7e6, rel=0.02)
    assert net.spec.stride == 4
    assert to_graph(net.eval()).receptive_field_frames == pytest.approx(250, rel=0.1)
    assert net(torch.zeros(1, 16, FRONTEND.n_bands)).shape == (1, 4, 40)

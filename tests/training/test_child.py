"""Children of centred networks: the torch form is the file's, and training brings it nearer to its parent."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

pytest.importorskip("torch", reason="tools/test --train installs PyTorch")

import torch

from edgeaudio.errors import InputError, ModelError, OutputError, UsageError
from edgeaudio.models.add import add_model
from edgeaudio.models.bundle import load_bundle
from edgeaudio.models.convnet_onnx import Geometry
from edgeaudio.models.convnet_reader import read_convnet
from edgeaudio.training import child
from edgeaudio.training.build import Reporter
from edgeaudio.training.child_net import StreamNet
from tests.models.test_convnet import Stream
from tests.quartznet import Export, infer

GEOMETRY = Geometry(0, 16, 12)


def features(n, seed=1):
    return np.random.default_rng(seed).standard_normal((n, 64)).astype(np.float32)


def windows(frames, geometry=GEOMETRY):
    starts = range(0, len(frames) - geometry.window + 1, geometry.chunk)
    return torch.from_numpy(np.stack([frames[at : at + geometry.window][None] for at in starts]))


def test_over_a_whole_recording_it_is_what_the_file_computes():
    export, x = Export(softmax=False), features(100)
    net = StreamNet(read_convnet(export.data, "net"))
    with torch.no_grad():
        found = net.whole(torch.from_numpy(x[None]))[0].numpy()
    # Float sums in another order.
    np.testing.assert_allclose(found, infer(export.data, x), atol=1e-4, rtol=1e-5)


def test_over_a_stream_it_is_what_is_written_for_one():
    data, x = Export().data, features(300)
    net = StreamNet(read_convnet(data, "net"))
    with torch.no_grad():
        found = net.stream(windows(x), GEOMETRY)[0].numpy()
    np.testing.assert_allclose(found, Stream(data, GEOMETRY, mirrored=True).hear(x), atol=1e-4, rtol=1e-5)


def test_weights_go_there_and_back():
    net = read_convnet(Export(quantized=True).data, "net")
    again = StreamNet(net).to_net()
    assert again.scales == {}
    for one, other in zip(net.nodes, again.nodes, strict=True):
        assert one.output == other.output
        if hasattr(one, "weight"):
            np.testing.assert_array_equal(one.weight, other.weight)
            np.testing.assert_array_equal(one.bias, other.bias)
            assert other.integer is None


def test_no_gradient_flows_from_a_window_to_the_one_before():
    net = StreamNet(read_convnet(Export().data, "net"))
    x = windows(features(100)).requires_grad_()
    n_out = GEOMETRY.chunk // 2
    net.stream(x, GEOMETRY)[:, 2 * n_out : 3 * n_out].sum().backward()
    reached = x.grad.abs().sum(dim=(1, 2, 3)) > 0
    assert reached.tolist() == [False, False, True, *[False] * (len(x) - 3)]


@pytest.fixture
def corpus(tmp_path):
    """Two speakers, of whom one is only measured on; what they say is noise."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines = ["path\tseconds\tspeaker\tsplit\ttext"]
    for i, split in enumerate(["test", "test", "train", "train", "train"]):
        soundfile.write(folder / f"{i}.wav", 0.1 * rng.standard_normal(24_000), 16_000)
        lines.append(f"{i}.wav\t1.5\t{split}er\t{split}\tGood day to you.")
    (folder / "manifest.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def parent(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return add_model(Export(quantized=True).data, "net", name="parent").name


def job(corpus, **options):
    place = corpus.parent
    given = {"data": corpus, "synthetic": None, "output": place / "child", "epochs": 2, "parent": "parent"}
    folders = {"cache": place / "cache", "checkpoint_dir": place / "checkpoints"}
    return child.ChildJob(**{**given, **folders, **options})


def test_trains_a_child_and_writes_its_bundle(corpus, parent):
    told = []
    reporter = Reporter()
    reporter.tell = told.append
    results = child.train_child(job(corpus, lookahead_s=0.5), reporter)
    assert results["words"] == 2 * 4
    bundle = load_bundle(corpus.parent / "child")
    window = bundle.manifest.recognition.window
    assert (window.left_ms, window.chunk_ms, window.lookahead_ms) == (0.0, 640.0, 500.0)
    assert bundle.manifest.results["wer"] == results["wer"]
    assert "3 recordings to learn from, 2 to measure on" in told[0]


def test_training_brings_it_nearer_to_its_parent(corpus, parent, monkeypatch):
    monkeypatch.setattr(child, "_LEARNING_RATE", 1e-3)  # a dozen steps must do
    net = read_convnet(Export(quantized=True).data, "net")
    geometry = Geometry(0, 64, 20)
    one = job(corpus, epochs=12)
    clips, kept = child._gather(one, Reporter())
    store = child._Frames(clips + kept, one, Reporter())
    pair = child._Pair(StreamNet(net), StreamNet(net), geometry)
    [(_, batch)] = [*child._batches(job(corpus, epochs=1), pair, clips, store)]
    with torch.no_grad():
        before = float(child._loss(pair, batch))
    child._train(one, Reporter(), pair, clips, store)
    with torch.no_grad():
        assert float(child._loss(pair, batch)) < 0.95 * before
    again = read_convnet(Export(quantized=True).data, "net")
    np.testing.assert_array_equal(StreamNet(again).state_dict()["weights.conv_1_weight"],
                                  pair.parent.state_dict()["weights.conv_1_weight"])  # fmt: skip


def test_windows_are_those_of_the_stream(corpus):
    from edgeaudio.tasks.windowed import WindowedAcoustic
    from tests.tasks.test_windowed import AHEAD, CHUNK, Recorder, manifest

    table = np.random.default_rng(0).normal(-10, 3, (900, 64)).astype(np.float32)
    graph = Recorder(left=0, n_bands=64)
    acoustic = WindowedAcoustic(graph, manifest(left=0, normalise="running"))
    acoustic.process(table)
    acoustic.flush()
    found = child._windows([table], Geometry(0, CHUNK, AHEAD))
    np.testing.assert_allclose(found[:, 0], np.stack(graph.seen), atol=1e-6)


def test_goes_on_from_a_checkpoint(corpus, parent, monkeypatch):
    monkeypatch.setattr(child, "_KEEP_EVERY_S", -1.0)
    child.train_child(job(corpus), Reporter())
    one = job(corpus, output=corpus.parent / "child2", resume=True, minutes=1e-6)
    one.checkpoint.parent.mkdir(exist_ok=True)
    (one.checkpoint_dir / "child.pt").rename(one.checkpoint)
    results = child.train_child(one, Reporter())
    first = load_bundle(corpus.parent / "child").read_graph("onnx")
    second = load_bundle(corpus.parent / "child2").read_graph("onnx")
    # No time was left to learn more.
    assert first == second
    assert results["words"] == 8


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({"lookahead_s": 1.5}, UsageError, "not between 0 and 1.28 s"),
        ({"lookahead_s": -1.0}, UsageError, "not between"),
        ({"lookahead_s": float("nan")}, UsageError, "not between"),
        ({"parent": "commands-12"}, ModelError, "cannot have children"),
        ({"parent": "nobody"}, ModelError, "unknown model 'nobody'"),
        ({"parent": "./nothing.onnx"}, ModelError, "cannot read"),
        ({"data": None}, UsageError, "nothing to learn from"),
    ],
)
def test_what_cannot_be_trained(corpus, parent, options, error, why):
    with pytest.raises(error, match=why):
        child.train_child(job(corpus, **options), Reporter())
    assert not (corpus.parent / "child").exists()


def test_an_output_that_exists_is_refused_before_the_training(corpus, parent):
    (corpus.parent / "child").mkdir()
    with pytest.raises(OutputError, match="exists already"):
        child.train_child(job(corpus), Reporter())


def test_recordings_of_one_speaker_are_not_enough(corpus, parent):
    manifest = corpus / "manifest.tsv"
    manifest.write_text(manifest.read_text().replace("test", "train"))
    with pytest.raises(InputError, match="enough speakers"):
        child.train_child(job(corpus), Reporter())

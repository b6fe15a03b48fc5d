"""Many streams through one model: each is answered as if it were alone."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from edgeaudio.backends import Runtime, open_graph, stream
from edgeaudio.backends.many import ManyStreams, Way, check_many, open_many
from edgeaudio.errors import BackendError, MissingDependencyError, ModelError
from edgeaudio.models.bundle import Bundle, load_bundle
from edgeaudio.profiles import Profile
from tests.conftest import ROOT
from tests.networks import random_frames, residual_graph

WAYS: list[tuple[Way, Runtime]] = [("batched", "onnx"), ("in turns", "onnx"), ("in turns", "litert")]


def together(many: ManyStreams, streams: list[np.ndarray]) -> np.ndarray:
    """Logits ``[n_streams, n, n_labels]`` of streams of equal length."""
    step = many.signature.step_frames
    blocks = np.stack(streams)
    answers = [many.step(blocks[:, i : i + step]).copy() for i in range(0, blocks.shape[1], step)]
    return np.concatenate(answers, axis=1)


@pytest.mark.parametrize(("way", "runtime"), WAYS)
def test_each_stream_is_answered_as_if_it_were_alone(bundle: Bundle, way: Way, runtime: Runtime) -> None:
    streams = [random_frames(80, seed, residual_graph()) for seed in range(5)]
    many = open_many(bundle, 5, way, runtime)
    assert (many.way, many.runtime, many.provider, many.precision) == (way, runtime, "cpu", "int8")
    answers = together(many, streams)
    single = open_graph(bundle, runtime)
    for frames, answer in zip(streams, answers, strict=True):
        single.reset()
        # The same integer arithmetic in every row.
        np.testing.assert_array_equal(answer, stream(single, frames))
    many.step(np.stack(streams)[:, : many.signature.step_frames])  # an odd number of steps
    many.reset()
    np.testing.assert_array_equal(together(many, streams), answers)


@pytest.mark.parametrize("model", ["wake-computer", "commands-12", "captions-en-small"])
@pytest.mark.parametrize(("way", "runtime"), WAYS)
def test_shipped_models_can_be_run_in_every_way(model: str, way: Way, runtime: Runtime) -> None:
    bundle = load_bundle(ROOT / "models" / model)
    golden = bundle.golden()
    worst = check_many(bundle, way, runtime, Profile(), frames=golden.frames, tolerance=golden.tolerance)
    assert worst <= golden.tolerance


def test_float_arithmetic_makes_batches_too(bundle: Bundle) -> None:
    profile = Profile(precision="float32", runtime=("onnx",))
    frames = random_frames(80, 1, residual_graph())
    # Sums of float32 may be taken in another order: some of the last bits of 24.
    assert check_many(bundle, "batched", "onnx", profile, frames=frames, tolerance=1e-4) <= 1e-4


def test_rows_that_are_mixed_up_are_found(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeaudio.backends import many

    class Rolled:
        def __init__(self, *arguments: Any) -> None:
            self.inner = open_many(*arguments)

        def step(self, frames: np.ndarray) -> np.ndarray:
            return np.roll(self.inner.step(frames), 1, axis=0)

    monkeypatch.setattr(many, "open_many", Rolled)
    frames = random_frames(80, 1, residual_graph())
    with pytest.raises(ModelError, match="answers otherwise than for one stream"):
        check_many(bundle, "batched", "onnx", Profile(), frames=frames, tolerance=0.1)


def test_what_cannot_be_batched_says_so(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackendError, match="LiteRT makes no batches"):
        open_many(bundle, 2, "batched", "litert")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependencyError, match="made for one stream") as error:
        open_many(bundle, 2, "batched", "onnx")
    assert error.value.hint == "pip install onnx"
    assert error.value.exit_code == 6

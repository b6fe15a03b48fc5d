"""Many streams at once are heard as each would be alone; and how many are too many."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.backends import Runtime
from edgeaudio.backends.many import Way
from edgeaudio.errors import BackendError, ModelError, UsageError
from edgeaudio.frontend import Frontend
from edgeaudio.models.bundle import Bundle, load_bundle
from edgeaudio.profiles import Budgets, Profile
from edgeaudio.profiling.audio import BUNDLED, load
from edgeaudio.profiling.crowd import Crowd
from edgeaudio.profiling.streams import MOST_STREAMS, find_largest, measure_streams
from edgeaudio.tasks.spotter import Spotter
from edgeaudio.types import Samples
from tests.conftest import ROOT

RATE = 16000
WAYS: list[tuple[Way, Runtime]] = [("batched", "onnx"), ("in turns", "onnx"), ("in turns", "litert")]


@pytest.fixture(scope="module")
def samples() -> Samples:
    pytest.importorskip("soundfile")
    return load(BUNDLED[:1])


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(ROOT / "models" / "commands-12")


def going_on(_: np.ndarray) -> bool:
    return False


@pytest.mark.parametrize(("way", "runtime"), WAYS)
@pytest.mark.parametrize("hop_ms", [80, 160])
def test_each_stream_hears_the_words_it_would_hear_alone(
    bundle: Bundle, samples: Samples, way: Way, runtime: Runtime, hop_ms: int
) -> None:
    profile = Profile(hop_ms=hop_ms)
    crowd = Crowd(bundle, 3, way, runtime, profile=profile, samples=samples)
    n_rounds = len(samples) * 1000 // RATE // hop_ms
    rounds = crowd.run(n_rounds, paced=False, stop=going_on)
    assert rounds.answered_ms.shape == (n_rounds * hop_ms // 80, 3)
    assert (rounds.answered_ms > 0).all()
    for stream, found in enumerate(crowd.events):
        heard = np.roll(samples, -crowd.offset(stream))[: n_rounds * hop_ms * RATE // 1000 + 240]
        spotter = Spotter.load(bundle.path, backend=runtime)
        alone = spotter.process(Frontend(spotter.spec).process(np.ascontiguousarray(heard)))
        assert found == alone
        assert len(alone) >= 3


def test_late_audio_counts_from_its_capture(bundle: Bundle, samples: Samples) -> None:
    """Of a hop of two steps, the first waits for the second, in every round."""
    crowd = Crowd(bundle, 2, "in turns", "onnx", profile=Profile(hop_ms=160), samples=samples)
    answered = crowd.run(4, paced=True, stop=going_on).answered_ms
    assert (answered[::2] > 80.0).all()
    assert (answered[::2] > answered[1::2]).all()


@given(limit=st.integers(0, 5000), start=st.integers(1, 4096))
@settings(max_examples=200)
def test_the_largest_number_is_found_to_a_twentieth(limit: int, start: int) -> None:
    asked: list[int] = []

    def keeps(n: int) -> bool:
        asked.append(n)
        return n <= limit

    found = find_largest(keeps, start, MOST_STREAMS)
    assert found <= limit
    assert found >= min(limit, MOST_STREAMS) - max(1, limit // 19)
    assert len(set(asked)) == len(asked), "no number is tried twice"
    assert len(asked) <= 22


def test_a_search_that_is_ended_keeps_what_it_had() -> None:
    tried: list[int] = []

    def keeps(n: int) -> bool:
        tried.append(n)
        return True

    assert find_largest(keeps, 4, 4096, lambda: len(tried) >= 3) == 16


def test_all_ways_are_compared_and_the_limit_is_one_that_was_kept(bundle: Bundle, samples: Samples) -> None:
    told: list[str] = []
    # A budget of a second: what else runs on the machine does not decide the test, and the search ends
    # when the thread is too busy, or when it is told to.
    profile = Profile(budgets=Budgets(p95_word_to_event_ms=1000.0))
    found = measure_streams(
        bundle,
        2,
        samples,
        profile=profile,
        seconds=0.8,
        progress=told.append,
        stopping=lambda: sum("streams" in line for line in told) > 3,
    )
    assert [(run.way, run.runtime) for run in found.compared] == WAYS
    assert {run.streams for run in found.compared} == {2}
    assert all(run.keeps and 0 < run.p50_ms <= run.p95_ms <= run.max_ms for run in found.compared)
    assert found.left_out == {}
    assert found.round_ms == 80.0
    assert found.largest is not None
    assert found.largest.keeps
    assert found.largest in found.tried
    assert not found.complete
    assert "not measured" in found.gpu
    assert found.machine.versions["onnxruntime"]


def test_a_budget_that_not_even_one_stream_keeps(bundle: Bundle, samples: Samples) -> None:
    profile = Profile(budgets=Budgets(p95_word_to_event_ms=1e-3))
    found = measure_streams(bundle, 4, samples, profile=profile, seconds=0.8, runtime="litert")
    assert found.largest is None
    assert [run.streams for run in found.tried] == [4, 2, 1]
    assert not any(run.keeps for run in found.compared)
    # Hopeless trials end after their first round.
    assert all(run.rounds == 1 for run in found.tried)


def test_without_the_package_onnx_the_batches_are_left_out_and_it_is_said(
    bundle: Bundle, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    profile = Profile(budgets=Budgets(p95_word_to_event_ms=1e-3))
    found = measure_streams(bundle, 1, samples, profile=profile, seconds=0.8, runtime="onnx")
    assert [run.way for run in found.compared] == ["in turns"]
    assert "pip install onnx" in found.left_out["batched on onnx"]


def test_a_provider_that_is_not_there_is_an_error(bundle: Bundle, samples: Samples) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine's onnxruntime has CUDA")
    profile = Profile(runtime=("onnx",), providers=("cuda", "cpu"), precision="float32")
    with pytest.raises(BackendError, match="without cuda"):
        measure_streams(bundle, 1, samples, profile=profile, seconds=0.8)


def test_what_cannot_be_measured(bundle: Bundle, samples: Samples) -> None:
    with pytest.raises(UsageError, match="0 streams"):
        measure_streams(bundle, 0, samples, profile=Profile())
    captions = load_bundle(ROOT / "models" / "captions-en-small")
    with pytest.raises(ModelError, match="is for captions"):
        measure_streams(captions, 1, samples, profile=Profile())

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeaudio.errors import ModelError, UsageError
from edgeaudio.models.bundle import load_bundle
from edgeaudio.models.catalogue import find_model
from edgeaudio.models.people import PEOPLE_FILE, People, load_people, save_people
from edgeaudio.training.build import Reporter, SpotterJob, bundle_posteriors
from edgeaudio.training.corpus import Clip
from edgeaudio.training.export_onnx import export_onnx_int8
from edgeaudio.training.graph import Add, Conv, Graph
from edgeaudio.training.heads import Head, Phrases, in_units, train_head
from edgeaudio.training.hints import TEACHER
from edgeaudio.training.import_onnx import import_onnx_int8
from edgeaudio.training.people import heard_rows
from edgeaudio.training.quantize import quantize, run_float, run_int8

N_TOKENS = 12
PHRASE = (3, 4, 5, 6, 7)


def utterance(tokens: tuple[int, ...], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows in which each token is seen once every three rows, and where."""
    rows = np.zeros((3 * len(tokens) + 2, N_TOKENS), np.uint8)
    rows[:, 0] = 40
    middles = 3 * np.arange(len(tokens)) + 1
    rows[middles, 0] = 0
    rows[middles, tokens] = rng.integers(30, 60, len(tokens))
    return rows, middles


def people(n: int = 60, seed: int = 0) -> People:
    """They say tokens at random, none of them the whole phrase."""
    rng = np.random.default_rng(seed)
    said: list[tuple[int, ...]] = []
    while len(said) < n:
        tokens = tuple(rng.integers(1, N_TOKENS, 30).tolist())
        # Parts of the phrase are said, and none holds it.
        at = int(rng.integers(1, 25))
        first = int(rng.integers(4))
        tokens = (*tokens[:at], *PHRASE[first : first + 2], *tokens[at:])
        if not any(tokens[i : i + 5] == PHRASE for i in range(len(tokens))):
            said.append(tokens)
    heard = [utterance(tokens, rng) for tokens in said]
    return People(
        rows=np.concatenate([rows for rows, _ in heard]),
        ends=np.cumsum([len(rows) for rows, _ in heard]),
        tokens=np.concatenate([np.array(tokens, np.uint8) for tokens in said]),
        token_ends=np.cumsum([len(tokens) for tokens in said]),
        middles=np.concatenate([middles for _, middles in heard]).astype(np.int32),
        clear=np.ones(n, bool),
        apart=np.arange(n) % 4 == 0,
        sounds=np.tile(np.eye(1, N_TOKENS, dtype=np.uint8) * 40, (200, 1)),
        frames=rng.normal(-4.0, 2.0, (640, 80)).astype(np.float32),
        fingerprint="ab" * 32,
    )


def tokens_seen(rows: np.ndarray) -> tuple[int, ...]:
    best = rows.argmax(axis=1)
    return tuple(int(t) for t in best if t)


def test_a_phrase_is_made_of_what_others_said() -> None:
    said = Phrases.of(people(), [PHRASE], [], apart=False)
    rng = np.random.default_rng(0)
    for _ in range(20):
        spoken = said.say(PHRASE, rng)
        assert spoken is not None
        rows, end = spoken
        assert tokens_seen(rows) == PHRASE
        assert rows[end].argmax() == PHRASE[-1]
        # Each sound takes as long as it did where it was said.
        assert 3 * len(PHRASE) - 2 <= len(rows) <= 3 * len(PHRASE) + 4
    assert said.say((3, 3, 3, 3, 3, 3), rng) is None


def test_who_says_the_phrase_and_who_is_measured_on_is_left_out() -> None:
    everybody = people()
    rows, middles = utterance((1, *PHRASE, 2), np.random.default_rng(1))
    with_phrase = replace(
        everybody,
        rows=np.concatenate((everybody.rows, rows)),
        ends=np.append(everybody.ends, len(everybody.rows) + len(rows)),
        tokens=np.append(everybody.tokens, np.array((1, *PHRASE, 2), np.uint8)),
        token_ends=np.append(everybody.token_ends, len(everybody.tokens) + 7),
        middles=np.append(everybody.middles, middles.astype(np.int32)),
        clear=np.append(everybody.clear, True),
        apart=np.append(everybody.apart, False),
    )
    numbers = Phrases.of(with_phrase, [PHRASE], [], apart=False).numbers
    assert numbers.tolist() == [i for i in range(60) if i % 4]
    assert Phrases.of(with_phrase, [PHRASE], [], apart=True).numbers.tolist() == list(range(0, 60, 4))


def test_a_head_learns_a_phrase_and_its_graph_is_the_same() -> None:
    said = Phrases.of(people(), [PHRASE], [(3, 4, 5, 6, 8), (4, 5, 6, 7)], apart=False)
    told: list[float] = []
    head = train_head(
        said, [PHRASE], [(3, 4, 5, 6, 8), (4, 5, 6, 7)],
        batches=150, seed=1, threads=1, progress=told.append,
    )  # fmt: skip
    assert told[-1] == 1.0
    apart = Phrases.of(people(), [PHRASE], [], apart=True)
    rng = np.random.default_rng(2)
    quiet = people().sounds[:30]

    def peak(rows: np.ndarray) -> float:
        return float(head.posteriors(np.concatenate((quiet, rows, quiet)))[:, 0].max())

    phrases = [apart.say(PHRASE, rng) for _ in range(30)]
    assert np.mean([peak(one[0]) > 0.5 for one in phrases if one is not None]) > 0.9
    others = [utterance(tuple(rng.permutation(PHRASE).tolist()), rng)[0] for _ in range(30)]
    assert np.mean([peak(rows) > 0.5 for rows in others]) < 0.2

    rows = in_units(people().rows[:200])
    graph = Graph(N_TOKENS, 0.0, 1.0, tuple(head.nodes("frames")))
    logits = run_float(graph, rows)
    exact = np.exp(logits[:, 0]) / np.exp(logits).sum(axis=1)
    np.testing.assert_allclose(exact, head.posteriors(people().rows[:200])[:, 0], atol=1e-4)


def test_a_long_phrase_gets_a_longer_memory() -> None:
    def reach(n_sounds: int) -> int:
        return Graph(40, 0.0, 1.0, tuple(Head(40, n_sounds).nodes("frames"))).receptive_field_frames

    assert reach(8) == 29
    assert reach(20) == 61


def test_rows_say_how_much_more_probable_than_usual_a_token_is() -> None:
    log_probs = np.log(np.array([[0.9, 0.09, 0.01 - 1e-6, 1e-6]], np.float32))
    above = log_probs - log_probs.mean()
    assert heard_rows(log_probs).tolist() == [[max(0, round(4 * (x - 3.0))) for x in above[0].tolist()]]


def test_what_was_exported_can_be_read_back() -> None:
    rng = np.random.default_rng(0)

    def conv(source: str, output: str, shape: tuple[int, int, int], **options: object) -> Conv:
        weight = rng.normal(0, 0.3, shape).astype(np.float32)
        return Conv(source, output, weight, rng.normal(0, 0.1, shape[0]).astype(np.float32), **options)  # type: ignore[arg-type]

    graph = Graph(
        8, -4.0, 2.0,
        (
            conv("frames", "stem", (6, 8, 5), stride=2, relu=True),
            conv("stem", "inner", (6, 6, 3), dilation=2, relu=True),
            conv("inner", "outer", (6, 6, 1)),
            Add(("stem", "outer"), "sum", relu=True),
            conv("sum", "logits", (3, 6, 1)),
        ),
    )  # fmt: skip
    frames = rng.normal(-4.0, 2.0, (400, 8)).astype(np.float32)
    quantized = quantize(graph, [frames])
    again = import_onnx_int8(export_onnx_int8(quantized, 8), resting=-4.0)
    assert [(node.output, node.relu) for node in again.nodes] == [(n.output, n.relu) for n in graph.nodes]
    wanted, got = run_int8(quantized, frames), run_float(again, frames)
    noise = np.mean((run_float(graph, frames) - wanted) ** 2)
    assert np.mean((got - wanted) ** 2) < 4 * noise
    with pytest.raises(ModelError, match="no ONNX"):
        import_onnx_int8(b"\xffnonsense", resting=0.0)


def test_a_tensor_inside_has_a_say_in_the_scales_behind_it() -> None:
    graph = Graph(
        2, 0.0, 1.0,
        (
            Conv("frames", "heard", np.eye(2, dtype=np.float32)[:, :, None], np.zeros(2, np.float32)),
            Conv("heard", "logits", np.eye(2, dtype=np.float32)[:, :, None], np.zeros(2, np.float32)),
        ),
    )  # fmt: skip
    calm = np.random.default_rng(0).uniform(-1, 1, (200, 2)).astype(np.float32)
    loud = 20 * calm
    assert np.abs(run_int8(quantize(graph, [calm]), loud)).max() < 1.1
    scales = quantize(graph, [calm], {"heard": [loud]}).scales
    assert scales["logits"].scale > 10 * scales["frames"].scale


def test_people_are_kept_and_checked(tmp_path: Path) -> None:
    bundle = load_bundle(find_model(TEACHER))
    known = load_people(bundle.path, bundle.manifest)
    assert known.rows.shape[1] == 40
    assert 0 < known.apart.mean() < 0.5
    small = replace(people(), fingerprint=known.fingerprint)
    save_people(tmp_path, small)
    with pytest.raises(ModelError, match="tokens or bands"):
        load_people(tmp_path, bundle.manifest)
    save_people(tmp_path, replace(small, fingerprint="00" * 32))
    with pytest.raises(ModelError, match="another version") as refused:
        load_people(tmp_path, bundle.manifest)
    assert "tools/make-people" in (refused.value.hint or "")
    save_people(tmp_path, replace(small, middles=small.middles + 1000))
    with pytest.raises(ModelError, match="fit each other"):
        load_people(tmp_path, bundle.manifest)
    (tmp_path / PEOPLE_FILE).write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(ModelError, match="holds no people"):
        load_people(tmp_path, bundle.manifest)
    (tmp_path / PEOPLE_FILE).unlink()
    with pytest.raises(ModelError, match="make-people"):
        load_people(tmp_path, bundle.manifest)


@pytest.fixture
def quick_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that has seen next to nothing is exported as any other."""
    monkeypatch.setattr("edgeaudio.training.heads.BATCHES", 20)
    from edgeaudio.training import heads, quick

    def short(*args: object, **options: object) -> Head:
        return heads.train_head(*args, **options, batches=20)  # type: ignore[arg-type]

    monkeypatch.setattr(quick, "train_head", short)


@pytest.mark.usefixtures("quick_batches")
def test_a_typed_phrase_becomes_a_bundle_that_hears(tmp_path: Path) -> None:
    from edgeaudio.training.quick import train_quick

    job = SpotterJob(data=None, synthetic=None, output=tmp_path / "hey-lamp", cache=tmp_path)
    results = train_quick(job, Reporter(), phrase="hey lamp")
    bundle = load_bundle(job.output)
    assert bundle.manifest.labels == ("hey lamp", "other")
    assert bundle.has_graph("onnx")
    assert bundle.has_graph("tflite")
    assert "missed, " not in json.dumps(results)
    assert results["false alarms per hour"]["hours"] > 0.5
    card = (job.output / "README.md").read_text()
    assert "Nobody has said the phrase to it" in card
    assert "speech synthesisers" not in card
    (heard,) = bundle_posteriors(job.output, [np.zeros(32_000, np.float32)])
    assert heard.shape[1] == 2
    with pytest.raises(UsageError, match="holds a model already"):
        train_quick(job, Reporter(), phrase="hey lamp")


@pytest.mark.parametrize(
    ("label", "text", "measured"),
    [
        ("wildfire", "", True),
        ("", "Wildfire!", True),
        ("", "a car in the rain", True),
        ("", "a Wildfire in Florida", False),
        ("", "Wildfires burn", False),
        ("", "I did say wild fire", False),
    ],
)
def test_who_has_said_the_phrase_is_no_other_speech(label: str, text: str, measured: bool) -> None:
    from edgeaudio.training import quick

    clip = Clip("calls", "a.opus", np.zeros(8, np.int16), label=label, text=text, split="test")
    if quick._says_nothing_else(clip, "wildfire"):
        clip = replace(clip, label="wildfire")
    assert quick._is_measured(clip, "wildfire") == measured


def test_a_recogniser_without_people_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeaudio.training import quick

    shutil.copytree(find_model(TEACHER), tmp_path / TEACHER)
    (tmp_path / TEACHER / PEOPLE_FILE).unlink()
    monkeypatch.setattr(quick, "TEACHER", str(tmp_path / TEACHER))
    job = SpotterJob(data=None, synthetic=None, output=tmp_path / "x", cache=tmp_path)
    with pytest.raises(ModelError, match=PEOPLE_FILE):
        quick.train_quick(job, Reporter(), phrase="hey lamp")
    assert not job.output.exists()

"""Errors, delays and orders, with a recogniser that writes the same for each recording."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edgeaudio.cli import evaluate_captions as command
from edgeaudio.decoding.grammar import Grammar
from edgeaudio.errors import InputError
from edgeaudio.evaluation.captions import TAIL_S, CaptionsResult, evaluate_captions
from edgeaudio.evaluation.manifest import read_manifest
from edgeaudio.evaluation.word_times import read_word_times
from edgeaudio.testing import scripted_recognizer

Run = Callable[..., tuple[int, str, str]]

WORDS = [(0.4, 0.8, "turn"), (0.8, 1.2, "the"), (1.2, 1.6, "lights"), (1.6, 2.0, "off")]
GRAMMAR = "public <light> = turn the lights (on | off) {state};\n"


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[..., Path]:
    """``manifest((speaker, text), …)`` lists recordings of three seconds of noise."""

    def make(*rows: tuple[str, str]) -> Path:
        noise = np.random.default_rng(1).normal(0, 0.05, 48_000).astype(np.float32)
        soundfile.write(tmp_path / "noise.wav", noise, 16_000)
        lines = ["path\tspeaker\ttext", *(f"noise.wav\t{speaker}\t{text}" for speaker, text in rows)]
        path = tmp_path / "talk.tsv"
        path.write_text("\n".join(lines) + "\n")
        return path

    return make


def evaluate(path: Path, grammar: Grammar | None = None) -> CaptionsResult:
    recognizer = scripted_recognizer(WORDS, grammar=grammar)
    return evaluate_captions(
        read_manifest(path, require=["text"]),
        recognizer,
        understand=grammar.understand if grammar else None,
    )


def test_counts_errors_by_kind(manifest: Callable[..., Path]) -> None:
    result = evaluate(
        manifest(
            ("ann", "Turn the lights off!"), ("ann", "turn on the light off"), ("bob", "turn lights off")
        )
    )
    assert (result.substitutions, result.deletions, result.insertions, result.words) == (1, 1, 1, 12)
    assert result.wer == 3 / 12
    # "on " is missing, "s" and "the " are too much, of 19, 21 and 15 characters.
    assert result.cer == (0 + 4 + 4) / (19 + 21 + 15)
    assert result.mistakes == {("light", "lights"): 1, ("on", ""): 1, ("", "the"): 1}
    assert result.interval[0] <= result.wer <= result.interval[1]


def test_a_recording_in_which_nothing_is_said_counts_only_what_is_made_up(
    manifest: Callable[..., Path],
) -> None:
    result = evaluate(manifest(("ann", "turn the lights off"), ("ann", "")))
    assert (result.wer, result.insertions, result.words) == (1.0, 4, 4)


def test_delays_are_counted_from_the_ends_of_words(manifest: Callable[..., Path]) -> None:
    result = evaluate(manifest(("ann", "turn the lights off")))
    delays = result.delays
    assert len(delays.words_s) == 4
    assert delays.first_words_s == delays.words_s[:1]
    # A word's last frame is followed by a blank one of 40 ms; steps have 160 ms, blocks 80.
    assert all(0.04 <= delay_s <= 0.04 + 0.16 + 0.08 + 0.08 for delay_s in delays.words_s)
    # After the endpoint's 0.8 s of silence.
    assert len(delays.finals_s) == 1
    assert 0.8 <= delays.finals_s[0] <= 0.8 + 0.04 + 0.16 + 0.08 + 0.08
    assert result.heard_s == pytest.approx(3.0 + TAIL_S, abs=0.1)
    assert 0 < result.real_time_factor < 1


def test_delays_are_counted_from_the_times_that_are_given(
    manifest: Callable[..., Path], tmp_path: Path
) -> None:
    rows = read_manifest(manifest(("ann", "turn the light off")))
    own = evaluate_captions(rows, scripted_recognizer(WORDS)).delays
    spoken = [("turn", 0.7), ("the", 1.1), ("light", 1.4), ("off", 1.9)]
    words = [{"word": word, "start_s": end_s - 0.3, "end_s": end_s} for word, end_s in spoken]
    (tmp_path / "times.json").write_text(json.dumps({"path": "noise.wav", "words": words}) + "\n")
    times = read_word_times(tmp_path / "times.json")
    delays = evaluate_captions(rows, scripted_recognizer(WORDS), times=times).delays
    # The recogniser's own ends are 0.76, 1.16, 1.56 and 1.96 s; "lights" was not said.
    assert delays.words_s == pytest.approx([own.words_s[i] + 0.06 for i in (0, 1, 3)])
    assert delays.first_words_s == delays.words_s[:1]
    assert delays.finals_s == pytest.approx([own.finals_s[0] + 0.06])


def test_word_times_that_are_none(manifest: Callable[..., Path], tmp_path: Path) -> None:
    rows = read_manifest(manifest(("ann", "turn")))
    with pytest.raises(InputError, match=r"talk\.tsv:2: .*noise\.wav has no word times"):
        evaluate_captions(rows, scripted_recognizer(WORDS), times={})
    (tmp_path / "bad.json").write_text('{"path": "noise.wav", "words": []}\n{"path": 3}\n')
    with pytest.raises(InputError, match=r"bad\.json:2: these are no word times"):
        read_word_times(tmp_path / "bad.json")
    with pytest.raises(InputError, match="cannot read the word times: No such file"):
        read_word_times(tmp_path / "none.json")


def test_in_real_time_delays_are_those_of_the_clock(manifest: Callable[..., Path]) -> None:
    rows = read_manifest(manifest(("ann", "turn the lights off")))
    started_s = time.monotonic()
    result = evaluate_captions(rows, scripted_recognizer(WORDS), paced=True)
    assert time.monotonic() - started_s >= 3.0 + TAIL_S
    assert (result.wer, len(result.delays.words_s)) == (0.0, 4)
    # Not sooner than by position; this machine may be busy, but no second is lost.
    assert all(0.04 <= delay_s <= 1.5 for delay_s in result.delays.words_s)


def test_orders_are_right_when_command_and_slots_are(manifest: Callable[..., Path]) -> None:
    path = manifest(("a", "turn the lights off"), ("b", "turn the lights on"), ("c", "what time is it"))
    result = evaluate(path, Grammar.parse(GRAMMAR))
    assert (result.orders, result.false_orders) == ((1, 2), (1, 1))
    assert {key: result.to_json()["orders"][key] for key in ("right", "given", "false", "others")} == {
        "right": 1,
        "given": 2,
        "false": 1,
        "others": 1,
    }
    assert "orders" not in evaluate(path).to_json()


def test_without_any_text_there_is_nothing_to_compare(manifest: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match=r"talk\.tsv: no recording has any word"):
        evaluate(manifest(("ann", ""), ("bob", "...")))


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "load_recognizer", lambda *_: scripted_recognizer(WORDS))


@pytest.mark.usefixtures("scripted")
def test_the_command_prints_json(run: Run, manifest: Callable[..., Path]) -> None:
    path = manifest(("ann", "turn the lights off"), ("bob", "turn lights on"))
    code, out, _ = run("evaluate", "captions", path, "--json")
    assert code == 0
    report = json.loads(out)
    assert list(report)[:8] == [
        "wer",
        "cer",
        "interval",
        "substitutions",
        "deletions",
        "insertions",
        "words",
        "real_time_factor",
    ]
    assert (report["wer"], report["words"], report["clips"], report["speakers"]) == (2 / 7, 7, 2, 2)
    assert report["word_delay_s"]["count"] == 8


@pytest.mark.usefixtures("scripted")
def test_the_command_prints_a_report(run: Run, manifest: Callable[..., Path]) -> None:
    path = manifest(("ann", "turn the lights off"), ("bob", "turn lights on"))
    code, out, _ = run("evaluate", "captions", path, "--errors", 1)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("word errors       28.57 %  (95 % interval 0.00 to 66.67 %)")
    assert lines[1].strip() == "1 substitutions, 0 deletions, 1 insertions, 7 words"
    assert [line.split() for line in lines[-2:]] == [["said", "written", "times"], ["(nothing)", "the", "1"]]


def test_the_command_prints_orders(
    run: Run, manifest: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jsgf").write_text(GRAMMAR)
    grammar = Grammar.parse(GRAMMAR)
    monkeypatch.setattr(command, "load_recognizer", lambda *_: scripted_recognizer(WORDS, grammar=grammar))
    path = manifest(("a", "turn the lights off"), ("b", "turn the lights on"), ("c", "what time is it"))
    code, out, _ = run("evaluate", "captions", path, "--grammar", tmp_path / "a.jsgf")
    assert code == 0
    assert "orders right      1 of 2, 50.0 %  (95 % interval 9.5 to 90.5 %)" in out
    assert "false orders      1, in 1 recordings of something else" in out


@pytest.mark.usefixtures("scripted")
def test_who_speaks_may_stand_in_another_column(run: Run, manifest: Callable[..., Path]) -> None:
    path = manifest(("ann", "turn the lights off"), ("ann", "turn lights on"))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([f"{lines[0]}\treader", f"{lines[1]}\tx", f"{lines[2]}\ty"]) + "\n")
    code, out, _ = run("evaluate", "captions", path, "--json", "--speaker-column", "reader")
    assert (code, json.loads(out)["speakers"]) == (0, 2)
    code, _, err = run("evaluate", "captions", path, "--json", "--speaker-column", "voice")
    assert code == 3
    assert "no column 'voice'" in err


@pytest.mark.usefixtures("scripted")
@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        ("path\nnoise.wav\n", 3, "talk.tsv:1: no column 'text'"),
        ("path\ttext\ngone.wav\thello\n", 3, "talk.tsv:2: "),
        ("path\ttext\ntalk.tsv\thello\n", 3, "talk.tsv:2: cannot read "),
        ("path\ttext\nnoise.wav\t\n", 3, "no recording has any word in its text"),
    ],
)
def test_bad_manifests(
    run: Run, manifest: Callable[..., Path], content: str, code: int, message: str
) -> None:
    path = manifest()
    path.write_text(content)
    outcome = run("evaluate", "captions", path)
    assert (outcome[0], outcome[1]) == (code, "")
    assert message in outcome[2]


def test_a_grammar_that_does_not_exist_is_told_before_the_model_is_loaded(
    run: Run, manifest: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "load_recognizer", lambda *_: pytest.fail("loaded"))
    code, _, err = run("evaluate", "captions", manifest(("a", "go")), "--grammar", "none.jsgf")
    assert code == 7
    assert "none.jsgf" in err

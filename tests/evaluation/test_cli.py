from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.conftest import OTHER_HZ, WORD_HZ, tone

QUIET = np.random.default_rng(6).normal(0, 1e-4, 16_000).astype(np.float32)
YES = ("yes", np.concatenate([QUIET[:4000], tone(WORD_HZ, 0.5)]))
NO = ("no", np.concatenate([QUIET[:4000], tone(OTHER_HZ, 0.5)]))
ROOM = ("", np.concatenate([QUIET, tone(OTHER_HZ, 0.5), QUIET]))


@pytest.fixture
def bad_manifests(
    make_manifest: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the working directory: two good manifests and four bad ones."""
    make_manifest("words", YES)
    make_manifest("room", ROOM)
    (tmp_path / "text.wav").write_text("hello")
    for name, text in (
        ("empty", ""),
        ("nolabel", "path\nwords0.wav\n"),
        ("lost", "path\tlabel\ngone.wav\tyes\n"),
        ("broken", "path\tlabel\ntext.wav\tdog\n"),
    ):
        (tmp_path / f"{name}.tsv").write_text(text)
    monkeypatch.chdir(tmp_path)


def test_commands_prints_json(
    run: Callable[..., tuple[int, str, str]], tone_bundle: Path, make_manifest: Callable[..., Path]
) -> None:
    manifest = make_manifest("words", YES, YES, NO, ("no", YES[1]))
    code, out, _ = run("evaluate", "commands", manifest, "--model", tone_bundle, "--json")
    assert code == 0
    report = json.loads(out)
    assert {"accuracy", "interval", "per_class", "confusion", "clips", "runtime"} <= set(report)
    assert (report["accuracy"], report["clips"], report["model"]) == (0.75, 4, "tones")
    low, high = report["per_class_interval"]["no"]
    assert low < report["per_class"]["no"] == 0.5 < high
    assert report["confusion"] == {"yes": {"yes": 2}, "no": {"no": 1, "yes": 1}}


def test_commands_prints_a_table(
    run: Callable[..., tuple[int, str, str]], tone_bundle: Path, make_manifest: Callable[..., Path]
) -> None:
    manifest = make_manifest("words", YES, YES, NO, ("no", YES[1]))
    code, out, _ = run("evaluate", "commands", manifest, "--model", tone_bundle)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("accuracy 75.00 %  (95 % interval 30.06 to 95.44 %), 3 of 4 recordings")
    assert [line.split() for line in lines[-2:]] == [
        ["yes", "2", "-", "100.0", "34.2-100.0"],
        ["no", "1", "1", "50.0", "9.5-90.5"],
    ]


def test_commands_of_one_split(
    run: Callable[..., tuple[int, str, str]], tone_bundle: Path, make_manifest: Callable[..., Path]
) -> None:
    manifest = make_manifest("words", YES, NO)
    lines = manifest.read_text().splitlines()
    manifest.write_text(f"{lines[0]}\tsplit\n{lines[1]}\ttrain\n{lines[2]}\ttest\n")
    code, out, _ = run("evaluate", "commands", manifest, "--model", tone_bundle, "--split", "test", "--json")
    assert (code, json.loads(out)["clips"]) == (0, 1)
    code, _, err = run("evaluate", "commands", manifest, "--model", tone_bundle, "--split", "dev")
    assert code == 2
    assert "The manifest has: test, train" in err


def test_wake_prints_json_and_draws(
    run: Callable[..., tuple[int, str, str]],
    tone_bundle: Path,
    make_manifest: Callable[..., Path],
    tmp_path: Path,
) -> None:
    positives, negatives = make_manifest("spoken", YES, YES, ("", NO[1])), make_manifest("room", ROOM)
    noise = make_manifest(
        "noise", ("hiss", np.random.default_rng(7).normal(0, 0.1, 40_000).astype(np.float32))
    )
    plot = tmp_path / "det.png"
    arguments = ["--positives", positives, "--negatives", negatives, "--model", tone_bundle, "--label", "yes"]
    code, out, _ = run(
        "evaluate", "wake", *arguments, "--snr", 20, "--noise", noise, "--plot", plot, "--json"
    )
    assert code == 0
    report = json.loads(out)
    assert {"miss_rate", "false_alarms_per_hour", "threshold", "interval", "curve"} <= set(report)
    assert report["threshold"] == 0.6
    assert report["miss_rate"] == pytest.approx(1 / 3), "a row without label must be the word too"
    assert (report["positives"], report["false_alarms"]) == (3, 0)
    assert set(report["interval"]) == {"miss_rate", "false_alarms_per_hour"}
    assert set(report["curve"][0]) == {"threshold", "miss_rate", "false_alarms_per_hour"}
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_wake_prints_the_operating_point(
    run: Callable[..., tuple[int, str, str]], tone_bundle: Path, make_manifest: Callable[..., Path]
) -> None:
    positives, negatives = make_manifest("spoken", YES, NO), make_manifest("room", ROOM)
    arguments = ["--positives", positives, "--negatives", negatives, "--model", tone_bundle]
    code, out, _ = run("evaluate", "wake", *arguments, "--label", "no")
    assert code == 0
    assert out.startswith("no at threshold 0.6\n  missed                 0.00 %")
    assert "1 in 0.00 h" in out
    code, out, _ = run(
        "evaluate", "wake", *arguments, "--label", "no", "--false-alarms-per-hour", 0, "--json"
    )
    assert (code, json.loads(out)["false_alarms"], json.loads(out)["miss_rate"]) == (0, 0, 1.0)


def test_wake_as_the_benchmark(
    run: Callable[..., tuple[int, str, str]], tone_bundle: Path, make_manifest: Callable[..., Path]
) -> None:
    spoken, other = make_manifest("spoken", YES, YES, ("yes", NO[1])), make_manifest("room", ROOM)
    hiss = np.random.default_rng(7).normal(0, 0.1, 40_000).astype(np.float32)
    arguments = ["--positives", spoken, "--negatives", other, "--model", tone_bundle, "--label", "yes"]
    arguments += ["--benchmark", "--noise", make_manifest("noise", ("hiss", hiss))]
    code, out, _ = run("evaluate", "wake", *arguments)
    assert code == 0
    head, rule, row, *_ = out.splitlines()
    assert head.count("|") == rule.count("|") == row.count("|")
    assert row.startswith("| tones | yes | 3 | 33.3 % (6.1 to 79.2) | 33.3 % (6.1 to 79.2) | 0.00 h |")
    assert "0.00 h of negatives cannot show one false alarm in ten hours" in out
    code, out, _ = run("evaluate", "wake", *arguments, "--false-alarms-per-hour", 5, "--snr", 0, "--json")
    found = json.loads(out)
    assert (code, found["snr_db"]) == (0, 0)
    for name in ("clean", "noisy"):
        points = found[name]["operating_points"]
        assert [point["wanted_false_alarms_per_hour"] for point in points] == [0.1, 5]
        assert points[0]["most_false_alarms_per_hour"] == pytest.approx(-np.log(0.05) / found[name]["hours"])
        assert points[0]["threshold"] == found[name]["threshold"]


def test_negatives_are_in_noise_too(
    run: Callable[..., tuple[int, str, str]], tone_bundle: Path, make_manifest: Callable[..., Path]
) -> None:
    """Noise that is the word itself sets it off in the negatives, and only in noise."""
    noise = make_manifest("noise", ("call", np.concatenate([QUIET[:8000], tone(WORD_HZ, 0.5)])))
    silence = ("", np.zeros(16_000, np.float32))
    other = make_manifest("room", ("", np.tile(tone(OTHER_HZ, 1.0, 0.01), 40)), silence)
    arguments = ["--positives", make_manifest("spoken", YES), "--negatives", other, "--model", tone_bundle]
    code, out, _ = run(
        "evaluate",
        "wake",
        *arguments,
        "--label",
        "yes",
        "--benchmark",
        "--noise",
        noise,
        "--snr",
        -20,
        "--json",
    )
    found = json.loads(out)
    assert code == 0
    alarms = {
        name: max(p["false_alarms_per_hour"] for p in found[name]["curve"]) for name in ("clean", "noisy")
    }
    assert alarms["clean"] == 0 < alarms["noisy"]


@pytest.mark.usefixtures("bad_manifests")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["commands", "absent.tsv"], 3, "absent.tsv: cannot read the manifest: No such file"),
        (["commands", "empty.tsv"], 3, "empty.tsv: the manifest is empty"),
        (["commands", "nolabel.tsv"], 3, "nolabel.tsv:1: no column 'label'"),
        (["commands", "lost.tsv"], 3, "lost.tsv:2: "),
        (["commands", "broken.tsv"], 3, "broken.tsv:2: cannot read "),
        (["commands", "words.tsv", "--model", "no-such-model"], 5, "unknown model 'no-such-model'"),
        (["commands", "words.tsv", "--limit", "0"], 2, "--limit"),
        (["wake", "--positives", "words.tsv"], 2, "--negatives"),
        (["wake", "--benchmark", "--positives", "a.tsv", "--negatives", "b.tsv"], 2, "without --noise"),
        (["wake", "--positives", "words.tsv", "--negatives", "empty.tsv"], 3, "the manifest is empty"),
        (["wake", "--positives", "room.tsv", "--negatives", "broken.tsv"], 3, "broken.tsv:2: cannot read "),
        (["wake", "--positives", "words.tsv", "--negatives", "room.tsv", "--label", "dog"], 3, "--label"),
        (
            ["wake", "--positives", "words.tsv", "--negatives", "words.tsv", "--label", "yes"],
            3,
            "as negatives",
        ),
        (
            ["wake", "--positives", "words.tsv", "--negatives", "room.tsv", "--snr", "10"],
            2,
            "--snr without --noise",
        ),
        (
            ["wake", "--positives", "words.tsv", "--negatives", "room.tsv", "--noise", "room.tsv"],
            2,
            "without --snr",
        ),
        (["wake", "--positives", "words.tsv", "--negatives", "room.tsv", "--snr", "nan"], 2, "--snr"),
        (
            ["wake", "--positives", "words.tsv", "--negatives", "room.tsv", "--plot", "no/such.png"],
            8,
            "does not exist",
        ),
        (["wake", "--positives", "words.tsv", "--negatives", "room.tsv", "--plot", "det.xyz"], 8, "det.xyz"),
        # The name is looked at before the work.
        (["wake", "--positives", "words.tsv", "--negatives", "empty.tsv", "--plot", "det.xyz"], 8, "det.xyz"),
        (
            ["wake", "--positives", "words.tsv", "--negatives", "room.tsv", "--false-alarms-per-hour", "-1"],
            2,
            "-1",
        ),
    ],
)
def test_bad_input(
    run: Callable[..., tuple[int, str, str]],
    tone_bundle: Path,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    if "--model" not in arguments:
        arguments = [*arguments, "--model", str(tone_bundle)]
    actual, out, err = run("evaluate", *arguments)
    assert (actual, out) == (code, "")
    assert message in err
    assert "Traceback" not in err


def test_drawing_without_matplotlib_says_what_to_install(
    run: Callable[..., tuple[int, str, str]],
    tone_bundle: Path,
    make_manifest: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    positives, negatives = make_manifest("spoken", YES), make_manifest("room", ROOM)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    arguments = ["--positives", positives, "--negatives", negatives, "--model", tone_bundle, "--label", "yes"]
    code, _, err = run("evaluate", "wake", *arguments, "--plot", tmp_path / "det.png")
    assert code == 6
    assert 'pip install "edgeaudio[report]"' in err

"""Real people, through the whole command."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.cli.scripted import running

soundfile = pytest.importorskip("soundfile")

WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
PAUSE = np.zeros(16_000, np.float32)


def two_speakers_a_word(corpus: Path) -> list[tuple[str, Path]]:
    with (corpus / "manifest.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    paths = {word: [corpus / row["path"] for row in rows if row["label"] == word] for word in WORDS}
    return [(word, paths[word][i]) for i in (0, 1) for word in WORDS]


@pytest.mark.shared
def test_spoken_commands_are_heard_in_a_pipe(shared_dir: Path) -> None:
    said = two_speakers_a_word(shared_dir / "data" / "speech_commands_half")
    parts = [PAUSE]
    spans = []
    for word, path in said:
        samples, rate_hz = soundfile.read(path, dtype="float32")
        assert rate_hz == 16_000
        start = sum(map(len, parts))
        parts += [samples, PAUSE]
        spans.append((word, start / 16_000, (start + len(samples)) / 16_000))
    noise = np.random.default_rng(1).normal(0, 1e-3, sum(map(len, parts)))
    pcm = (np.clip(np.concatenate(parts) + noise, -1, 1) * 32767).astype("<i2")
    with running(
        "wake", "-", "--json", "--model", "commands-12", real=True, stdin=subprocess.PIPE
    ) as process:
        out, err = process.communicate(pcm.tobytes(), timeout=120)
    assert process.returncode == 0
    events = [json.loads(line) for line in out.splitlines()]
    heard = [event for event in events if event["type"] == "detection"]
    right = sum(
        any(event["name"] == word and start < event["end_s"] < end + 0.5 for event in heard)
        for word, start, end in spans
    )
    # How good the model is, `evaluate` measures. Half of the words is less than any model worth
    # bundling hears, and more than one with wrong features or states.
    assert right >= 10, [(event["name"], event["end_s"]) for event in heard]
    assert b"lost      nothing" in err

"""The ledger's folder: it survives crashes, strangers' lines and full disks, and all in it goes in time."""

from __future__ import annotations

import os
import stat
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from edgeaudio.errors import InputError, OutputError
from edgeaudio.evaluation.ledger import LedgerClip, LedgerFolder, Limits, read_ledger
from edgeaudio.evaluation.manifest import read_manifest
from edgeaudio.sinks.clips import stamp

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc)


def add(ledger: LedgerFolder, number: int = 1, *, at: datetime = NOON, size: int = 100, **facts: Any) -> str:
    name = f"{stamp(at)}-{number:04d}-hey_computer.flac"
    values: dict[str, Any] = {
        "seconds": 2.7,
        "model": "wake-hey",
        "word": "hey_computer",
        "kind": "near_miss",
        "score": 0.61,
        "threshold": 0.87,
        "heard_at": at,
    }
    ledger.add(name, bytes(size), LedgerClip(path=Path(name), **(values | facts)))
    return name


def test_what_was_added_is_read_back(tmp_path: Path) -> None:
    ledger = LedgerFolder(tmp_path / "new" / "ledger")
    name = add(ledger)
    [clip] = read_ledger(tmp_path / "new" / "ledger")
    assert clip == LedgerClip(
        ledger.path / name, 2.7, "wake-hey", "hey_computer", "near_miss", 0.61, 0.87, NOON
    )


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        ledger = LedgerFolder(tmp_path / "ledger")
        add(ledger)
        ledger.judge({})
    finally:
        os.umask(before)
    assert stat.S_IMODE(ledger.path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in ledger.path.iterdir()} == {0o600}


def test_it_is_a_corpus_in_which_nothing_unheard_is_labelled(tmp_path: Path) -> None:
    ledger = LedgerFolder(tmp_path)
    names = [add(ledger, number) for number in range(3)]
    ledger.judge({names[0]: "word", names[1]: "other"})
    rows = read_manifest(tmp_path / "manifest.tsv", require=["label"])
    assert [(row.label, row.text) for row in rows] == [
        ("hey_computer", "hey computer"),
        ("other", ""),
        ("", ""),
    ]
    assert [clip.verdict for clip in read_ledger(tmp_path)] == ["word", "other", ""]


def test_lines_that_say_nothing_are_passed_over_and_survive(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = LedgerFolder(tmp_path)
    name = add(ledger, 1)
    secret = tmp_path.parent / "secret"
    secret.write_text("mine")
    manifest = tmp_path / "manifest.tsv"
    good = manifest.read_text().splitlines()[1]
    nowhere = good.replace(good.split("\t")[10], "0001-01-01T00:00:00+14:00").encode()
    strange = [b"\xff\x00 broken", good.replace(name, "../secret").encode(), nowhere, b"2026-torn\t2."]
    with manifest.open("ab") as file:
        file.write(b"\n".join(strange))  # without a newline: a power cut
    second = add(ledger, 2)
    assert [clip.path.name for clip in ledger.clips()] == [name, second]
    assert [clip.path.name for clip in ledger.clips()] == [name, second]
    assert caplog.text.count("4 lines make no sense") == 1
    ledger.judge({name: "other"})
    ledger.remove({second, "../secret", "manifest.tsv"})
    assert [clip.verdict for clip in ledger.clips()] == ["other"]
    assert manifest.read_bytes().split(b"\n")[2:] == [*strange, b""]
    assert secret.read_text() == "mine"


def test_columns_of_others_keep_what_they_hold(tmp_path: Path) -> None:
    ledger = LedgerFolder(tmp_path)
    name = add(ledger)
    manifest = tmp_path / "manifest.tsv"
    header, line = manifest.read_text().splitlines()
    manifest.write_text(f"{header}\troom\n{line}\tkitchen\n")
    ledger.judge({name: "word"})
    add(ledger, 2)
    assert [line.split("\t")[-1] for line in manifest.read_text().splitlines()] == ["room", "kitchen", ""]


def test_age_spares_nothing_and_room_is_made_by_what_nobody_heard(tmp_path: Path) -> None:
    ledger = LedgerFolder(tmp_path)
    names = [add(ledger, number, at=NOON + timedelta(hours=number)) for number in range(6)]
    mine = tmp_path / "a recording of mine.flac"
    mine.touch()
    ledger.judge({names[0]: "word", names[1]: "other"})
    now = NOON + timedelta(hours=6)
    assert ledger.prune(Limits(), now) == 0
    assert ledger.prune(Limits(clips=3), now) == 3
    assert [clip.path.name for clip in ledger.clips()] == [names[0], names[1], names[5]]
    assert ledger.prune(Limits(size_bytes=200), now) == 1
    assert ledger.prune(Limits(age_s=5.5 * 3600), now) == 1
    assert [clip.path.name for clip in ledger.clips()] == [names[1]]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".lock", names[1], "a recording of mine.flac", "manifest.tsv"
    ]  # fmt: skip


def test_what_a_crash_left_behind_goes_in_time_too(tmp_path: Path) -> None:
    ledger = LedgerFolder(tmp_path)
    name = add(ledger, 7)
    orphan = tmp_path / name.replace("0007", "0008")
    orphan.touch()  # its line was not written
    (tmp_path / f"{name}.part").touch()
    ledger.prune(Limits(), NOON)
    assert orphan.exists()
    assert not (tmp_path / f"{name}.part").exists()
    ledger.prune(Limits(), NOON + timedelta(days=31))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "manifest.tsv"]
    assert ledger.clips() == []


def test_a_disk_that_is_full_leaves_neither_half_a_line_nor_a_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = LedgerFolder(tmp_path)
    add(ledger, 1)
    before = (tmp_path / "manifest.tsv").read_bytes()
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:20]))
    with pytest.raises(OSError, match="No space left"):
        add(ledger, 2)
    monkeypatch.undo()
    assert (tmp_path / "manifest.tsv").read_bytes() == before
    assert len(ledger.files()) == 1


def test_adding_and_reviewing_at_once_lose_nothing(tmp_path: Path) -> None:
    ledger = LedgerFolder(tmp_path)
    first = add(ledger, 0)
    adder = threading.Thread(target=lambda: [add(LedgerFolder(tmp_path), 1 + n) for n in range(40)])
    adder.start()
    while adder.is_alive():
        ledger.judge({first: "word"})
    adder.join()
    assert len(ledger.clips()) == 41


def test_another_corpus_is_left_alone(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.tsv"
    manifest.write_text("path\tlabel\na.wav\tyes\n")
    with pytest.raises(OutputError, match="belongs to another corpus"):
        LedgerFolder(tmp_path)
    with pytest.raises(InputError, match="belongs to another corpus"):
        read_ledger(tmp_path)
    assert manifest.read_text() == "path\tlabel\na.wav\tyes\n"
    with pytest.raises(InputError, match="there is no ledger"):
        read_ledger(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_place_where_no_folder_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="no ledger can be kept in"):
        LedgerFolder(tmp_path / "file" / "ledger")

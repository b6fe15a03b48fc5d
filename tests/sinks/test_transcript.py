"""Captions in files and on standard output."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
from pathlib import Path

import pytest

from edgeaudio.errors import OutputError
from edgeaudio.events import Gap
from edgeaudio.sinks import transcript_file
from edgeaudio.sinks.transcript import FORMATS, TranscriptFormat, TranscriptStream
from edgeaudio.sinks.transcript_file import TranscriptFile
from tests.sinks.samples import caption, spoken

GAP = Gap(start_sample=16000, n_samples=160, cause="ring_full")
GROWING = caption(("turn", 1.0, 1.5), tentative="it")
FINAL = caption(("turn", 1.0, 1.5), ("around", 1.5, 2.5), final=True)
NOTHING = caption(final=True, caption_id=2)
NEXT = caption(("stop", 4.0, 5.5), final=True, caption_id=3)
EVENTS = [GROWING, GAP, FINAL, NOTHING, NEXT]
SRT = "1\n00:00:01,000 --> 00:00:02,500\nturn around\n\n2\n00:00:04,000 --> 00:00:05,500\nstop\n\n"


def streamed(form: TranscriptFormat) -> str:
    stream = io.BytesIO()
    sink = TranscriptStream(stream, form)
    for event in EVENTS:
        sink.emit(event)
    sink.close()
    return stream.getvalue().decode()


def write(path: Path, form: TranscriptFormat) -> None:
    sink = TranscriptFile(path, form)
    for event in EVENTS:
        sink.emit(event)
    sink.close()
    sink.close()


def test_text_is_a_line_a_final_caption() -> None:
    assert streamed("text") == "turn around\nstop\n"


def test_json_is_a_line_an_event() -> None:
    kinds = [(line["type"], line.get("final")) for line in map(json.loads, streamed("json").splitlines())]
    assert kinds == [
        ("caption", False),
        ("gap", None),
        ("caption", True),
        ("caption", True),
        ("caption", True),
    ]


def test_subtitles() -> None:
    assert streamed("srt") == SRT
    assert streamed("vtt") == (
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\nturn around\n\n00:00:04.000 --> 00:00:05.500\nstop\n\n"
    )


def test_nothing_said_is_still_a_vtt_file() -> None:
    stream = io.BytesIO()
    TranscriptStream(stream, "vtt").close()
    assert stream.getvalue() == b"WEBVTT\n\n"


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_holds_what_a_stream_does(tmp_path: Path, form: TranscriptFormat) -> None:
    write(tmp_path / "a", form)
    assert (tmp_path / "a").read_text() == streamed(form)


@pytest.mark.parametrize("form", ["text", "json"])
def test_lines_are_appended(tmp_path: Path, form: TranscriptFormat) -> None:
    write(tmp_path / "a", form)
    write(tmp_path / "a", form)
    assert (tmp_path / "a").read_text() == 2 * streamed(form)


def test_subtitles_go_on_behind_the_last_cue(tmp_path: Path) -> None:
    write(tmp_path / "a.srt", "srt")
    write(tmp_path / "a.srt", "srt")
    assert (tmp_path / "a.srt").read_text() == (
        SRT + "3\n00:00:06,500 --> 00:00:08,000\nturn around\n\n4\n00:00:09,500 --> 00:00:11,000\nstop\n\n"
    )
    write(tmp_path / "a.vtt", "vtt")
    write(tmp_path / "a.vtt", "vtt")
    assert (tmp_path / "a.vtt").read_text().count("WEBVTT") == 1
    assert "00:00:09.500 --> 00:00:11.000\nstop\n\n" in (tmp_path / "a.vtt").read_text()


def test_each_cue_of_a_long_caption_counts(tmp_path: Path) -> None:
    sink = TranscriptFile(tmp_path / "a.srt", "srt")
    assert sink.fact()[1] == f"0 cues written to {tmp_path / 'a.srt'}"
    sink.emit(caption(("yes", 1.0, 1.5), final=True))
    assert sink.fact()[1] == f"1 cue written to {tmp_path / 'a.srt'}"
    sink.emit(caption(*spoken("one two three four five " * 20, start_s=5.0), final=True, caption_id=2))
    n_cues = (tmp_path / "a.srt").read_text().count(" --> ")
    assert n_cues > 3
    assert sink.fact()[1].startswith(f"{n_cues} cues written")
    sink.close()


def test_a_record_that_was_cut_off_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    path.write_text(SRT + "3\n00:00:07,0")
    write(path, "srt")
    assert path.read_text().startswith(SRT + "3\n00:00:07,0\n\n3\n00:00:06,500 --> ")
    (tmp_path / "a.txt").write_text("turn arou")
    write(tmp_path / "a.txt", "text")
    assert (tmp_path / "a.txt").read_text() == "turn arou\nturn around\nstop\n"


def test_each_record_is_there_at_once(tmp_path: Path) -> None:
    sink = TranscriptFile(tmp_path / "a.txt", "text")
    sink.emit(FINAL)
    assert (tmp_path / "a.txt").read_text() == "turn around\n"
    sink.close()


@pytest.mark.parametrize(
    ("name", "form", "content"),
    [
        ("talk.wav", "text", b"RIFF\x00\x00WAVE"),
        ("a.srt", "srt", b"Dear diary\n"),
        ("a.srt", "srt", b"WEBVTT\n\n00:01.000 --> 00:02.500\nhello\n\n"),
        ("a.vtt", "vtt", SRT.encode()),
        ("a.json", "json", b"Dear diary\n"),
    ],
)
def test_a_file_that_holds_something_else_is_left_alone(
    tmp_path: Path, name: str, form: TranscriptFormat, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(OutputError, match="holds something else"):
        TranscriptFile(tmp_path / name, form)
    assert (tmp_path / name).read_bytes() == content


def test_an_empty_file_is_no_trouble(tmp_path: Path) -> None:
    for name, form in (("a.srt", "srt"), ("a.vtt", "vtt"), ("a.json", "json")):
        (tmp_path / name).touch()
        write(tmp_path / name, form)  # type: ignore[arg-type]
        assert (tmp_path / name).read_text() == streamed(form)  # type: ignore[arg-type]


def test_places_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, reason in (
        (tmp_path, "Is a directory"),
        (tmp_path / "no" / "a.txt", "No such file"),
        (tmp_path / "pipe", "No such device"),
        (Path("/proc/a.txt"), "No such file|denied|Operation"),
        (tmp_path / "a\0.txt", "null"),
    ):
        with pytest.raises(OutputError, match=reason):
            TranscriptFile(path, "text")


def test_two_programs_do_not_write_into_one_file(tmp_path: Path) -> None:
    first = TranscriptFile(tmp_path / "a.srt", "srt")
    with pytest.raises(OutputError, match="another program is writing captions there"):
        TranscriptFile(tmp_path / "a.srt", "srt")
    first.emit(FINAL)
    first.close()
    write(tmp_path / "a.srt", "srt")
    assert (tmp_path / "a.srt").read_text().count("-->") == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_what_a_full_disk_does_not_take_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    sink = TranscriptFile(Path("/dev/full"), "text")
    with caplog.at_level(logging.WARNING, logger="edgeaudio"):
        sink.emit(FINAL)
        sink.emit(NEXT)
    sink.close()
    assert (sink.written, sink.unwritten) == (0, 2)
    assert caplog.text.count("/dev/full cannot be written: No space left") == 1
    with pytest.raises(OutputError, match="No space left"):
        TranscriptFile(Path("/dev/full"), "vtt")


def test_a_record_is_written_whole_when_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.srt"
    sink = TranscriptFile(path, "srt")
    sink.emit(FINAL)
    real, room = os.write, [10]

    def nearly_full(fd: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        n, room[0] = room[0], 0
        return real(fd, data[:n])

    monkeypatch.setattr(transcript_file.os, "write", nearly_full)
    with caplog.at_level(logging.WARNING, logger="edgeaudio"):
        sink.emit(NEXT)
    assert path.read_text() == SRT.partition("2\n")[0], "half a cue was left in the file"
    monkeypatch.setattr(transcript_file.os, "write", real)
    sink.emit(caption(*spoken("go on", start_s=8.0, word_s=0.5), final=True, caption_id=4))
    sink.close()
    assert path.read_text() == SRT + "3\n00:00:08,000 --> 00:00:09,000\ngo on\n\n"
    assert (sink.written, sink.unwritten) == (3, 0)
    assert "can be written again" in caplog.text

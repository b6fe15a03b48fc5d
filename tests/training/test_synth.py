"""Synthetic speech from the engines that are installed here, and its cutting on made-up speech."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edgeaudio.errors import EdgeAudioError, MissingDependencyError, OutputError, UsageError
from edgeaudio.evaluation.manifest import read_manifest
from edgeaudio.training import synth
from edgeaudio.training.takes import draw
from edgeaudio.training.voices import ENGINES, Engine, Spoken, Utterance
from edgeaudio.training.voices import engine as engine_module

RATE_HZ = 22050


@dataclass
class ToneEngine:
    """Says every word as 0.3 s of 440 Hz, 0.05 s of silence between words; fails as told."""

    name: str = "tone"
    install: str = "pip install tone"
    voices: tuple[str, ...] = ("one", "two")
    known: tuple[str, ...] = ("one", "two")
    marks_words: bool = True
    failing: bool = False
    word_s: float = 0.3

    def say(self, utterances: Sequence[Utterance]) -> Iterator[Spoken | None]:
        for utterance in utterances:
            n = round(self.word_s / utterance.rate * RATE_HZ)
            word = 0.3 * np.sin(2 * np.pi * 440 * utterance.pitch * np.arange(n) / RATE_HZ)
            unit = np.concatenate([word, np.zeros(round(0.05 * RATE_HZ))]).astype(np.float32)
            first, after = utterance.tokens
            samples = np.tile(unit, len(utterance.text.split()))
            spoken = Spoken(samples, RATE_HZ, first * unit.size, after * unit.size)
            yield None if self.failing else spoken


@pytest.fixture
def tone(monkeypatch: pytest.MonkeyPatch) -> ToneEngine:
    engine = ToneEngine()
    monkeypatch.setattr(synth, "ENGINES", (engine,))
    return engine


def rows_of(manifest: Path) -> list[dict[str, str]]:
    with manifest.open(encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def installed(name: str) -> Engine:
    engine = next(engine for engine in ENGINES if engine.name == name)
    if not engine.voices:
        pytest.skip(f"{name} is not installed: {engine.install}")
    return engine


def level_db(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-12))


@pytest.mark.parametrize("name", [engine.name for engine in ENGINES])
def test_an_installed_engine_speaks_and_describes_its_clips(name: str, tmp_path: Path) -> None:
    installed(name)
    manifest = synth.synthesise(["computer", "stop"], tmp_path, per_phrase=6, engines=[name], seed=3)

    rows = rows_of(manifest)
    assert [row["label"] for row in rows] == ["computer"] * 6 + ["stop"] * 6
    assert tuple(rows[0]) == synth.COLUMNS
    assert len(read_manifest(manifest, require=["label", "speaker", "split"])) == 12
    assert {row["source"] for row in rows} == {name}
    for row in rows:
        samples, rate = soundfile.read(tmp_path / row["path"], dtype="float32")
        start, end = (round(float(row[key]) * rate) for key in ("start", "end"))
        assert rate == 16000
        assert samples.ndim == 1
        assert round(float(row["seconds"]) * rate) == samples.size
        assert row["label"] in row["text"]
        # Margins are 30 to 60 ms by contract.
        assert 480 <= start <= 960
        assert 480 <= samples.size - end <= 960
        # No voice needs less than 0.22 s (SHORTEST_S) or, for three syllables at half speed, over 2.5 s.
        assert 0.22 <= (end - start) / rate <= 2.5
        # The word is what is loud: at least 10 dB over a 30 ms margin that fades to nothing.
        assert level_db(samples[start:end]) > level_db(samples[:240]) + 10


@pytest.mark.parametrize("name", [engine.name for engine in ENGINES if engine.marks_words])
def test_a_word_is_found_inside_its_carrier(name: str) -> None:
    engine = installed(name)
    voice = engine.voices[0]
    alone, first, middle, last = engine.say(
        [
            Utterance("computer", voice),
            Utterance("computer", voice, after="is what I mean"),
            Utterance("computer", voice, before="please say", after="now"),
            Utterance("computer", voice, before="the word is"),
        ]
    )
    assert all((alone, first, middle, last))
    sizes = [(s.end - s.start) / s.sample_rate_hz for s in (first, middle, last)]
    whole = alone.samples.size / alone.sample_rate_hz
    # In a sentence the word is shorter than alone with its pauses, yet three syllables take 0.25 s.
    assert all(0.25 < size < whole for size in sizes)
    # Two words come before in the second sentence, none in the first: 0.2 s is two short syllables.
    assert middle.start / middle.sample_rate_hz > first.start / first.sample_rate_hz + 0.2
    assert middle.samples.size - middle.end > 0.1 * middle.sample_rate_hz


@pytest.mark.parametrize("name", [engine.name for engine in ENGINES])
def test_rate_changes_the_length(name: str) -> None:
    engine = installed(name)
    # espeak-ng rounds to words a minute and keeps plosives; a third is within what all engines do.
    slow, fast = engine.say([Utterance("computer", engine.voices[0], rate=rate) for rate in (0.6, 1.2)])
    assert all((slow, fast))
    assert slow.end - slow.start > 1.33 * (fast.end - fast.start)


def test_equal_arguments_give_equal_bytes(tmp_path: Path) -> None:
    if not any(engine.voices for engine in ENGINES):
        pytest.skip("no speech engine is installed")
    folders = [tmp_path / "a", tmp_path / "b", tmp_path / "c"]
    for folder, seed in zip(folders, (1, 1, 2), strict=True):
        synth.synthesise(["yes"], folder, per_phrase=8, seed=seed)
    content = [[path.read_bytes() for path in sorted(folder.rglob("*.*"))] for folder in folders]
    assert len(content[0]) == 9
    assert content[0] == content[1]
    assert content[0] != content[2]


def test_a_crash_of_espeak_loses_what_followed_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = installed("espeak-ng")
    utterances = [Utterance("yes", engine.voices[0])] * 4
    whole = next(iter(engine.say(utterances[:1])))
    assert whole is not None
    # Two whole answers, their headers of 16 bytes included, and half of the third.
    size = 2 * (16 + 2 * whole.samples.size) + whole.samples.size
    speak = engine_module.output
    monkeypatch.setattr(engine_module, "output", lambda *given, **where: speak(*given, **where)[:size])
    assert [spoken is not None for spoken in engine.say(utterances)] == [True, True, False, False]


def test_carriers_frame_only_short_phrases(tone: ToneEngine, tmp_path: Path) -> None:
    sentence = "this sentence is long enough"
    rows = rows_of(synth.synthesise(["go", sentence], tmp_path, per_phrase=40, seed=5))
    framed = [row for row in rows if row["text"] != row["label"]]
    assert {row["label"] for row in framed} == {"go"}
    # 40 draws with probability 0.4: fewer than 6 or more than 26 happen once in 10,000.
    assert 6 <= len(framed) <= 26
    alone = rows_of(synth.synthesise(["go"], tmp_path, per_phrase=10, seed=5, carriers=False))
    assert {row["text"] for row in alone} == {"go"}


def test_an_engine_that_marks_no_words_says_phrases_alone(tone: ToneEngine, tmp_path: Path) -> None:
    tone.marks_words = False
    rows = rows_of(synth.synthesise(["go"], tmp_path, per_phrase=20, seed=3))
    assert {row["text"] for row in rows} == {"go"}


def test_held_out_voices_are_marked(tone: ToneEngine, tmp_path: Path) -> None:
    rows = rows_of(synth.synthesise(["go"], tmp_path, per_phrase=20, seed=1, held_out=["tone/two"]))
    splits = {(row["speaker"].split("/")[1], row["split"]) for row in rows}
    assert splits == {("one", "train"), ("two", "held_out")}


def test_counts_may_differ_by_phrase_and_progress_is_told(tone: ToneEngine, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    manifest = synth.synthesise(
        ["go", "go", "stop  now"],
        tmp_path,
        per_phrase={"go": 2, "stop  now": 3},
        seed=1,
        progress=lambda done, total: told.append((done, total)),
    )
    assert [row["label"] for row in rows_of(manifest)] == ["go"] * 2 + ["stop now"] * 3
    assert told == [(i, 5) for i in range(1, 6)]


def test_a_swallowed_word_is_asked_for_again_more_slowly(tone: ToneEngine, tmp_path: Path) -> None:
    tone.word_s = 0.12
    rows = rows_of(synth.synthesise(["a"], tmp_path, per_phrase=10, seed=1))
    assert len(rows) == 10
    assert all(float(row["end"]) - float(row["start"]) >= synth.SHORTEST_S for row in rows)


def test_warp_moves_the_pitch_and_keeps_the_marks() -> None:
    seconds = 0.5
    tone = np.sin(2 * np.pi * 500 * np.arange(round(seconds * RATE_HZ)) / RATE_HZ).astype(np.float32)
    silence = np.zeros(RATE_HZ // 2, np.float32)
    spoken = Spoken(np.concatenate([silence, tone, silence]), RATE_HZ, 0, 2 * silence.size + tone.size)
    clip = synth.cut(spoken, 1.2, (0.04, 0.05))
    assert clip is not None
    samples, start, end = clip
    assert start == 640
    assert samples.size - end == 800
    # Silence is told from speech in frames of 5 ms, on either side.
    assert abs((end - start) / 16000 - seconds / 1.2) <= 0.01
    spectrum = np.abs(np.fft.rfft(samples[start : start + 6400] * np.hanning(6400)))
    # A bin is 2.5 Hz wide.
    assert abs(float(np.argmax(spectrum)) * 2.5 - 600) <= 2.5
    assert float(np.max(np.abs(samples))) == pytest.approx(synth.PEAK)


def test_margins_hold_the_neighbours_and_fade() -> None:
    # A constant: whatever lies outside the marks is heard, faded.
    samples = np.full(48000, 0.25, np.float32)
    clip = synth.cut(Spoken(samples, 16000, 16000, 32000), 1.0, (0.05, 0.05))
    assert clip is not None
    got, start, end = clip
    assert (start, end, got.size) == (800, 16800, 17600)
    # sin²(π/4) half way through the margin; the ramp is sampled, so to a thousandth.
    assert got[0] == 0.0
    assert got[400] == pytest.approx(synth.PEAK / 2, abs=1e-3)
    assert got[-1] == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_allclose(got[start:end], synth.PEAK, rtol=1e-3)


@pytest.mark.parametrize(
    "spoken",
    [
        Spoken(np.zeros(16000, np.float32), 16000, 0, 16000),
        Spoken(np.ones(16000, np.float32), 16000, 100, 100),
        Spoken(np.ones(16000, np.float32), 16000, 0, 1600),
    ],
    ids=["silent", "empty", "too short"],
)
def test_what_nobody_can_have_said_is_no_clip(spoken: Spoken) -> None:
    assert synth.cut(spoken, 1.0, (0.03, 0.03)) is None


@pytest.mark.parametrize(
    ("phrase", "message"),
    [
        ("", "no word"),
        (" -' ", "no word"),
        ("a" * 201, "201"),
        ("channel 5", "5"),
        ('say "(exit)"', "cannot be spoken"),
        ("naïve", "ï"),
        ("two\0words", "cannot be spoken"),
    ],
)
def test_phrases_that_cannot_be_said_are_refused(
    phrase: str, message: str, tone: ToneEngine, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        synth.synthesise([phrase], tmp_path / "out", per_phrase=1, seed=1)
    assert not (tmp_path / "out").exists()


def test_an_unknown_engine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'siri'"):
        synth.synthesise(["go"], tmp_path, per_phrase=1, engines=["siri"], seed=1)


def test_a_missing_engine_says_how_to_get_it(tone: ToneEngine, tmp_path: Path) -> None:
    tone.voices = ()
    for engines in (None, ["tone"]):
        with pytest.raises(MissingDependencyError, match="pip install tone"):
            synth.synthesise(["go"], tmp_path, per_phrase=1, engines=engines, seed=1)


def test_missing_voices_are_reported(tone: ToneEngine) -> None:
    tone.voices = ("two", "three")
    (report,) = synth.voice_report()
    assert (report.name, report.voices, report.missing) == ("tone", ("two", "three"), ("one",))
    assert report.install == "pip install tone"


def test_formants_speak_a_fifth_and_engines_of_many_voices_more() -> None:
    formant = ToneEngine("espeak-ng", voices=tuple(map(str, range(500))))
    many, one = ToneEngine("many", voices=tuple("abcdefghi")), ToneEngine("one", voices=("a",))

    def drawn(*engines: Engine) -> Counter[str]:
        takes = (draw("go", n, 0, engines=list(engines), seed=1, carriers=True) for n in range(1000))
        return Counter(take.engine.name for take in takes)

    counts = drawn(formant, many, one)
    # 200, 600 and 200 (√9 : √1 of four fifths), each within four standard deviations of 1000 draws.
    assert 150 <= counts["espeak-ng"] <= 250
    assert 538 <= counts["many"] <= 662
    assert 150 <= counts["one"] <= 250
    assert set(drawn(formant)) == {"espeak-ng"}
    assert set(drawn(many, one)) == {"many", "one"}


def test_phrases_are_spoken_faster_than_single_words() -> None:
    engines: list[Engine] = [ToneEngine()]
    takes = [
        [draw(phrase, n, 0, engines=engines, seed=1, carriers=True) for n in range(200)]
        for phrase in ("computer", "hey computer")
    ]
    word, phrase = (float(np.median([t.utterance.rate * t.warp for t in some])) for some in takes)
    # The middles of the two ranges, √(0.5 · 1.15) and √(0.6 · 1.35).
    assert word == pytest.approx(0.76, abs=0.06)
    assert phrase == pytest.approx(0.9, abs=0.06)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_an_adapter_without_its_program_has_no_voices(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("ctypes.util.find_library", lambda _name: None)
    absent = type(engine)()
    assert absent.voices == ()
    with pytest.raises(MissingDependencyError, match=r"apt-get install|pip install"):
        next(iter(absent.say([Utterance("go", "any")])))


def test_an_engine_that_always_fails_is_an_error(tone: ToneEngine, tmp_path: Path) -> None:
    tone.failing = True
    with pytest.raises(EdgeAudioError, match="No speech came back for 'go'"):
        synth.synthesise(["go"], tmp_path, per_phrase=1, seed=1)


def test_a_folder_that_cannot_be_written_is_an_output_error(tone: ToneEngine, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="taken"):
        synth.synthesise(["go"], tmp_path / "taken", per_phrase=1, seed=1)

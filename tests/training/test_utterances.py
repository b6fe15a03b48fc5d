import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edgeaudio.decoding.g2p import Pronouncer
from edgeaudio.errors import InputError, OutputError
from edgeaudio.evaluation.manifest import Row
from edgeaudio.frontend import Frontend, FrontendSpec
from edgeaudio.models.catalogue import find_language
from edgeaudio.training import utterances
from edgeaudio.training.utterances import (
    PHONES,
    FrameStore,
    Pronunciations,
    spoken_words,
    transcribed,
)

SPEC = FrontendSpec(n_mels=12)


@pytest.fixture(scope="module")
def pronouncer() -> Pronouncer:
    return Pronouncer.load(find_language("english-small").parent)


@pytest.fixture
def pronunciations(tmp_path: Path, pronouncer: Pronouncer) -> Pronunciations:
    path = tmp_path / "small.dict"
    path.write_text("read R IY1 D\nread(2) R EH1 D\nyes Y EH1 S\na AH0\na(2) EY1\n")
    return Pronunciations(path, pronouncer)


def recording(path: Path, seconds: float, seed: int = 0) -> Row:
    samples = np.random.default_rng(seed).normal(0.0, 0.1, round(16_000 * seconds))
    soundfile.write(path, samples, 16_000)
    return Row(path, f"manifest.tsv:{seed + 2}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, World!", "hello world"),
        ("CHAPTER ONE", "chapter one"),
        ("it\u2019s the dogs\u2019 'own' bone", "it's the dogs own bone"),
        ("[click] well {breath} yes <noise>", "well yes"),
        ("don\ufffdt", "don't"),
        ("%uh @NASA ^John +gonna", "uh nasa john gonna"),
        ("Zoë's naïve café", "zoe's naive cafe"),
        ("ThinkEngine", "think engine"),
        ("a well-known _word_", "a well known word"),
    ],
)
def test_transcripts_become_words(text: str, words: str) -> None:
    assert spoken_words(text) == words.split()


@pytest.mark.parametrize(
    "text", ["", "  ", "((unclear)) yes", "at 5 o'clock", "AT&T", "$$", "Привет", "straße", "'", "[laughs]"]
)
def test_what_does_not_say_what_was_spoken_is_left_out(text: str) -> None:
    assert spoken_words(text) is None


def test_words_become_tokens(pronunciations: Pronunciations) -> None:
    assert [[PHONES[t - 1] for t in way] for way in pronunciations.of("read")] == [
        ["R", "IY", "D"],
        ["R", "EH", "D"],
    ]
    guessed = pronunciations.of("blick")
    assert len(guessed) == 1
    assert PHONES[guessed[0][0] - 1] == "B"
    assert pronunciations.of("") == []


def test_a_dictionary_of_other_phones_is_refused(tmp_path: Path, pronouncer: Pronouncer) -> None:
    path = tmp_path / "other.dict"
    path.write_text("yes Y EX S\n")
    with pytest.raises(InputError, match="'yes' has EX"):
        Pronunciations(path, pronouncer)


def test_a_pronouncer_of_other_phones_is_refused(tmp_path: Path) -> None:
    class Foreign:
        def can_pronounce(self, word: str) -> bool:
            return True

        def pronounce(self, word: str) -> list[str]:
            return ["OE"]

    path = tmp_path / "small.dict"
    path.write_text("yes Y EH S\n")
    with pytest.raises(InputError, match="'oeuvre' with OE"):
        Pronunciations(path, Foreign()).of("oeuvre")  # type: ignore[arg-type]


def test_pronunciations_are_drawn(tmp_path: Path, pronunciations: Pronunciations) -> None:
    row = Row(tmp_path / "x.wav", "m:2", seconds=2.0, text="read a")
    (utterance,) = transcribed("own", [row], pronunciations)
    rng = np.random.default_rng(0)
    drawn = {tuple(utterance.tokens(rng).tolist()) for _ in range(60)}
    assert len(drawn) == 4
    first = [*pronunciations.of("read")[0], *pronunciations.of("a")[0]]
    assert utterance.tokens().tolist() == first


def test_only_what_can_be_learned_from_is_kept(tmp_path: Path, pronunciations: Pronunciations) -> None:
    row = Row(tmp_path / "x.wav", "m:2", seconds=2.0, text="yes")
    rows = [
        row,
        replace(row, text="", label="read_a"),  # a spoken command
        replace(row, text="", label="unknown?"),
        replace(row, text="yes 5"),
        replace(row, seconds=0.1),
        replace(row, seconds=18.5),
        replace(row, text="yes " * 20),  # 60 phones in 2 s
    ]
    assert [u.words for u in transcribed("own", rows, pronunciations)] == [("yes",), ("read", "a")]


def test_lengths_come_from_the_file_where_nobody_tells(
    tmp_path: Path, pronunciations: Pronunciations
) -> None:
    row = replace(recording(tmp_path / "a.wav", 0.5), text="yes")
    (utterance,) = transcribed("own", [row], pronunciations)
    assert utterance.seconds == 0.5
    with pytest.raises(InputError, match=r"manifest\.tsv:2: cannot read"):
        transcribed("own", [replace(row, path=tmp_path / "missing.wav")], pronunciations)


def test_frames_are_those_of_the_frontend(tmp_path: Path) -> None:
    rows = [recording(tmp_path / f"{i}.wav", seconds, i) for i, seconds in enumerate((0.3, 0.01, 0.5))]
    done: list[float] = []
    store = FrameStore(rows, SPEC, tmp_path / "cache", done.append)
    assert len(store) == 3
    assert store.lengths.tolist() == [28, 0, 48]  # (n - 400) // 160 + 1; 10 ms are shorter than a window
    assert done
    samples = soundfile.read(rows[2].path, dtype="float32")[0]
    frames = Frontend(SPEC).process(samples)
    np.testing.assert_allclose(store[2], frames, rtol=1e-3)  # float16 keeps 11 bits
    assert store[1].shape == (0, 12)
    assert sorted(p.suffix for p in (tmp_path / "cache").iterdir()) == [".f16", ".npy"]


def test_frames_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [recording(tmp_path / "a.wav", 0.3)]
    first = FrameStore(rows, SPEC, tmp_path / "cache")
    monkeypatch.setattr(utterances, "read_clip", None)
    again = FrameStore(rows, SPEC, tmp_path / "cache")
    assert np.array_equal(first[0], again[0])
    with pytest.raises(TypeError):  # other features are other frames
        FrameStore(rows, FrontendSpec(n_mels=13), tmp_path / "cache")


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    rows = [recording(tmp_path / "a.wav", 0.3), Row(tmp_path / "b.wav", "m:3")]
    (tmp_path / "b.wav").write_bytes(b"no audio")
    with pytest.raises(InputError, match=r"m:3: cannot read"):
        FrameStore(rows, SPEC, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_without_its_frames_is_made_again(tmp_path: Path) -> None:
    rows = [recording(tmp_path / "a.wav", 0.3)]
    wanted = FrameStore(rows, SPEC, tmp_path / "cache")[0]
    next((tmp_path / "cache").glob("*.f16")).unlink()
    assert np.array_equal(FrameStore(rows, SPEC, tmp_path / "cache")[0], wanted)


def test_a_worker_maps_the_same_file(tmp_path: Path) -> None:
    store = FrameStore([recording(tmp_path / "a.wav", 3.0)], SPEC, tmp_path / "cache")
    pickled = pickle.dumps(store)
    assert len(pickled) < 3000  # not the frames
    assert np.array_equal(pickle.loads(pickled)[0], store[0])  # noqa: S301 - our own


def test_no_recordings_make_an_empty_store(tmp_path: Path) -> None:
    assert len(FrameStore([], SPEC, tmp_path)) == 0


def test_a_missing_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"m:2: cannot read .*gone\.wav"):
        FrameStore([Row(tmp_path / "gone.wav", "m:2")], SPEC, tmp_path)


def test_a_cache_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot write"):
        FrameStore([recording(tmp_path / "a.wav", 0.3)], SPEC, tmp_path / "file" / "cache")

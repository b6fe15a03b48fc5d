from pathlib import Path

import numpy as np
import pytest
import soundfile

from edgeaudio.errors import InputError, UsageError
from edgeaudio.training.corpus import (
    Clip,
    default_cache_dir,
    find_manifests,
    held_out,
    is_background,
    load_clips,
    mentions,
    word_bounds,
)

RATE = 16_000


def tone(seconds: float, amplitude: float = 0.3) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * 440 * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def write_corpus(folder: Path, n: int = 3) -> Path:
    folder.mkdir(parents=True)
    lines = ["path\tseconds\tspeaker\tsplit\tlabel\ttext"]
    for i in range(n):
        soundfile.write(folder / f"{i}.wav", tone(0.1 * (i + 1), 0.1 * (i + 1)), RATE, subtype="PCM_16")
        lines.append(f"{i}.wav\t{0.1 * (i + 1)}\tspeaker{i}\ttrain\tword{i}\tword number {i}")
    manifest = folder / "manifest.tsv"
    manifest.write_text("\n".join(lines) + "\n")
    return manifest


def clip(**fields: str) -> Clip:
    return Clip(fields.pop("corpus", "c"), fields.pop("key", "k"), np.zeros(100, np.int16), **fields)


def test_clips_carry_samples_and_columns(tmp_path: Path) -> None:
    manifest = write_corpus(tmp_path / "words")
    clips = load_clips([manifest], tmp_path / "cache")
    assert [c.label for c in clips] == ["word0", "word1", "word2"]
    assert [c.text for c in clips] == ["word number 0", "word number 1", "word number 2"]
    assert [len(c.pcm) for c in clips] == [1600, 3200, 4800]
    expected = np.round(tone(0.2, 0.2) * 32767)
    # The file is 16 bits as well: twice rounded, at most one step off.
    assert np.abs(clips[1].pcm - expected).max() <= 1


def test_second_load_decodes_nothing(tmp_path: Path) -> None:
    manifest = write_corpus(tmp_path / "words")
    calls: list[int] = []
    first = load_clips(
        [manifest], tmp_path / "cache", progress=lambda _name, done, _total: calls.append(done)
    )
    assert calls == [1, 2, 3]
    for file in (tmp_path / "words").glob("*.wav"):
        file.write_bytes(b"gone")
    again = load_clips([manifest], tmp_path / "cache", progress=lambda *_: pytest.fail("decoded again"))
    assert all(np.array_equal(a.pcm, b.pcm) for a, b in zip(first, again, strict=True))


def test_a_changed_manifest_is_decoded_again(tmp_path: Path) -> None:
    manifest = write_corpus(tmp_path / "words")
    load_clips([manifest], tmp_path / "cache")
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join(lines[:2]) + "\n")
    assert [len(c.pcm) for c in load_clips([manifest], tmp_path / "cache")] == [1600]


def test_an_interrupted_decoding_leaves_no_cache(tmp_path: Path) -> None:
    manifest = write_corpus(tmp_path / "words")
    (tmp_path / "words" / "2.wav").write_text("not audio")
    with pytest.raises(InputError):
        load_clips([manifest], tmp_path / "cache")
    soundfile.write(tmp_path / "words" / "2.wav", tone(0.3), RATE, subtype="PCM_16")
    assert [len(c.pcm) for c in load_clips([manifest], tmp_path / "cache")] == [1600, 3200, 4800]


def test_find_manifests_looks_one_folder_down(tmp_path: Path) -> None:
    first = write_corpus(tmp_path / "a")
    second = write_corpus(tmp_path / "b")
    assert find_manifests(tmp_path) == [first, second]
    assert find_manifests(tmp_path / "a") == [first]
    with pytest.raises(InputError, match="is no folder"):
        find_manifests(tmp_path / "c")
    (tmp_path / "c").mkdir()
    with pytest.raises(InputError, match=r"no manifest\.tsv"):
        find_manifests(tmp_path / "c")


def test_speakers_are_never_split() -> None:
    sides = {held_out(clip(speaker="anna", key=str(i), corpus=c), 0.3) for i in range(20) for c in "ab"}
    assert len(sides) == 1
    shares = [held_out(clip(speaker=f"s{i}"), 0.25) for i in range(2000)]
    # Binomial, 2000 draws at 0.25: standard deviation 0.0097, four of them.
    assert abs(np.mean(shares) - 0.25) < 0.04
    # A smaller share holds out a subset, so the two sides of different roles never overlap.
    assert all(
        held_out(clip(speaker=f"s{i}"), 0.25) for i in range(200) if held_out(clip(speaker=f"s{i}"), 0.1)
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"corpus": "noise", "label": "kitchen"}, True),
        ({"corpus": "esc10_folds1to4", "label": "dog_bark"}, True),
        ({"corpus": "donateacry", "label": "crying_baby"}, True),
        ({"corpus": "speech_commands_half", "label": "silence"}, True),
        ({"corpus": "community_wake_words", "label": "noises-20190814-elt"}, True),
        ({"corpus": "speech_commands_half", "label": "unknown"}, False),
        ({"corpus": "digits", "label": "seven"}, False),
    ],
)
def test_background(fields: dict[str, str], expected: bool) -> None:
    assert is_background(clip(**fields)) is expected


def test_mentions_whole_words_only() -> None:
    assert mentions(clip(text="Stop, computer!"), ["computer"])
    assert mentions(clip(label="hey_computer"), ["computer"])
    assert not mentions(clip(text="computers compute"), ["computer"])
    assert mentions(clip(text="ok TRICK or treat"), ["trick or treat"])


@pytest.mark.parametrize("noise", [0.0, 0.003])
def test_word_bounds_find_the_loud_part(noise: float) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0.0, noise, RATE) if noise else np.zeros(RATE)
    x[4800:9600] += tone(0.3)
    start, end = word_bounds(np.round(x * 32767).astype(np.int16))
    # Blocks of 10 ms and a 30 ms envelope: at most 20 ms too wide on either side.
    assert 4800 - 320 <= start <= 4800
    assert 9600 <= end <= 9600 + 320


def test_word_bounds_keep_the_burst_of_a_final_plosive() -> None:
    x = np.zeros(RATE)
    x[3200:8000] = tone(0.3)
    x[9280:9760] = tone(0.03, 0.1)
    _, end = word_bounds(np.round(x * 32767).astype(np.int16))
    assert end >= 9760


@pytest.mark.parametrize("n", [0, 1, 100, 479])
def test_word_bounds_of_almost_nothing_are_the_whole(n: int) -> None:
    assert word_bounds(np.zeros(n, np.int16)) == (0, n)


@pytest.mark.shared
def test_word_bounds_on_real_words(shared_dir: Path, tmp_path: Path) -> None:
    lines = (shared_dir / "data/speech_commands_half/manifest.tsv").read_text().splitlines()
    folder = (shared_dir / "data/speech_commands_half").resolve()
    chosen = [line for line in lines[1:] if line.split("\t")[4] == "yes"][:40]
    manifest = tmp_path / "yes" / "manifest.tsv"
    manifest.parent.mkdir()
    relative = Path(*[".."] * len(manifest.parent.resolve().parts[1:]), *folder.parts[1:])
    manifest.write_text("\n".join([lines[0], *(f"{relative}/{line}" for line in chosen)]) + "\n")
    lengths = [np.diff(word_bounds(c.pcm))[0] / RATE for c in load_clips([manifest], tmp_path / "cache")]
    # "yes" takes people about 0.4 s; half a second of noise on top would mean that bounds are useless.
    assert 0.25 < np.median(lengths) < 0.65


def test_without_a_home_a_folder_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / "edgeaudio"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    with pytest.raises(UsageError, match="no home folder"):
        default_cache_dir()

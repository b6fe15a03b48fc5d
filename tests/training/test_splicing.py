from collections.abc import Sequence

import numpy as np

from edgeaudio.training.corpus import Clip, Hints
from edgeaudio.training.hints import ZERO, Hearing
from edgeaudio.training.soundalikes import english
from edgeaudio.training.splicing import CORPUS, sounds_right, splice
from edgeaudio.training.utterances import PHONES

LABELS = ("<blank>", *PHONES)
FRAME = 640
FRAMES_PER_PHONE = 4
DELAY = 1000
HEARING = Hearing("ear 1.0", LABELS, DELAY)


def tone_hz(phone: str) -> float:
    return 300.0 + 150.0 * PHONES.index(phone)


def recording(
    key: str, text: str, *, speaker: str = "", heard: Sequence[str] | None = None, detuned_hz: float = 0.0
) -> Clip:
    """Each phone is a tone of 160 ms, seen for two frames in its middle, `DELAY` samples later."""
    phones = english().phrase_readings(text.split())[0]
    times_s = np.arange(FRAMES_PER_PHONE * FRAME) / 16_000
    tones = [8000 * np.sin(2 * np.pi * (tone_hz(phone) + detuned_hz) * times_s) for phone in phones]
    n_frames = FRAMES_PER_PHONE * len(phones) + 4
    log_probs = np.zeros((n_frames, len(LABELS)), np.uint8)
    for frame in range(n_frames):
        i, part = divmod(frame * FRAME - DELAY, FRAMES_PER_PHONE * FRAME)
        seen = 0 <= i < len(phones) and FRAME <= part < 3 * FRAME
        token = LABELS.index((heard or phones)[i % len(heard or phones)]) if seen else 0
        log_probs[frame, token] = round(2 * ZERO - 1)
    hints = Hints(log_probs, FRAME, FRAME - 1)
    return Clip("books", key, np.concatenate(tones).astype(np.int16), text=text, speaker=speaker, hints=hints)


def tones(pcm: np.ndarray) -> list[str]:
    """The phones whose tones follow each other, those of at least 50 ms."""
    heard: list[str] = []
    frequencies_hz = np.fft.rfftfreq(1024, 1 / 16_000)
    known_hz = np.array([tone_hz(phone) for phone in PHONES])
    for at in range(0, len(pcm) - 400, 200):
        spectrum = np.abs(np.fft.rfft(pcm[at : at + 400] * np.hanning(400), 1024))
        phone = PHONES[int(np.abs(known_hz - frequencies_hz[spectrum.argmax()]).argmin())]
        heard.append(phone)
    runs = [phone for i, phone in enumerate(heard) if heard[i : i + 4] == [phone] * 4]
    return [phone for i, phone in enumerate(runs) if i == 0 or phone != runs[i - 1]]


def spliced(counts: dict[str, int], *clips: Clip, seed: int = 1) -> list[Clip]:
    return splice(counts, clips, HEARING, seed=seed, progress=lambda done: None)


COMPANY, PEWTER = recording("a", "company", speaker="ann"), recording("b", "pewter", speaker="bob")


def test_a_phrase_is_put_together_of_other_words() -> None:
    made = spliced({"computer": 5}, COMPANY, PEWTER)
    assert len(made) == 5
    for clip in made:
        assert tones(clip.pcm) == ["K", "AH", "M", "P", "Y", "UW", "T", "ER"]
        assert (clip.corpus, clip.label, clip.split, clip.speaker) == (
            CORPUS,
            "computer",
            "train",
            "books/ann",
        )
        # No sound is said twice as long, or swallowed, where two pieces meet.
        assert abs(len(clip.pcm) - 8 * FRAMES_PER_PHONE * FRAME) < 2.2 * FRAMES_PER_PHONE * FRAME
        steps = np.abs(np.diff(clip.pcm.astype(float)))
        assert steps.max() < 1.3 * np.abs(np.diff(COMPANY.pcm.astype(float))).max()


def test_sounds_that_never_follow_each_other_are_not_made_up() -> None:
    made = spliced({"computer": 5, "compan": 1, "pew": 2}, COMPANY)
    assert not [clip for clip in made if clip.label in {"computer", "pew"}]


def test_equal_arguments_give_equal_clips() -> None:
    more = recording("c", "company pewter", speaker="cid")
    first, again, other = (spliced({"computer": 9}, COMPANY, PEWTER, more, seed=seed) for seed in (1, 1, 2))
    assert [clip.key for clip in first] == [clip.key for clip in again]
    for one, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.pcm, same.pcm)
    assert {clip.key for clip in first}.isdisjoint(clip.key for clip in other)


def test_pieces_are_of_one_speaker_where_that_is_possible() -> None:
    others = [recording(f"d{i}", "pewter", speaker=f"bob{i}") for i in range(5)]
    made = spliced(
        {"computer": 10}, COMPANY, *others, recording("e", "pewter", speaker="ann", detuned_hz=50.0)
    )
    for clip in made:
        last = clip.pcm[-2000:-400] * np.hanning(1600)
        hz = float(np.abs(np.fft.rfft(last, 16_000)).argmax())
        assert abs(hz - tone_hz("ER") - 50.0) < 10.0


def test_a_transcript_that_is_wrong_is_not_cut() -> None:
    wrong = recording("e", "pewter", heard=("S", "IY", "F", "AO", "S"))
    assert not spliced({"computer": 3}, COMPANY, wrong)
    assert not spliced({"computer": 3}, COMPANY, Clip(**{**vars(PEWTER), "hints": None}))


def test_what_the_recogniser_hears_decides_what_sounds_right() -> None:
    right = Clip(**{**vars(PEWTER), "label": "pewter"})
    assert sounds_right(right, HEARING)
    assert not sounds_right(Clip(**{**vars(COMPANY), "label": "pewter"}), HEARING)
    assert not sounds_right(Clip(**{**vars(right), "hints": None}), HEARING)

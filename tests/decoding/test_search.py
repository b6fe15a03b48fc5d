"""The lexicon search against the enumeration of everything that could have been said."""

from __future__ import annotations

import math
import tracemalloc
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.decoding.base import LogProbs
from edgeaudio.decoding.hotwords import Hotwords
from edgeaudio.decoding.language import Language
from edgeaudio.decoding.pool import Mark
from edgeaudio.decoding.search import LexiconDecoder
from edgeaudio.errors import ModelError, UsageError
from tests.allocation import allocated
from tests.decoding.frames import CUTS, frames_of_path, pieces, random_frames
from tests.decoding.slow_search import log_add, readings, spellings

PHONES = ("<blank>", "A", "B", "C")
SAID = {"ab": ["A B", "B"], "a": ["A"], "ba": ["B A"], "aab": ["A A B"], "bee": ["B"], "c": ["C", "C C"]}
SPOKEN = {w: [tuple(PHONES.index(p) for p in one.split()) for one in said] for w, said in SAID.items()}
LETTERS = ("<blank>", "|", "a", "b", "c")
SPELLED: dict[str, list[str]] = {"ab": [], "a": [], "ba": [], "aab": [], "c": []}


@dataclass(frozen=True)
class Everything:
    """A search in which nothing is given up."""

    beam_width: int = 3000
    beam_score: float = 600.0
    language_weight: float = 1.3
    word_bonus: float = 0.4
    blank_scale: float = 1.0


@dataclass(frozen=True)
class Usual:
    beam_width: int = 12
    beam_score: float = 8.0
    language_weight: float = 1.0
    word_bonus: float = 0.0
    blank_scale: float = 1.0


def trigrams(seed: int, words: dict[str, list[str]]) -> Language:
    """Random probabilities; every context is a state of its own, so that sentences hardly ever meet."""
    rng = np.random.default_rng(seed)
    names = [*words, "</s>"]
    ngrams: dict[tuple[str, ...], tuple[float, float]] = {("<s>",): (-99.0, -0.3)}
    for word in names:
        ngrams[word,] = (-float(rng.uniform(0.5, 4)), -float(rng.uniform(0, 1)))
    for first in ["<s>", *words]:
        for word in rng.permutation(names)[:3]:
            ngrams[first, str(word)] = (-float(rng.uniform(0.1, 3)), -float(rng.uniform(0, 1)))
    for context in [gram for gram in ngrams if len(gram) == 2 and gram[1] != "</s>"]:
        ngrams[(*context, str(rng.choice(names)))] = (-float(rng.uniform(0.1, 3)), 0.0)
    return Language.build(words, ngrams)


def phone_decoder(model: Language, search: Everything | Usual, **options: object) -> LexiconDecoder:
    return LexiconDecoder(model, PHONES, "<blank>", "phones", search, **options)  # type: ignore[arg-type]


def best_of(
    frames: LogProbs, model: Language, ways: dict[str, list[tuple[int, ...]]], space: int | None = None
) -> tuple[float, tuple[str, ...]]:
    """The best sentence by its best alignment."""
    best: tuple[float, tuple[str, ...]] = (-math.inf, ())
    for tokens, scores in readings(frames, blank=0).items():
        for words in spellings(tokens, ways, space):
            said = Everything.language_weight * model.log_prob(words) + Everything.word_bonus * len(words)
            best = max(best, (max(scores) + said, words))
    return best


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_finds_the_best_of_all_sentences(seed: int, n_frames: int) -> None:
    model, frames = trigrams(seed, SAID), random_frames(seed, n_frames, len(PHONES))
    decoder = phone_decoder(model, Everything(), merge="max")
    decoder.process(frames)
    found = decoder.flush()
    score, words = best_of(frames, model, SPOKEN)
    # Frames and probabilities of words are float32.
    assert found.score == pytest.approx(score, abs=1e-4)
    assert tuple(word.text for word in found.words) == words


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_finds_the_best_of_all_spelled_sentences(seed: int, n_frames: int) -> None:
    model, frames = trigrams(seed, SPELLED), random_frames(seed, n_frames, len(LETTERS))
    decoder = LexiconDecoder(model, LETTERS, "<blank>", "characters", Everything(), merge="max")
    decoder.process(frames)
    found = decoder.flush()
    ways = {word: [tuple(LETTERS.index(letter) for letter in word)] for word in SPELLED}
    score, words = best_of(frames, model, ways, LETTERS.index("|"))
    assert found.score == pytest.approx(score, abs=1e-4)
    assert tuple(word.text for word in found.words) == words


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_adds_up_all_that_could_have_been_said(seed: int, n_frames: int) -> None:
    # Under a unigram everything that ends with the same token meets in one place: so the scores of the
    # places where a sentence may end, added, are those of all sentences.
    model = Language.build(SAID)
    frames = random_frames(seed, n_frames, len(PHONES))
    decoder = phone_decoder(model, Everything(), merge="add")
    decoder.process(frames)
    by_last: dict[int, list[float]] = {}
    for tokens, scores in readings(frames, blank=0).items():
        for words in spellings(tokens, SPOKEN):
            said = 1.3 * model.log_prob(words) + 0.4 * len(words)
            by_last.setdefault(tokens[-1] if tokens else -1, []).append(log_add(scores) + said)
    assert decoder.flush().score == pytest.approx(max(map(log_add, by_last.values())), abs=1e-4)


@settings(max_examples=30)
@given(st.integers(0, 10_000), CUTS)
def test_how_the_stream_is_cut_changes_nothing(seed: int, cuts: list[int]) -> None:
    model, frames = trigrams(seed, SAID), random_frames(seed, 80, len(PHONES))
    whole, cut = phone_decoder(model, Usual()), phone_decoder(model, Usual())
    whole.process(frames)
    for piece in pieces(frames, cuts):
        cut.process(piece)
        cut.hypothesis()
    assert cut.hypothesis() == whole.hypothesis()
    assert cut.flush() == whole.flush()
    whole.reset()
    whole.process(frames)
    assert whole.flush() == cut.flush()


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_stable_and_committed_words_never_change(seed: int) -> None:
    decoder = phone_decoder(trigrams(seed, SAID), Usual())
    settled: tuple[object, ...] = ()
    for number, piece in enumerate(pieces(random_frames(seed, 300, len(PHONES)), [7] * 40)):
        decoder.process(piece)
        before = decoder.hypothesis()
        if number % 3 == 0:
            decoder.commit(len(before.words))
            found = decoder.hypothesis()
            assert found.words == before.words  # the best one is kept
            assert found.stable == len(found.words)
        else:
            found = before
        assert found.words[: len(settled)] == settled
        settled = found.words[: found.stable]
    assert decoder.flush().words[: len(settled)] == settled


def test_an_endless_stream_needs_no_more_memory() -> None:
    decoder = phone_decoder(trigrams(3, SAID), Usual())
    frames = random_frames(5, 500, len(PHONES), 1.0)
    decoder.process(frames)
    free = decoder._pool.marks[Mark.FREE]
    tracemalloc.start()
    try:
        for _ in range(40):
            decoder.process(frames)
            assert abs(decoder._pool.marks[Mark.FREE] - free) < 2000
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # 20,000 frames said some 5,000 words; what is kept are these, nothing of the search.
    n_words = len(decoder.hypothesis().words)
    assert n_words > 2000
    assert kept < 300 * n_words


def test_processing_allocates_nothing() -> None:
    decoder = phone_decoder(trigrams(3, SAID), Usual())
    frames = random_frames(5, 2, len(PHONES), 1.0)

    def work() -> None:
        for _ in range(600):
            decoder.process(frames)
        decoder.reset()

    # The smallest object a call would be 600 × 16 bytes a round.
    assert allocated(work).kept < 9600


def test_a_full_pool_decides_the_oldest_words() -> None:
    # After each word the next is a or b, and which one it was matters to what follows for ever.
    words = {"a": ["A"], "b": ["B"]}
    ngrams = {(first, second): (-1.0, 0.0) for first in words for second in words}
    ngrams |= {(word,): (-1.0, 0.0) for word in ("a", "b", "<s>", "</s>")}
    decoder = phone_decoder(Language.build(words, ngrams), Everything(beam_width=4000, beam_score=80.0))
    even = np.log(np.tile(np.float32([[0.01, 0.5, 0.489, 0.001], [0.997, 0.001, 0.001, 0.001]]), (900, 1)))
    decoder.process(even)
    assert decoder._pool.marks[Mark.FREE] >= 4000
    assert len(decoder.flush().words) == 900


def test_words_lie_where_their_phones_were_seen() -> None:
    decoder = phone_decoder(Language.build({"ab": ["A B"], "c": ["C"]}), Usual())
    path = [0, 0, 1, 0, 2, 2, 0, 0, 3, 0, 0, 0]
    decoder.process(frames_of_path(path, len(PHONES)))
    first, second = decoder.hypothesis().words
    assert (first.text, first.start_frame, first.end_frame) == ("ab", 2, 6)
    assert (second.text, second.start_frame, second.end_frame) == ("c", 8, 9)
    assert decoder.hypothesis().quiet_frames == 3
    assert -0.2 < first.evidence <= 0.0


def test_doubtful_words_have_less_evidence() -> None:
    model = Language.build({"ab": ["A B"], "cb": ["C B"], "a": ["A"]})
    decoder = phone_decoder(model, Usual())
    frames = frames_of_path([1, 0, 2, 0, 0, 1, 0, 2, 0], len(PHONES))
    frames[5] = np.log([0.02, 0.52, 0.01, 0.45])
    decoder.process(frames)
    sure, doubtful = decoder.flush().words
    assert (sure.text, doubtful.text) == ("ab", "ab")
    assert doubtful.evidence < sure.evidence - 0.1


def test_the_same_phone_twice_needs_a_blank_between() -> None:
    decoder = phone_decoder(Language.build({"a": ["A"], "aa": ["A A"]}), Usual())
    decoder.process(frames_of_path([1, 1, 1], len(PHONES), 0.999))
    assert [word.text for word in decoder.flush().words] == ["a"]
    decoder.reset()
    decoder.process(frames_of_path([1, 0, 1], len(PHONES), 0.999))
    assert [word.text for word in decoder.flush().words] == ["aa"]


def test_letters_of_an_unfinished_word_are_tentative() -> None:
    decoder = LexiconDecoder(
        Language.build({"abba": [], "cab": []}), LETTERS, "<blank>", "characters", Usual()
    )
    decoder.process(frames_of_path([4, 2, 3, 0, 1, 2, 3], len(LETTERS)))
    found = decoder.hypothesis()
    assert ([word.text for word in found.words], found.partial) == (["cab"], "ab")
    assert [word.text for word in decoder.flush().words] == ["cab"]


def test_a_closed_grammar_permits_nothing_else() -> None:
    words = {"ab": ["A B"], "c": ["C"], "ba": ["B A"]}
    states = [{"ab": (0.0, 1)}, {"c": (0.0, 2), "ab": (0.0, 1)}, {"</s>": (0.0, 2)}]
    decoder = phone_decoder(Language.closed(words, states, 0), Usual(beam_score=60.0))
    decoder.process(frames_of_path([2, 0, 1, 0, 3, 0], len(PHONES)))  # as if "ba c"
    found = decoder.flush()
    assert [word.text for word in found.words][-1] == "c"
    assert {word.text for word in found.words[:-1]} <= {"ab"}
    decoder = phone_decoder(Language.closed(words, states, 0), Usual())
    decoder.process(frames_of_path([1, 0, 2, 0], len(PHONES), 0.9999))
    unfinished = decoder.flush()
    assert ([word.text for word in unfinished.words], unfinished.score) == (["ab"], -math.inf)


def test_a_narrower_beam_is_possible_at_any_time() -> None:
    model, frames = trigrams(1, SAID), random_frames(1, 200, len(PHONES), 1.0)
    decoder = phone_decoder(model, Usual(beam_width=50, beam_score=40.0))
    decoder.process(frames)
    decoder.beam_width = 3
    decoder.process(frames)
    assert len(decoder.hypothesis().words) > 10
    decoder.beam_width = 50
    decoder.process(frames)
    with pytest.raises(UsageError, match="From 1 to 50"):
        decoder.beam_width = 51


def test_frames_that_are_no_numbers_say_nothing() -> None:
    decoder = phone_decoder(Language.build({"ab": ["A B"]}), Usual())
    frames = frames_of_path([1, 0, 2], len(PHONES))
    broken = np.full((2, len(PHONES)), np.nan, np.float32)
    broken[0] = -np.inf
    decoder.process(np.concatenate([frames[:1], broken, frames[1:]]))
    assert [word.text for word in decoder.flush().words] == ["ab"]


def test_hotwords_become_words_and_win_where_it_is_nearly_even() -> None:
    model = Language.build({"ab": ["A B"], "c": ["C"]})
    frames = frames_of_path([0, 2, 0, 1, 0], len(PHONES), 0.9)
    frames[1] = np.log([0.02, 0.5, 0.4, 0.08])
    frames[3] = np.log([0.02, 0.4, 0.5, 0.08])
    for phones, texts in ((None, ["ab"]), ("B A", ["baa"])):
        hotwords = None if phones is None else Hotwords.parse([f"baa={phones}"], boost=1.0)
        decoder = phone_decoder(model, Usual(beam_score=40.0), hotwords=hotwords)
        decoder.process(frames)
        assert [word.text for word in decoder.flush().words] == texts


def test_words_that_cannot_be_written_are_left_out_and_none_is_an_error() -> None:
    model = Language.build({"ab": ["A B"], "zoo": ["Z UW"]})
    decoder = phone_decoder(model, Usual())
    decoder.process(frames_of_path([1, 2], len(PHONES)))
    assert [word.text for word in decoder.flush().words] == ["ab"]
    with pytest.raises(ModelError, match="no word that can be written with the model's phones"):
        phone_decoder(Language.build({"zoo": ["Z UW"]}), Usual())
    with pytest.raises(ModelError, match="no word"):
        LexiconDecoder(Language.build({"zoo": []}), LETTERS, "<blank>", "characters", Usual())


def test_bad_hotwords_are_named() -> None:
    model = Language.build({"ab": ["A B"]})
    with pytest.raises(UsageError, match="'ba' is not in the lexicon"):
        phone_decoder(model, Usual(), hotwords=Hotwords.parse(["ba"]))
    with pytest.raises(UsageError, match="unknown phone 'Q'"):
        phone_decoder(model, Usual(), hotwords=Hotwords.parse(["ba=B Q"]))
    with pytest.raises(UsageError, match="'ax': the model cannot write 'x'"):
        LexiconDecoder(
            Language.build({"ab": []}), LETTERS, "<blank>", "characters", Usual(), Hotwords.parse(["ax"])
        )
    closed = Language.closed({"ab": ["A B"]}, [{"ab": (0.0, 1)}, {"</s>": (0.0, 1)}], 0)
    with pytest.raises(UsageError, match="not in the grammar"):
        phone_decoder(closed, Usual(), hotwords=Hotwords.parse(["ba"]))

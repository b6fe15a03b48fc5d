"""Microseconds per output frame of the decoders, beside flashlight-text on the same log-probabilities."""

from __future__ import annotations

import argparse
import gc
import importlib.util
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.decoding.arpa import write_arpa
from edgeaudio.decoding.automaton import step
from edgeaudio.decoding.language import SENTENCE_END, Language
from edgeaudio.decoding.ngrams import SENTENCE_START, Ngrams
from edgeaudio.decoding.prefix import PrefixDecoder
from edgeaudio.decoding.search import LexiconDecoder
from edgeaudio.models.manifest import Search
from tools.benchmarks.report import Limit, Report, Table

LogProbs = NDArray[np.float32]
Run = Callable[[], object]

MODELS = Path(__file__).resolve().parents[2] / "models"
OURS, THEIRS = "edgeaudio", "flashlight-text"
PACKAGES = ["numpy", "numba", "flashlight-text"]
MAX_PREFIX_US, MAX_OF_PREFIX = 5.0, 0.6
MAX_LEXICON_US, MAX_OF_LEXICON = 300.0, 1.0
MAX_WORSE_POINTS = 0.3
TOKEN_BEAM = 10
SEARCH = Search(beam_width=400, beam_score=14.0, language_weight=1.0)
NOISE = (1.0, 1.6)
"""Spread of the wrong tokens' scores: a good network's, and a poor one's."""
_VOWELS = frozenset(
    ["AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"]
)


@dataclass(frozen=True)
class Spoken:
    """A made-up utterance."""

    words: list[str]
    log_probs: LogProbs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --language."""
    parser.add_argument(
        "--language",
        type=Path,
        default=MODELS / "english-small",
        help="lexicon and n-gram, file or folder (default: the one shipped)",
    )


def run(options: argparse.Namespace) -> Report:
    """Measure both searches; the contestants take turns, and the medians count."""
    if importlib.util.find_spec("flashlight") is None:
        # Not left out: a comparison that passes without what it compares with would be worth nothing.
        sys.exit("tools/bench decoding needs flashlight-text: pip install --group bench")
    rounds, n_sentences = (2, 6) if options.smoke else (5, 30)
    prefix_table, limits = _prefix(rounds)
    language = Language.load(options.language)
    rows = []
    for noise in NOISE:
        row, further = _lexicon(language, noise, n_sentences, rounds)
        rows.append(row)
        limits += further
    columns = ["frames", "entropy, nats", f"{OURS}, µs", f"{THEIRS}, µs", "of it", "WER %", f"WER % {THEIRS}"]
    arcs = len(language.automaton.arc_word) + language.n_words
    return Report(
        title="Decoding, µs per output frame",
        tables=[
            prefix_table,
            Table(columns, rows, title=f"Lexicon search, {language.n_words:,} words, {arcs:,} n-grams"),
            _start_table(language),
        ],
        limits=limits,
        notes=[
            f"CPU time, median of {rounds} rounds by turns. Log-probabilities are made up: sentences drawn "
            "from the n-gram and said as the lexicon says, each phone one frame with one to three of "
            "blank before it, wrong phones of its kind (vowels, consonants) more probable than others; the "
            "entropy says how sure they are. Both lexicon searches have beam width 400 and score 14, weigh "
            "the n-gram alike and take the maximum where hypotheses meet; flashlight-text reads the same "
            "n-gram through KenLM. We are fed in pieces of 4 frames (prefix search: 16), flashlight-text "
            "whole utterances. Prefix search: 32 symbols, beam 8; flashlight-text looks at the "
            f"{TOKEN_BEAM} best tokens of a frame, we at all."
        ],
        packages=PACKAGES,
    )


def _prefix(rounds: int) -> tuple[Table, list[Limit]]:
    rows, limits = [], []
    for spread in (1.0, 2.0):
        log_probs = _letters(np.random.default_rng(1), 3000, 32, spread)
        medians = _take_turns(
            {OURS: _our_prefix(log_probs), THEIRS: _their_prefix(log_probs)}, rounds, len(log_probs)
        )
        ratio = medians[OURS] / medians[THEIRS]
        entropy = _entropy([log_probs])
        cells = (f"{entropy:.2f}", f"{medians[OURS]:.2f}", f"{medians[THEIRS]:.2f}", f"{ratio:.2f}")
        rows.append(list(cells))
        case = f"prefix search, {entropy:.2f} nats"
        limits.append(Limit(case, medians[OURS], MAX_PREFIX_US, " µs", 2 * MAX_PREFIX_US))
        limits.append(Limit(f"{case}: of {THEIRS}", ratio, MAX_OF_PREFIX, smoke_limit=0.9))
    columns = ["entropy, nats", f"{OURS}, µs", f"{THEIRS}, µs", "of it"]
    return Table(columns, rows, title="Prefix search, 32 symbols, beam 8"), limits


def _lexicon(language: Language, noise: float, n: int, rounds: int) -> tuple[list[str], list[Limit]]:
    rng = np.random.default_rng(2)
    spoken = [_say(language, _sentence(language, rng), rng, noise) for _ in range(n)]
    ours, theirs = _our_lexicon(language), _their_lexicon(language)
    wer = {
        name: _word_errors([(item.words, decode(item.log_probs)) for item in spoken])
        for name, decode in ((OURS, ours), (THEIRS, theirs))
    }
    n_frames = sum(len(item.log_probs) for item in spoken)
    medians = _take_turns(
        {
            OURS: lambda: [ours(item.log_probs) for item in spoken],
            THEIRS: lambda: [theirs(item.log_probs) for item in spoken],
        },
        rounds,
        n_frames,
    )
    ratio = medians[OURS] / medians[THEIRS]
    entropy = _entropy([item.log_probs for item in spoken])
    row = [f"{n_frames}", f"{entropy:.2f}", f"{medians[OURS]:.0f}", f"{medians[THEIRS]:.0f}", f"{ratio:.2f}"]
    case = f"lexicon search, {entropy:.2f} nats"
    return [*row, f"{wer[OURS]:.1f}", f"{wer[THEIRS]:.1f}"], [
        Limit(case, medians[OURS], MAX_LEXICON_US, " µs", 3 * MAX_LEXICON_US),
        Limit(f"{case}: of {THEIRS}", ratio, MAX_OF_LEXICON, smoke_limit=1.5),
        Limit(f"{case}: points of WER above {THEIRS}", wer[OURS] - wer[THEIRS], MAX_WORSE_POINTS),
    ]


def _start_table(language: Language) -> Table:
    times = []
    for _ in range(3):
        start = time.process_time()
        LexiconDecoder(language, *_tokens(language), "phones", SEARCH)
        times.append(time.process_time() - start)
    return Table(["making a decoder, ms"], [[f"{1000 * min(times):.0f}"]], title="Start-up")


def _take_turns(runs: dict[str, Run], rounds: int, n_frames: int) -> dict[str, float]:
    """Return the median CPU time of each in microseconds a frame."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for measured in runs.values():
        measured()
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, measured in runs.items():
                start = time.process_time()
                measured()
                times[name].append(1e6 * (time.process_time() - start) / n_frames)
    finally:
        gc.enable()
    return {name: statistics.median(values) for name, values in times.items()}


def _our_prefix(log_probs: LogProbs) -> Run:
    letters = [chr(ord("a") + i) for i in range(log_probs.shape[1] - 2)]
    decoder = PrefixDecoder(["<blank>", "|", *letters], "<blank>", "characters", 8)

    def measured() -> object:
        decoder.reset()
        for at in range(0, len(log_probs), 16):
            decoder.process(log_probs[at : at + 16])
        return decoder.flush()

    return measured


def _their_prefix(log_probs: LogProbs) -> Run:
    from flashlight.lib.text.decoder import (
        CriterionType,
        LexiconFreeDecoder,
        LexiconFreeDecoderOptions,
        ZeroLM,
    )

    options = LexiconFreeDecoderOptions(
        beam_size=8,
        beam_size_token=TOKEN_BEAM,
        beam_threshold=30.0,
        lm_weight=0.0,
        sil_score=0.0,
        log_add=True,
        criterion_type=CriterionType.CTC,
    )
    decoder = LexiconFreeDecoder(options, ZeroLM(), 1, 0, [])
    return lambda: decoder.decode(log_probs.ctypes.data, *log_probs.shape)


def _our_lexicon(language: Language) -> Callable[[LogProbs], list[str]]:
    decoder = LexiconDecoder(language, *_tokens(language), "phones", SEARCH, merge="max")

    def decode(log_probs: LogProbs) -> list[str]:
        decoder.reset()
        for at in range(0, len(log_probs), 4):
            decoder.process(log_probs[at : at + 4])
        return [word.text for word in decoder.flush().words]

    return decode


def _their_lexicon(language: Language) -> Callable[[LogProbs], list[str]]:
    from flashlight.lib.text.decoder import (
        CriterionType,
        KenLM,
        LexiconDecoderOptions,
        SmearingMode,
        Trie,
    )
    from flashlight.lib.text.decoder import (
        LexiconDecoder as Lexicon,
    )
    from flashlight.lib.text.dictionary import Dictionary

    words = language.words
    names = Dictionary()
    for word in words:
        names.add_entry(word)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "language.arpa"
        write_arpa(path, words, _ngrams(language))
        model = KenLM(str(path), names)
    trie, beginning = Trie(len(language.phone_names) + 1, 0), model.start(False)
    ends = language.phone_offsets
    for i, word in enumerate(language.pron_word.tolist()):
        _, score = model.score(beginning, word)
        phones = (language.phones[ends[i] : ends[i + 1]].astype(int) + 1).tolist()
        trie.insert(phones, word, score + float(language.pron_score[i]))
    trie.smear(SmearingMode.MAX)
    options = LexiconDecoderOptions(
        beam_size=SEARCH.beam_width,
        beam_size_token=len(language.phone_names) + 1,
        beam_threshold=SEARCH.beam_score,
        # KenLM's logarithms are decimal.
        lm_weight=SEARCH.language_weight * float(np.log(10.0)),
        word_score=SEARCH.word_bonus,
        unk_score=-np.inf,
        sil_score=0.0,
        log_add=False,
        criterion_type=CriterionType.CTC,
    )
    decoder = Lexicon(options, trie, model, 0, 0, 0, [], False)

    def decode(log_probs: LogProbs) -> list[str]:
        found: Any = decoder.decode(log_probs.ctypes.data, *log_probs.shape)
        return [words[number] for number in found[0].words if number >= 0]

    return decode


def _tokens(language: Language) -> tuple[list[str], str]:
    return ["<blank>", *language.phone_names], "<blank>"


def _ngrams(language: Language) -> Ngrams:
    """The n-grams that the language's automaton was made from."""
    states = language.automaton
    n_words, n_states = language.n_words, len(states.backoff_state)
    length = np.zeros(n_states, np.int64)
    for state in range(1, n_states):
        length[state] = length[states.backoff_state[state]] + 1
    scores = states.score_codebook[states.arc_score]
    context: dict[int, tuple[int, ...]] = {0: (), language.start_state: (SENTENCE_START,)}
    grams: dict[tuple[int, ...], tuple[float, float]] = {}
    waiting = list(context)
    while waiting:
        state = waiting.pop()
        arcs = slice(int(states.arc_offsets[state]), int(states.arc_offsets[state + 1]))
        known = (states.arc_word[arcs], scores[arcs], states.arc_next[arcs])
        if state == 0:
            known = (np.arange(n_words), states.unigram_score, states.unigram_next)
        for word, score, following in zip(*(array.tolist() for array in known), strict=True):
            gram = (*context[state], word)
            own = length[following] == len(gram) and word != SENTENCE_END
            # KenLM knows no logarithm of 0.
            grams[gram] = (max(score, -200.0), float(states.backoff_score[following]) if own else 0.0)
            if following not in context and word != SENTENCE_END:
                context[following] = gram[len(gram) - int(length[following]) :]
                waiting.append(following)
    grams[SENTENCE_START,] = (-200.0, float(states.backoff_score[language.start_state]))
    return Ngrams.from_mapping(n_words, grams)


def _sentence(language: Language, rng: np.random.Generator) -> list[str]:
    """Draw a sentence of 8 to 20 words: of what the n-gram saw follow each state, never the end."""
    states, state = language.automaton, language.start_state
    said: list[str] = []
    for _ in range(int(rng.integers(8, 20))):
        while state and states.arc_offsets[state] == states.arc_offsets[state + 1]:
            state = int(states.backoff_state[state])
        if state == 0:
            scores, words = states.unigram_score[3:].astype(float), np.arange(3, language.n_words)
        else:
            arcs = slice(int(states.arc_offsets[state]), int(states.arc_offsets[state + 1]))
            words = states.arc_word[arcs].astype(np.int64)
            scores = states.score_codebook[states.arc_score[arcs]].astype(float)
        chances = np.where(words > SENTENCE_END, np.exp(scores), 0.0)
        if chances.sum() == 0.0:
            break
        word = int(rng.choice(words, p=chances / chances.sum()))
        said.append(language.word(word))
        _, state = step(states, state, word)
        state = int(state)
    return [word for word in said if language.pronunciations(word)]


def _say(language: Language, words: list[str], rng: np.random.Generator, noise: float) -> Spoken:
    names = language.phone_names
    vowel = np.array([name in _VOWELS for name in names])
    like = np.where(vowel[:, None] == vowel[None], -4.0, -6.5)
    np.fill_diagonal(like, 0.0)
    rows = []
    for word in words:
        for phone in language.pronunciations(word)[0]:
            heard = like[names.index(phone)]
            for _ in range(int(rng.integers(1, 4))):
                rows.append(np.concatenate(([7.0], rng.normal(0.0, noise, len(names)))))
            # One frame: flashlight-text cannot hear a word's last token twice.
            rows.append(np.concatenate(([2.0], 7.0 + heard + rng.normal(0.0, noise, len(names)))))
    return Spoken(words, _log_softmax(np.array(rows)))


def _letters(rng: np.random.Generator, n_frames: int, n_tokens: int, spread: float) -> LogProbs:
    scores = rng.normal(0.0, spread, (n_frames, n_tokens))
    path = np.where(rng.random(n_frames) < 0.6, 0, rng.integers(1, n_tokens, n_frames))
    scores[np.arange(n_frames), path] += 7.0
    return _log_softmax(scores)


def _log_softmax(scores: NDArray[np.float64]) -> LogProbs:
    return (scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))).astype(np.float32)


def _entropy(all_log_probs: list[LogProbs]) -> float:
    frames = np.concatenate(all_log_probs)
    return float(-(np.exp(frames) * frames).sum(axis=1).mean())


def _word_errors(pairs: list[tuple[list[str], list[str]]]) -> float:
    """Return the word error rate in percent."""
    errors = 0
    for wanted, found in pairs:
        row = np.arange(len(found) + 1)
        for i, word in enumerate(wanted):
            above, row = row, np.empty_like(row)
            row[0] = i + 1
            for j, other in enumerate(found):
                row[j + 1] = min(above[j] + (word != other), above[j + 1] + 1, row[j] + 1)
        errors += int(row[-1])
    return 100.0 * errors / sum(len(wanted) for wanted, _ in pairs)

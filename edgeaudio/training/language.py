"""``edgeaudio train language``: from text and a dictionary to a packed language with its card."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.decoding.arpa import read_arpa, write_arpa
from edgeaudio.decoding.automaton import step
from edgeaudio.decoding.dictionary import Lexicon, read_lexicon
from edgeaudio.decoding.g2p import G2P_FILE, Pronouncer
from edgeaudio.decoding.language import LANGUAGE_FILE, Language
from edgeaudio.decoding.ngrams import SENTENCE_END, SPECIAL_WORDS, UNKNOWN, Ngrams
from edgeaudio.decoding.pack import write_language
from edgeaudio.errors import InputError, OutputError, UsageError
from edgeaudio.training.graphones import phone_errors, train_pronouncer
from edgeaudio.training.kneser_ney import Level, estimate, mixed, n_grams, prune, tables
from edgeaudio.training.language_card import write_language_card
from edgeaudio.training.sentences import Sentence, read_sentences, sources, without
from edgeaudio.training.vocabulary import choose_words, held_out_words, say, speakable

__all__ = ["DEFAULT_BYTES", "LanguageJob", "fit", "perplexity", "train_language"]

DEFAULT_BYTES = 8_000_000

_EVERY = 50
"""One sentence in so many is held out."""
_LEAST_PRUNING, _MOST_PRUNING = 1e-10, 1e-2
_HALVINGS = 14

Tell = Callable[[str], None]
Progress = Callable[[float], None]


@dataclass(frozen=True)
class LanguageJob:
    """What is to be made of what.

    ``texts`` are learned from, except for sentences that resemble those of ``excluded``, which are
    measured on; or the n-grams are those of ``from_arpa``. What is said in ``further`` texts of another
    kind, of any length, counts as the part ``further_weight`` of the n-grams. ``max_bytes`` bounds the
    packed file unless ``threshold`` says how much is pruned.
    """

    texts: tuple[Path, ...]
    lexicon: Path
    output: Path
    order: int = 3
    max_bytes: int = DEFAULT_BYTES
    threshold: float | None = None
    min_count: int = 2
    further: tuple[Path, ...] = ()
    further_weight: float = 0.5
    excluded: tuple[Path, ...] = ()
    arpa: Path | None = None
    from_arpa: Path | None = None


def train_language(job: LanguageJob, tell: Tell, progress: Progress) -> dict[str, Any]:
    """Make ``language.bin``, ``g2p.bin`` and the card in the folder ``job.output``.

    Returns
    -------
    dict
        What was measured.

    Raises
    ------
    InputError
        A text, the dictionary or the ARPA file cannot be read, or holds nothing to learn from.
    OutputError
        The folder cannot be written.
    """
    if bool(job.texts) == bool(job.from_arpa):
        raise UsageError("give either texts or --from-arpa", hint="edgeaudio train language --help")
    if job.further and not job.texts:
        raise UsageError("--further is mixed into n-grams that are learned from texts", hint="Give texts.")
    _make_folder(job.output)
    lexicon = speakable(read_lexicon(job.lexicon))
    tell(f"{len(lexicon)} words in {job.lexicon.name}; learning how words are said")
    pronouncer, results = _pronouncer(lexicon, job.output)
    progress(0.2)
    if job.from_arpa is not None:
        words, said, ngrams, facts = _read(job.from_arpa, lexicon, pronouncer)
        used: list[Sentence] = []
        tests = {_title(path): list(read_sentences(path)) for path in job.excluded}
    else:
        texts, tests, n_left_out = _sentences(job, tell)
        used = [sentence for text in texts for sentence in text]
        progress(0.4)
        words, said, ngrams, facts = _estimate(job, texts, lexicon, pronouncer, tell)
        facts["left_out"] = n_left_out
    progress(0.7)
    language = Language.assemble(words, said, *ngrams.automaton())
    write_language(language, job.output / LANGUAGE_FILE)
    if job.arpa is not None:
        write_arpa(job.arpa, words, ngrams)
    progress(0.8)
    results = {**facts, "bytes": (job.output / LANGUAGE_FILE).stat().st_size, **results}
    for name, sentences in tests.items():
        results[name] = perplexity(language, sentences)
    write_language_card(job.output, results, sources(used), _recipe(job), _copy_licence(job))
    progress(1.0)
    return results


def perplexity(language: Language, sentences: Iterable[Sentence]) -> dict[str, Any]:
    """Measure how well the n-gram expects sentences.

    Returns
    -------
    dict
        ``perplexity`` by word, ends of sentences included and words that the lexicon lacks left out; the
        share of these, ``oov``; and how many ``words`` there are.
    """
    total, n_scored, n_words, n_unknown = 0.0, 0, 0, 0
    for sentence in sentences:
        state = language.start_state
        numbers = [language.word_id(word) or UNKNOWN for word in sentence.words]
        for number in (*numbers, SENTENCE_END):
            score, state = step(language.automaton, state, number)
            if number != UNKNOWN:
                total, n_scored = total + float(score), n_scored + 1
        n_words, n_unknown = n_words + len(numbers), n_unknown + numbers.count(UNKNOWN)
    return {
        "perplexity": round(math.exp(-total / max(1, n_scored)), 1),
        "oov": round(n_unknown / max(1, n_words), 4),
        "words": n_words,
    }


def fit(levels: Sequence[Level], max_bytes: int, other_bytes: int) -> tuple[list[Level], float]:
    """Prune as little as makes the packed n-grams and `other_bytes` fit into `max_bytes`.

    Returns
    -------
    levels : list of Level
    threshold : float
        What :func:`~edgeaudio.training.kneser_ney.prune` was given; 0 for not at all.
    """
    if _packed_bytes(levels) + other_bytes <= max_bytes:
        return list(levels), 0.0
    low, high = _LEAST_PRUNING, _MOST_PRUNING
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        if _packed_bytes(prune(levels, middle)) + other_bytes <= max_bytes:
            high = middle
        else:
            low = middle
    return prune(levels, high), high


def _packed_bytes(levels: Sequence[Level]) -> int:
    """Size of the arrays of :class:`~edgeaudio.decoding.automaton.Automaton`, the codebook aside."""
    n_states = 1 + sum(len(np.unique(level.prefix)) for level in levels[1:])
    return 9 * n_grams(levels) + 12 * n_states + 8 * len(levels[0].count)


def _pronouncer(lexicon: Lexicon, folder: Path) -> tuple[Pronouncer, dict[str, Any]]:
    """Train it without every fiftieth word, and measure it on these."""
    unseen = held_out_words(lexicon)
    model = train_pronouncer({word: said for word, said in lexicon.items() if word not in unseen} or lexicon)
    write_language(model, folder / G2P_FILE)
    pronouncer = Pronouncer(model)
    known = {word: said for word, said in unseen.items() if pronouncer.can_pronounce(word)}
    phone_error, word_error = phone_errors(pronouncer, known)
    return pronouncer, {
        "phone_error": round(phone_error, 4),
        "pronunciation_error": round(word_error, 4),
        "pronounced_words": len(known),
        "g2p_bytes": (folder / G2P_FILE).stat().st_size,
    }


def _sentences(job: LanguageJob, tell: Tell) -> tuple[list[list[Sentence]], dict[str, list[Sentence]], int]:
    """What to learn from, further texts apart; what to measure on; how many sentences were too like that."""
    tests = {_title(path): list(read_sentences(path)) for path in job.excluded}
    texts: list[list[Sentence]] = []
    held_out: list[Sentence] = []
    n_left_out = 0
    for paths in filter(None, (job.texts, job.further)):
        found = [sentence for path in paths for sentence in read_sentences(path)]
        kept = without(found, (sentence for test in tests.values() for sentence in test))
        n_left_out += len(found) - len(kept)
        held_out = held_out or kept[::_EVERY]
        texts.append([sentence for place, sentence in enumerate(kept) if place % _EVERY])
        if not texts[-1]:
            raise InputError("there is no text to learn from", hint="Give more than one sentence.")
    n_used = sum(map(len, texts))
    tell(f"{n_used} sentences, {n_left_out} left out as too much like those to measure on")
    return texts, {"held-out sentences": held_out, **tests}, n_left_out


def _title(path: Path) -> str:
    """A manifest is known by its folder."""
    return path.parent.name if path.stem == "manifest" else path.name


def _estimate(
    job: LanguageJob,
    texts: Sequence[Sequence[Sentence]],
    lexicon: Lexicon,
    pronouncer: Pronouncer,
    tell: Tell,
) -> tuple[list[str], Lexicon, Ngrams, dict[str, Any]]:
    said = choose_words(texts, lexicon, pronouncer, min_count=job.min_count)
    words = [*SPECIAL_WORDS, *sorted(said)]
    ids = {word: number for number, word in enumerate(words)}
    tell(f"{len(said)} words chosen; counting what follows what")
    models = [
        estimate([_numbers(sentence, ids) for sentence in text], n_words=len(words), order=job.order)
        for text in texts
    ]
    levels = models[0]
    if len(models) > 1:
        levels = mixed(models, (1.0 - job.further_weight, job.further_weight))
    n_found = n_grams(levels)
    if job.threshold is None:
        levels, threshold = fit(levels, job.max_bytes, _lexicon_bytes(said))
    else:
        threshold = job.threshold
        levels = prune(levels, threshold) if threshold else levels
    tell(f"{n_grams(levels)} of {n_found} n-grams kept, pruned at {threshold:.2g}")
    facts = {"words": len(said), "order": job.order, "ngrams": n_grams(levels), "pruned_at": threshold}
    return words, said, tables(levels, len(words)), facts


def _numbers(sentence: Sentence, ids: Mapping[str, int]) -> NDArray[np.int32]:
    return np.array([ids.get(word, UNKNOWN) for word in sentence.words], dtype=np.int32)


def _read(
    path: Path, lexicon: Lexicon, pronouncer: Pronouncer
) -> tuple[list[str], Lexicon, Ngrams, dict[str, Any]]:
    """The n-grams of an ARPA file, its words said as the lexicon or the pronouncer says them.

    Words of other letters keep their places in the n-grams and are never recognised.
    """
    model = read_arpa(path)
    spoken = ((word, say(word, lexicon, pronouncer)) for word in model.words[len(SPECIAL_WORDS) :])
    said = {word: phones for word, phones in spoken if phones}
    if not said:
        raise InputError(f"{path}: none of its words can be said", hint="Words are lower case, a to z.")
    n_longer = sum(len(table.grams) for table in model.ngrams.tables[1:])
    facts = {"words": len(said), "order": model.ngrams.order, "ngrams": n_longer}
    return list(model.words), said, model.ngrams, facts


def _lexicon_bytes(said: Lexicon) -> int:
    spelled = sum(len(word.encode()) + 4 for word in said)
    return spelled + sum(one.count(" ") + 1 + 12 for variants in said.values() for one in variants)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {folder}: {error.strerror or error}") from error


def _copy_licence(job: LanguageJob) -> str | None:
    """Copy the licence that lies beside the dictionary, which may not be passed on without it."""
    found = job.lexicon.parent / "LICENSE"
    if not found.is_file():
        return None
    name = "LICENSE-lexicon"
    try:
        shutil.copyfile(found, job.output / name)
    except OSError as error:
        raise OutputError(f"cannot copy {found} to {job.output}: {error.strerror or error}") from error
    return name


def _mixture(job: LanguageJob) -> str:
    if not job.further:
        return ""
    names = ", ".join(path.name for path in job.further)
    return f"of {names} apart and mixed in linearly with a weight of {job.further_weight:g}, "


def _recipe(job: LanguageJob) -> str:
    if job.from_arpa is not None:
        return f"The n-grams are those of `{job.from_arpa.name}`."
    bound = (
        f"until the file has {job.max_bytes / 1e6:g} MB"
        if job.threshold is None
        else f"at a loss of {job.threshold:g} nats a word"
    )
    return (
        f"Words: those of the text that `{job.lexicon.name}` lists or that occur {job.min_count} times, and "
        "words of the dictionary that are inflections, derivations or compounds of these. "
        f"N-grams of {job.order} words, interpolated modified Kneser-Ney, {_mixture(job)}pruned by "
        f"relative entropy {bound}; scores in eight bits. Left out: every fiftieth sentence, and what shares "
        "six words in a row with the other texts measured on. Words that the dictionary lacks are said as a "
        "6-gram of graphones, trained on the dictionary without every fiftieth word, says them."
    )

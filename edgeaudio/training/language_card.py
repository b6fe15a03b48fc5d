"""The card of a language: ``README.md`` beside the packed file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeaudio.errors import OutputError
from edgeaudio.training.sentences import Source

__all__ = ["write_language_card"]


def write_language_card(
    folder: Path, results: Mapping[str, Any], sources: Sequence[Source], recipe: str, licence_file: str | None
) -> None:
    """Write what the language in `folder` is made of and what was measured.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    tests = {name: value for name, value in results.items() if isinstance(value, Mapping)}
    lines = [
        f"# {folder.resolve().name}",
        "",
        f"A lexicon of {results['words']} words and their n-grams of up to {results['order']} words, for "
        "recognisers of phones or characters: `edgeaudio caption --lm`.",
        "",
        "## Measured",
        "",
        "| text | words | perplexity | not in the lexicon |",
        "|---|---|---|---|",
        *(
            f"| {name} | {one['words']} | {one['perplexity']} | {one['oov']:.2%} |"
            for name, one in tests.items()
        ),
        "",
        "Perplexity counts the ends of sentences, and leaves out words that the lexicon lacks. None of these "
        "texts was learned from.",
        "",
        f"- `language.bin`: {results['bytes'] / 1e6:.1f} MB, {results['ngrams']} n-grams of two words and "
        "more",
        f"- `g2p.bin`: {results['g2p_bytes'] / 1e3:.0f} kB; of {results['pronounced_words']} words that it "
        f"never saw, {results['phone_error']:.1%} of the phones and {results['pronunciation_error']:.1%} of "
        "the words are not as in the dictionary",
        "",
        "## Recipe",
        "",
        recipe,
        *_material(sources),
        "",
        "## Licences",
        "",
        *([] if licence_file is None else [f"The pronunciations: [{licence_file}]({licence_file})."]),
        "The n-grams are statistics of the texts above, whose authors are to be named as their licences say.",
        "",
        "## What it cannot do",
        "",
        "- It writes no word that it does not list; add some for a session with `--hotword`.",
        "- English only: letters a to z and the apostrophe.",
        "- It expects what its texts are about, much read prose and requests to assistants.",
    ]
    path = folder / "README.md"
    try:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def _material(sources: Sequence[Source]) -> list[str]:
    if not sources:
        return []
    return [
        "",
        "## Made from",
        "",
        "| text | licence | sentences | words |",
        "|---|---|---|---|",
        *(f"| {one.name} | {one.licence} | {one.sentences} | {one.words} |" for one in sources),
    ]

"""``edgeaudio train language``: make a lexicon with a language model from text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from edgeaudio.cli.common import Number, json_option, log_level_option, print_json, size
from edgeaudio.cli.progress import progress_bar

__all__ = ["language"]

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("texts", metavar="[TEXT]...", nargs=-1, type=_FILE)
@click.option("--lexicon", required=True, type=_FILE, help="Dictionary in CMUdict's form, plain or .gz.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the new language; names it, too.",
)
@click.option(
    "--order", type=click.IntRange(1, 5), default=3, show_default=True, help="Words of the longest n-grams."
)
@click.option(
    "--max-size",
    type=size,
    default="8MB",
    show_default=True,
    help="Of language.bin: n-grams are pruned until it fits.",
)
@click.option(
    "--prune",
    "threshold",
    type=Number(min=0, max=1),
    help="Prune what changes less than so many nats a word, instead; 0 keeps all.",
)
@click.option(
    "--min-count",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="How often a word must occur that the dictionary lacks.",
)
@click.option(
    "--further",
    multiple=True,
    type=_FILE,
    help="Text of another kind, such as books: learned apart and mixed in. Repeatable.",
)
@click.option(
    "--further-weight",
    type=Number(0, 1, min_open=True, max_open=True),
    default=0.5,
    show_default=True,
    help="How much --further counts, however long it is.",
)
@click.option(
    "--exclude",
    "excluded",
    multiple=True,
    type=_FILE,
    help="Text or manifest to measure on: what shares six words in a row with it is left out. Repeatable.",
)
@click.option("--arpa", type=_FILE, help="Write the n-grams as an ARPA file, too.")
@click.option("--from-arpa", type=_FILE, help="Take the n-grams from an ARPA file; no TEXT then.")
@json_option("Print the results as one JSON object.")
@log_level_option
def language(*, as_json: bool, max_size: int, **options: Any) -> None:
    """A lexicon with an n-gram language model.

    TEXT holds whole sentences on each line, or is a table (.tsv) with a column "text"; either may be
    packed with gzip. Words that the dictionary lacks get phones from a small model, which is learned
    from the dictionary and stored beside the language.
    """
    from edgeaudio.training.language import LanguageJob, train_language

    job = LanguageJob(max_bytes=max_size, **options)
    with progress_bar("training") as bar:

        def tell(line: str) -> None:
            print(line, file=sys.stderr, flush=True)

        results = train_language(job, tell, lambda done: bar(round(100 * done), 100))
    if as_json:
        print_json(results)
        return
    click.echo(f"wrote {job.output}")
    for name, value in results.items():
        click.echo(f"  {name}: {value}")

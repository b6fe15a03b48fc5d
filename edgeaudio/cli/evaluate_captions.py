"""``edgeaudio evaluate captions``: what a recogniser writes down, against what was said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeaudio.cli.common import json_option, log_level_option, print_json, print_table
from edgeaudio.cli.listening import settle_profile
from edgeaudio.cli.progress import progress_bar
from edgeaudio.cli.recognition import (
    RecognizerOptions,
    check_recognizer,
    load_recognizer,
    recognizer_options,
)
from edgeaudio.cli.startup import load_numba

if TYPE_CHECKING:
    from edgeaudio.evaluation.captions import CaptionsResult

__all__ = ["captions"]


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path))
@recognizer_options
@click.option("--split", help="Only the recordings of this split.")
@click.option("--limit", type=click.IntRange(min=1), help="At most this many recordings, evenly spread.")
@click.option(
    "--speaker-column",
    metavar="NAME",
    default="speaker",
    show_default=True,
    help="Column that tells who speaks, for the interval.",
)
@click.option(
    "--times",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="When words are spoken, from edgeaudio label --align, for the delays.",
)
@click.option("--paced", is_flag=True, help="Play everything in real time; delays then include computing.")
@click.option(
    "--errors",
    "n_errors",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="How many of the commonest errors are listed.",
)
@json_option("Print one JSON object: wer, cer, interval, substitutions, deletions, insertions, words, …")
@log_level_option
def captions(
    *,
    manifest: Path,
    split: str | None,
    limit: int | None,
    speaker_column: str,
    times: Path | None,
    paced: bool,
    n_errors: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Word errors, character errors and delays.

    The column text says what is spoken. Case, punctuation and the way of writing numbers do not count.
    Each recording is streamed from a fresh state, with quiet behind it.
    """
    load_numba()
    from edgeaudio.evaluation.captions import evaluate_captions
    from edgeaudio.evaluation.commands import select_rows
    from edgeaudio.evaluation.manifest import read_manifest

    chosen = RecognizerOptions(**options)
    check_recognizer(chosen)
    rows = read_manifest(manifest, require=["text"], speaker_column=speaker_column)
    rows = select_rows(rows, split=split, limit=limit)
    understand = None
    if chosen.grammar is not None:
        from edgeaudio.decoding.grammar import Grammar

        understand = Grammar.read(chosen.grammar).understand
    word_times = None
    if times is not None:
        from edgeaudio.evaluation.word_times import read_word_times

        word_times = read_word_times(times)
    recognizer = load_recognizer(chosen, settle_profile(chosen.profile))
    with progress_bar("evaluating") as progress:
        result = evaluate_captions(
            rows, recognizer, understand=understand, times=word_times, paced=paced, progress=progress
        )
    if as_json:
        print_json(result.to_json())
    else:
        _print(result, n_errors)


def _print(result: CaptionsResult, n_errors: int) -> None:
    low, high = result.interval
    speakers = len({clip.speaker for clip in result.clips})
    click.echo(
        f"word errors       {100 * result.wer:.2f} %  (95 % interval {100 * low:.2f} to {100 * high:.2f} %)\n"
        f"                  {result.substitutions} substitutions, {result.deletions} deletions, "
        f"{result.insertions} insertions, {result.words} words\n"
        f"character errors  {100 * result.cer:.2f} %\n"
        f"recordings        {len(result.clips)}, {speakers} speakers, {result.heard_s / 60:.1f} min\n"
        f"real-time factor  {result.real_time_factor:.4f}"
    )
    delays = result.delays
    for name, delays_s in (
        ("word delay", delays.words_s),
        ("first word delay", delays.first_words_s),
        ("final delay", delays.finals_s),
    ):
        _print_delay(name, delays_s)
    click.echo(f"confidences       wrong by {100 * result.confidence_error:.1f} points on average")
    if result.has_grammar:
        _print_orders(result)
    _print_mistakes(result, n_errors)


def _print_orders(result: CaptionsResult) -> None:
    from edgeaudio.evaluation.intervals import wilson_interval

    (right, given), (false, others) = result.orders, result.false_orders
    if given:
        low, high = wilson_interval(right, given)
        click.echo(
            f"orders right      {right} of {given}, {100 * right / given:.1f} %  "
            f"(95 % interval {100 * low:.1f} to {100 * high:.1f} %)"
        )
    if others:
        click.echo(f"false orders      {false}, in {others} recordings of something else")


def _print_delay(name: str, delays_s: list[float]) -> None:
    from edgeaudio.evaluation.delays import summarised

    found = summarised(delays_s)
    if found is not None:
        click.echo(f"{name:<18}median {found['median']:.2f} s, 95 % within {found['p95']:.2f} s")


def _print_mistakes(result: CaptionsResult, n_errors: int) -> None:
    commonest = sorted(result.mistakes.items(), key=lambda item: (-item[1], item[0]))[:n_errors]
    if commonest:
        click.echo()
        none = "(nothing)"
        rows = [(said or none, written or none, str(times)) for (said, written), times in commonest]
        print_table(("said", "written", "times"), rows)

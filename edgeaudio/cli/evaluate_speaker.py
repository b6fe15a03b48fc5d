"""``edgeaudio evaluate speaker``: how well voices are told apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeaudio.cli.common import json_option, log_level_option, print_json, print_table, seconds
from edgeaudio.cli.listening import backend_option, profile_option, settle_profile
from edgeaudio.cli.progress import progress_bar
from edgeaudio.cli.startup import load_numba

if TYPE_CHECKING:
    from edgeaudio.backends import Runtime
    from edgeaudio.evaluation.speaker import SpeakerResult

__all__ = ["speaker"]


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option("--model", default="speaker-small", show_default=True, help="Name or folder of the model.")
@click.option(
    "--seconds",
    "piece_s",
    type=seconds(0.5, 60),
    default=3.0,
    show_default=True,
    metavar="SECONDS",
    help="Length of the pieces that are compared.",
)
@click.option("--split", help="Only the recordings of this split.")
@click.option("--speaker-column", default="speaker", show_default=True, help="Column that tells who speaks.")
@profile_option
@backend_option
@json_option("Print one JSON object: eer, interval, threshold, trials, speakers, curve, calibration, …")
@log_level_option
def speaker(
    *,
    manifest: Path,
    model: str,
    piece_s: float,
    split: str | None,
    speaker_column: str,
    backend: Runtime | None,
    profile: str | None,
    as_json: bool,
) -> None:
    """Equal error rate of pairs of recordings, by one person and by two.

    Recordings are cut into pieces, short ones of one person are joined. All pairs of one person's pieces are
    compared, from different recordings where there are any, and up to 100,000 of different people's.
    """
    load_numba()
    from edgeaudio.evaluation.manifest import read_manifest
    from edgeaudio.evaluation.speaker import evaluate_speaker
    from edgeaudio.tasks.speaker import Speaker

    rows = read_manifest(
        manifest, require=["speaker"] * (speaker_column == "speaker"), speaker_column=speaker_column
    )
    rows = [row for row in rows if split is None or row.split == split]
    ear = Speaker.load(model, backend=backend, profile=settle_profile(profile))
    with progress_bar("evaluating") as progress:
        result = evaluate_speaker(rows, ear, seconds=piece_s, progress=progress)
    if as_json:
        print_json(result.to_json())
    else:
        _print(result)


def _print(result: SpeakerResult) -> None:
    low, high = result.interval
    click.echo(
        f"equal error rate {result.eer:.1%}  (95 % interval {low:.1%} to {high:.1%}, by speakers), at "
        f"a score of {result.threshold:.2f}\n"
        f"{result.speakers} speakers, {result.pieces} pieces of {result.seconds:g} s; {result.same} pairs of "
        f"one speaker, {result.different} of two"
    )
    if result.one_recording:
        click.echo(
            f"{result.one_recording} of the pairs of one speaker are from one recording, for want of "
            "another: that flatters"
        )
    click.echo()
    rows = [
        (
            f"{point['promised']:.1%}",
            f"{point['threshold']:.2f}",
            f"{point['false_accepts']:.1%}",
            f"{point['interval'][0]:.1%} to {point['interval'][1]:.1%}",
            f"{point['misses']:.1%}",
        )
        for point in result.promised
    ]
    print_table(("promised false accepts", "from score", "found", "95 %", "misses"), rows)
    click.echo()
    points = [
        (f"{point['false_accepts']:.1%}", f"{point['misses']:.1%}", f"{point['threshold']:.2f}")
        for point in result.curve
    ]
    print_table(("false accepts", "misses", "from score"), points)

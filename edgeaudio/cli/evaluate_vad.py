"""``edgeaudio evaluate vad``: how well a model tells when somebody speaks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeaudio.cli.common import json_option, log_level_option, print_json, print_table, probability
from edgeaudio.cli.listening import backend_option, profile_option, settle_profile
from edgeaudio.cli.progress import progress_bar
from edgeaudio.cli.startup import load_numba
from edgeaudio.errors import UsageError

if TYPE_CHECKING:
    from edgeaudio.backends import Runtime
    from edgeaudio.evaluation.vad import VadResult

__all__ = ["vad"]

_PATH = click.Path(path_type=Path)
_LEAST_DB, _MOST_DB = -30.0, 60.0


def _ratios(text: str) -> tuple[float, ...]:
    """Read numbers such as ``0,5,10``, as an option's type."""
    try:
        ratios = tuple(dict.fromkeys(float(part) for part in text.split(",")))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of numbers such as 0,5,10.") from None
    if not all(_LEAST_DB <= ratio <= _MOST_DB for ratio in ratios):
        raise click.BadParameter(f"{text}: a ratio lies between {_LEAST_DB:g} and {_MOST_DB:g} dB.")
    return ratios


@dataclass(frozen=True, kw_only=True)
class _Options:
    manifest: Path
    model: str
    threshold: float | None
    noise: Path | None
    snrs_db: tuple[float, ...]
    labels: tuple[str, ...]
    whole: bool
    split: str | None
    limit: int | None
    backend: Runtime | None
    profile: str | None
    as_json: bool


@click.command()
@click.argument("manifest", type=_PATH)
@click.option("--model", default="vad-small", show_default=True, help="Name or folder of the model.")
@click.option("--threshold", type=probability, help="Instead of the model's own.")
@click.option("--noise", type=_PATH, metavar="PATH", help="Noise to mix in: a MANIFEST, or a folder.")
@click.option(
    "--snr",
    "snrs_db",
    type=_ratios,
    metavar="DB[,DB...]",
    help="How many dB the noise lies below the speech; each recording is heard with each.",
)
@click.option(
    "--label", "labels", multiple=True, help="A label that means speech; repeatable.  [default: speech]"
)
@click.option("--whole", is_flag=True, help="Recordings of speech are speech from beginning to end.")
@click.option("--split", help="Only the recordings of this split.")
@click.option("--limit", type=click.IntRange(min=1), help="At most this many recordings, evenly spread.")
@profile_option
@backend_option
@json_option("Print one JSON object: roc, auc, miss_rate, false_alarm_rate, start_delay_s, end_delay_s, …")
@log_level_option
def vad(**options: Any) -> None:
    """Misses against false alarms per frame of 10 ms, delays and cost.

    The label speech:START-END[,START-END...] says when somebody speaks, in seconds. A recording with the
    label speech, or with a text, is taken for clean: its speech is found by its level, and noise can be
    mixed in. Every other recording is no speech. Each is streamed from a fresh state.
    """
    options["snrs_db"] = options["snrs_db"] or ()
    _run(_Options(**options))


def _run(options: _Options) -> None:
    if bool(options.snrs_db) != (options.noise is not None):
        given, missing = ("--noise", "--snr") if not options.snrs_db else ("--snr", "--noise")
        raise UsageError(f"{given} without {missing}", hint="Mixing needs both: --snr 0,5,10 --noise PATH")
    load_numba()
    from edgeaudio.evaluation.commands import select_rows
    from edgeaudio.evaluation.manifest import read_manifest
    from edgeaudio.evaluation.mixing import NoiseBank
    from edgeaudio.evaluation.speech import SPEECH, excerpts, is_speech, read_noise
    from edgeaudio.evaluation.vad import evaluate_vad
    from edgeaudio.tasks.vad import Vad

    rows = select_rows(read_manifest(options.manifest), split=options.split, limit=options.limit)
    labels = options.labels or (SPEECH,)
    n_speech = sum(is_speech(row, labels) for row in rows)  # before anything is heard: whether all say it
    noise = None if options.noise is None else NoiseBank(read_noise(options.noise))
    detector = Vad.load(
        options.model,
        backend=options.backend,
        threshold=options.threshold,
        profile=settle_profile(options.profile),
    )
    with progress_bar("evaluating") as progress:
        result = evaluate_vad(
            excerpts(rows, noise=noise, snrs_db=options.snrs_db, labels=labels, whole=options.whole),
            detector,
            total=len(rows) + n_speech * max(0, len(options.snrs_db) - 1),
            progress=progress,
        )
    if options.as_json:
        print_json(result.to_json())
    else:
        _print(result)


def _print(result: VadResult) -> None:
    scores = result.all.scores
    (low_miss, high_miss), (low_false, high_false) = scores.intervals
    low, high = scores.auc_interval
    told_miss, told_false = result.all.told
    frontend_ms, vad_ms = result.cost_ms
    click.echo(
        f"area under curve  {scores.auc:.4f}  (95 % interval {low:.4f} to {high:.4f})\n"
        f"at threshold      {result.threshold:.3g}\n"
        f"  missed          {100 * scores.miss_rate:.2f} %  "
        f"(95 % interval {100 * low_miss:.2f} to {100 * high_miss:.2f} %) "
        f"of {scores.n_speech} frames of speech\n"
        f"  false alarms    {100 * scores.false_alarm_rate:.2f} %  "
        f"(95 % interval {100 * low_false:.2f} to {100 * high_false:.2f} %) of {scores.n_other} others\n"
        f"as told           {100 * told_miss:.2f} % missed, {100 * told_false:.2f} % false alarms, "
        f"with pre-roll and hangover"
    )
    delays = result.all.delays.to_json()
    for name, key in (("start told", "start_delay_s"), ("end told", "end_delay_s")):
        if delays[key] is not None:
            found = delays[key]
            click.echo(f"{name:<18}median {found['median']:.2f} s late, 95 % within {found['p95']:.2f} s")
    click.echo(
        f"never told        {delays['missed_stretches']} of {delays['stretches']} stretches of speech\n"
        f"cost              {vad_ms:.2f} ms a second of audio, and {frontend_ms:.2f} ms for its frames\n"
        f"recordings        {result.clips}, {result.heard_s / 60:.1f} min; probabilities judged "
        f"{1000 * result.shift_s:.0f} ms earlier than told\n"
    )
    if result.by_snr:
        _print_ratios(result)
    step = max(1, len(result.roc) // 20)
    rows = [
        [f"{point.threshold:.4f}", f"{100 * point.miss_rate:.2f}", f"{100 * point.false_alarm_rate:.2f}"]
        for point in result.roc[::step]
    ]
    print_table(["threshold", "missed %", "false alarms %"], rows)


def _print_ratios(result: VadResult) -> None:
    rows = []
    for snr_db, condition in result.by_snr.items():
        scores = condition.scores
        start = condition.delays.to_json()["start_delay_s"]
        rows.append(
            [
                f"{snr_db:g}",
                f"{scores.auc:.4f}",
                f"{100 * scores.miss_rate:.2f}",
                f"{100 * scores.false_alarm_rate:.2f}",
                f"{100 * scores.miss_rate_at(0.05):.2f}",
                "-" if start is None else f"{start['median']:.2f}",
            ]
        )
    print_table(["SNR dB", "area", "missed %", "false alarms %", "missed % at 5 %", "start late s"], rows)
    click.echo()

"""Mix, hear, and write the tables."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edgeaudio.backends import Runtime
from edgeaudio.models.catalogue import find_model
from edgeaudio.training.corpus import find_manifests
from edgeaudio.training.vad_material import SNRS_DB, HeldOut, held_out
from tools.benchmarks.report import Table, circumstances
from tools.speech_activity.detectors import Detector, Ours, Silero, WebRtc
from tools.speech_activity.measuring import Heard, best_shift, cost_ms, delays_ms, hear, threshold_at

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "sounds.md"
BEGIN, END = "<!-- bench:vad -->", "<!-- /bench:vad -->"
HEADING = "## Speech activity"
MODES = range(4)
DELAYS_AT_DB = 10.0

Condition = float | None
Scored = Mapping[str, Mapping[Condition, Heard]]


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(prog="tools/compare-vad", description=__doc__)
    parser.add_argument("recordings", type=Path, help="folder of corpora, each with a manifest.tsv")
    parser.add_argument("--model", default="vad-small", help="name or folder of the VAD")
    parser.add_argument("--runtime", choices=("litert", "onnx"), default="litert")
    parser.add_argument("--silero", type=Path, help="its ONNX file; default: the one of the pip package")
    parser.add_argument("--count", type=int, default=120, help="recordings of held-out speakers")
    parser.add_argument("--write-docs", action="store_true", help=f"replace the tables of {DOCUMENT.name}")
    options = parser.parse_args()
    material = held_out(find_manifests(options.recordings), "test", count=options.count)
    detectors = _detectors(options.model, options.runtime, options.silero)
    heard: dict[str, dict[Condition, Heard]] = {detector.name: {} for detector in detectors}
    for snr_db in (None, *SNRS_DB):
        excerpts = material.excerpts(snr_db)
        for detector in detectors:
            heard[detector.name][snr_db] = hear(detector, excerpts)
            print(f"{_named(snr_db)}: {detector.name} has heard {len(excerpts)} recordings", file=sys.stderr)
    command = f"tools/compare-vad RECORDINGS{' --write-docs' if options.write_docs else ''}"
    text = _page(detectors, heard, material, command)
    print(text)
    if options.write_docs:
        _write(text)


def _detectors(model: str, runtime: Runtime, silero: Path | None) -> list[Detector]:
    return [Ours(find_model(model), runtime), Silero(silero), *(WebRtc(mode) for mode in MODES)]


def _page(detectors: Sequence[Detector], heard: Scored, material: HeldOut, command: str) -> str:
    shifts = {name: best_shift(list(own.values())) for name, own in heard.items()}
    speakers = len({row.speaker or row.origin for row in material.speech})
    graded = [detector.name for detector in detectors if not isinstance(detector, WebRtc)]
    versions = circumstances(["silero-vad", "webrtcvad-wheels", "onnxruntime", "ai-edge-litert", "numpy"])
    late = ", ".join(f"{name} {10 * shift} ms" for name, shift in shifts.items())
    return "\n\n".join(
        (
            f"{versions}.",
            f"    {shlex.join(shlex.split(command))}",
            f"{len(material.speech)} recordings of {speakers} speakers that `vad-small` never heard, with "
            "1 s of quiet before and 1.5 s after each, as they are and mixed with "
            f"{len(material.noise)} recordings of noise that it never heard, the same for all. "
            "The truth is the level of the clean recording (`speech_by_level`), in frames of 10 ms; pauses "
            "below 0.2 s are speech, what is neither clearly loud nor clearly quiet is not judged. Answers "
            "are judged as if each came a constant time "
            f"earlier, the one that is best for its detector: {late}. Intervals are 95 %, by a bootstrap "
            "over speakers. Other speakers of the same corpora trained `vad-small`, and no other detector "
            "as far as is known: that favours it, as it would favour who trains on recordings like yours.",
            _areas(graded, heard, shifts).markdown(),
            _misses(graded, heard, shifts).markdown(),
            _costs(detectors, graded, heard, shifts).markdown(),
        )
    )


def _areas(names: Sequence[str], heard: Scored, shifts: Mapping[str, int]) -> Table:
    rows = []
    for snr_db in (None, *SNRS_DB):
        scores = [heard[name][snr_db].score(shifts[name]) for name in names]
        cells = [f"{s.auc:.3f} ({s.auc_interval[0]:.3f} to {s.auc_interval[1]:.3f})" for s in scores]
        rows.append([_named(snr_db), *cells])
    return Table(["noise", *names], rows, "Area under the curve of hits against false alarms")


def _misses(names: Sequence[str], heard: Scored, shifts: Mapping[str, int]) -> Table:
    rows = []
    for snr_db in (None, *SNRS_DB):
        scores = {name: heard[name][snr_db].score(shifts[name]) for name in heard}
        for mode in MODES:
            theirs = scores[f"webrtcvad mode {mode}"]
            at = theirs.false_alarm_rate
            cells = [
                f"{_percent(scores[name].miss_rate_at(at), scores[name].miss_interval_at(at))}"
                for name in names
            ]
            rows.append(
                [
                    _named(snr_db),
                    str(mode),
                    f"{at:.1%}",
                    _percent(theirs.miss_rate, theirs.intervals[0]),
                    *cells,
                ]
            )
    columns = ["noise", "mode", "false alarms", "webrtcvad misses", *(f"{name} misses" for name in names)]
    return Table(columns, rows, "Frames of speech missed, at the false alarms of each mode of webrtcvad")


def _costs(
    detectors: Sequence[Detector], graded: Sequence[str], heard: Scored, shifts: Mapping[str, int]
) -> Table:
    alarms = heard["webrtcvad mode 3"][DELAYS_AT_DB].score(shifts["webrtcvad mode 3"]).false_alarm_rate
    rows = []
    for detector in detectors:
        if detector.name not in (*graded, "webrtcvad mode 3"):
            continue
        own, threshold = heard[detector.name][DELAYS_AT_DB], 0.5
        if detector.name in graded:
            threshold = threshold_at(own.score(shifts[detector.name]), alarms)
        starts, ends, missed = delays_ms(own, threshold)
        n = len(starts) + missed
        size = f"{detector.kilobytes:,.0f} kB" if isinstance(detector, (Ours, Silero)) else ""
        rows.append(
            [
                detector.name,
                f"{cost_ms(detector):.2f} ms",
                size,
                _spread(starts),
                _spread(ends),
                f"{missed} of {n}",
            ]
        )
    columns = [
        "",
        "CPU per second of audio, one thread",
        "size",
        "beginning known after",
        "end known after",
        "not noticed",
    ]
    return Table(
        columns,
        rows,
        f"Cost, and delay at {DELAYS_AT_DB:g} dB and {alarms:.1%} false alarms: median and 90 %",
    )


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    return f"{np.median(values):.0f}, {np.quantile(values, 0.9):.0f} ms"


def _percent(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.1%} ({interval[0]:.1%} to {interval[1]:.1%})"


def _named(snr_db: Condition) -> str:
    return "none" if snr_db is None else f"{snr_db:g} dB"


def _write(text: str) -> None:
    """Replace the section's tables, leaving what people wrote around them."""
    page = DOCUMENT.read_text(encoding="utf-8")
    section = f"{BEGIN}\n{text}\n{END}"
    if BEGIN in page:
        before, rest = page.split(BEGIN, 1)
        page = before + section + rest.split(END, 1)[1]
    else:
        page = page.replace(HEADING, f"{HEADING}\n\n{section}", 1)
    DOCUMENT.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()

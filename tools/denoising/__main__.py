"""``tools/measure-denoise``: measure everything in one run, and write the tables."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from edgeaudio.dsp.denoise import STRENGTHS, Denoiser
from edgeaudio.errors import EdgeAudioError
from edgeaudio.evaluation.intervals import poisson_interval
from tools.benchmarks.report import Table, circumstances, write_between
from tools.denoising import measuring
from tools.denoising.material import KINDS, Material
from tools.denoising.measuring import ALARMS_SNR_DB, SETTINGS, SNRS_DB, Errors

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "sounds.md"
_PACKAGES = ["numba", "numpy", "ai-edge-litert"]


def main() -> int:
    """Run the tool; the exit code is edgeaudio's own for what went wrong."""
    options = _parse(sys.argv[1:])
    try:
        material = Material.read(options.recordings, options.share, development=options.development)
        text = _page(material, ["RECORDINGS", *sys.argv[2:]])
    except EdgeAudioError as error:
        print(f"tools/measure-denoise: {error}", file=sys.stderr)
        return error.exit_code
    print(text)
    if options.write_docs:
        write_between(DOCUMENT, "measure-denoise", text)
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/measure-denoise", description=__doc__)
    parser.add_argument("recordings", type=Path, help="folder of corpora, each with a manifest.tsv")
    parser.add_argument("--share", type=float, default=1.0, help="of the recordings; less is faster")
    parser.add_argument(
        "--development", action="store_true", help="other speakers and noises: those to choose settings with"
    )
    parser.add_argument("--write-docs", action="store_true", help="replace the tables of docs/sounds.md")
    return parser.parse_args(arguments)


def _page(material: Material, arguments: Sequence[str]) -> str:
    tables = [
        _task(f"**{what}**", measure, material)
        for what, measure in (
            (
                f"commands-12: recordings taken for something else, of {len(material.commands)}",
                measuring.commands,
            ),
            (f'wake-computer: "computer" missed, of {len(material.wake)} recordings', measuring.wake),
            (f"captions-en-small: word errors in {len(material.captions)} recordings", measuring.captions),
        )
    ]
    tables += [_alarms(material), _signal(material)]
    denoiser = Denoiser()
    costs = ", ".join(f"{measuring.cost(rate):.2f} ms at {rate / 1000:g} kHz" for rate in (16_000, 48_000))
    cost = (
        f"Cost: {costs} of CPU time a second of sound and channel. Delay: up to {denoiser.delay_samples + 1} "
        f"samples, {1000 * (denoiser.delay_samples + 1) / denoiser.sample_rate_hz:g} ms."
    )
    noises = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in KINDS.items())
    heading = f"{circumstances(_PACKAGES)}\n\n    tools/measure-denoise {shlex.join(arguments)}"
    return "\n\n".join([heading, f"Noises, in turns: {noises}.", *tables, cost])


def _task(title: str, measure: Callable[[Material, float | None], Errors], material: Material) -> str:
    """Rates without noise reduction, and how each strength changes them."""
    rows = []
    for snr_db in SNRS_DB:
        print(f"{title.strip('*')}: {_name(snr_db)}", file=sys.stderr, flush=True)
        errors = measure(material, snr_db)
        rows.append([_name(snr_db), _percent(errors.rate("off")), *map(_change(errors), STRENGTHS)])
    return f"{title}\n\n" + Table(["noise", "without", *STRENGTHS], rows).markdown()


def _alarms(material: Material) -> str:
    rows = []
    for snr_db in (None, ALARMS_SNR_DB):
        print(f"false alarms: {_name(snr_db)}", file=sys.stderr, flush=True)
        found = measuring.alarms(material, snr_db)
        cells = []
        for setting in SETTINGS:
            alarms = found[setting]
            low, high = poisson_interval(alarms.count, alarms.hours)
            cells.append(f"{alarms.count} ({low:.1f} to {high:.1f} an hour)")
        rows.append([_name(snr_db), *cells])
    title = f"**wake-computer: false alarms in {found['off'].hours:.2f} h of other speech**"
    return f"{title}\n\n" + Table(["noise", "without", *STRENGTHS], rows).markdown()


def _signal(material: Material) -> str:
    print("signal", file=sys.stderr, flush=True)
    snrs_db = [snr_db for snr_db in SNRS_DB if snr_db is not None]
    rows = [
        [
            noise,
            *(f"{np.mean(measuring.signal(material, noise, snr_db, 'medium')):+.1f}" for snr_db in snrs_db),
        ]
        for noise in material.noises
    ]
    left = ", ".join(
        f"{strength} {np.mean(measuring.spoilt(material, strength)):.0f} dB" for strength in STRENGTHS
    )
    title = (
        "**Signal: scale-invariant signal-to-distortion ratio, better by so many dB with medium strength; "
        f"speech without noise keeps {left}**"
    )
    return f"{title}\n\n" + Table(["noise", *map(_name, snrs_db)], rows).markdown()


def _name(snr_db: float | None) -> str:
    return "none" if snr_db is None else f"{snr_db:g} dB"


def _percent(rate: tuple[float, float, float]) -> str:
    value, low, high = (100 * part for part in rate)
    return f"{value:.1f}% ({low:.1f} to {high:.1f})"


def _change(errors: Errors) -> Callable[[str], str]:
    def cell(strength: str) -> str:
        value, low, high = (100 * part for part in errors.change(strength))
        text = f"{value:+.1f} ({low:+.1f} to {high:+.1f})"
        return f"**{text}**" if low > 0 or high < 0 else text

    return cell


if __name__ == "__main__":
    sys.exit(main())

"""A wake word: from a phrase to a bundle with a threshold for a wanted rate of false alarms."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from edgeaudio.errors import UsageError
from edgeaudio.models.manifest import Decision
from edgeaudio.training.attempt import attempt
from edgeaudio.training.build import (
    Reporter,
    SpotterJob,
    Trained,
    bundle_posteriors,
    finish,
    train_network,
    write_model,
)
from edgeaudio.training.card_results import PICTURE
from edgeaudio.training.collecting import collect, surround
from edgeaudio.training.commands import SILENT_LABELS, bands_plan
from edgeaudio.training.det import write_det
from edgeaudio.training.export import Agreement
from edgeaudio.training.hearing import posteriors
from edgeaudio.training.loop import LoopSettings
from edgeaudio.training.nets import SpotterNet
from edgeaudio.training.place import check_place, place
from edgeaudio.training.refit import bundles_by_half, refitted
from edgeaudio.training.spotter import SpotterPlan, gather
from edgeaudio.training.streams import Recipe
from edgeaudio.training.wake_tests import NOISY, REAL, SYNTHETIC, YOURS, Hear, Heard, WakeTests, rate, share

__all__ = ["RECIPE", "train_wake"]

RATES_PER_HOUR = (0.1, 0.5, 1.0, 2.0, 5.0)
"""Of false alarms, in the card's table."""

# Most of the time nobody says the word: seven tenths of what is heard must not fire. Few real
# recordings of a wake word exist, so that synthetic ones are the rule.
RECIPE = Recipe(word=0.3, confusable=0.4, speech=0.25, pause=0.05, synthetic=0.75)


def train_wake(
    job: SpotterJob, reporter: Reporter, *, phrase: str, false_alarms_per_hour: float = 0.5
) -> dict[str, Any]:
    """Train a model of one word or phrase, choose its threshold, and write its bundle.

    Parameters
    ----------
    phrase : str
        Letters and spaces, as a synthesiser should say it.
    false_alarms_per_hour : float
        Wanted on held-out speech and sounds, which are all taken to be in earshot all the time.

    Returns
    -------
    dict
        What was measured, as in the bundle's ``results``.

    Raises
    ------
    UsageError
        Something stands where the model goes, or nobody is left to measure on.
    """
    started = time.monotonic()
    check_place(job.output, overwrite=job.overwrite)
    words, labels = (phrase,), (phrase, *SILENT_LABELS)
    recordings = collect(job, words, reporter)
    material = gather(
        recordings.real, recordings.synthetic, words, word_share=0.5, other_share=0.2, strict=True
    )
    material = surround(material, job.seed)
    tests = WakeTests.of(material, words)
    _check_tests(tests)
    spec, net_spec = bands_plan(len(labels), width=48)
    base = Decision(threshold=0.5, smoothing_ms=100.0, refractory_ms=1000.0, silent_labels=SILENT_LABELS)

    def measure(net: SpotterNet) -> str:
        heard = tests.hear(lambda audio: posteriors(net, audio, spec), labels, base)
        return _so_far(heard, tests, false_alarms_per_hour)

    with attempt(job, material, (spec, net_spec, RECIPE), reporter, started=started) as paced:
        loop = LoopSettings(
            paced.minutes, job.epochs, false_alarm_weight=2.0, threads=job.threads, device=job.device
        )
        plan = SpotterPlan(spec, net_spec, RECIPE, loop, seed=job.seed, workers=job.workers)
        net = train_network(paced, plan, material, reporter, measure)
        learned = refitted(paced, plan, material, net, reporter)
        sources = recordings.ingredients(learned.material.used)
        trained = Trained(learned.net, plan, learned.material, labels, base, sources)

        says = f'Wakes at "{phrase}".'

        def write(path: Path, net: SpotterNet) -> Agreement:
            return write_model(path, replace(trained, net=net), kind="wake", description=says)

        def heard_by(hear: Hear, halves: Sequence[Hear]) -> Heard:
            """People are heard by who did not learn from them."""
            heard = tests.hear(hear, labels, base)
            if not learned.late:
                return heard
            first, second = (tests.hear(ear, labels, base) for ear in halves)
            return heard.with_people((first, second), tests.in_first_half, false_alarms_per_hour)

        with place(job.output) as folder:
            reporter.progress("measuring", 0.0)
            agreement = write(folder, learned.net)
            before, *halves = (partial(posteriors, n, spec=spec) for n in (learned.net, *learned.for_half))
            float_heard = heard_by(before, halves)
            reporter.progress("measuring", 0.3)
            # The threshold is that of the model as it will run: quantized.
            with bundles_by_half(folder, learned, write) as bundles:
                after, *halves = (partial(bundle_posteriors, path) for path in (folder, *bundles))
                heard = heard_by(after, halves)
            reporter.progress("measuring", 0.9)
            threshold = heard.threshold_for(false_alarms_per_hour)
            results = _results(tests, heard, threshold, false_alarms_per_hour)
            results["measured with"] |= learned.facts(paced.refit)
            results["int8"] = _int8(heard, float_heard, threshold, agreement)
            write_det(heard.curve(), heard.hours, folder / PICTURE, title=f'"{phrase}"')
            decision = msgspec.structs.replace(base, threshold=threshold)
            results = finish(folder, paced, trained, results, decision=decision)
    return results


def _check_tests(tests: WakeTests) -> None:
    if not tests.positives:
        raise UsageError(
            "nobody who says the word is left to measure on",
            hint="Install a further speech engine, or give more recordings: --positives DIR, --data DIR",
        )
    if not tests.hours:
        raise UsageError(
            "no recording of other speech is left to count false alarms in",
            hint="Give recordings of other speech and noise: --negatives DIR, --data DIR",
        )


def _best_group(heard: Heard) -> str:
    """The recordings that tell most about people: real ones, where there are enough."""
    enough = [name for name in (REAL, YOURS) if name in heard.peaks and len(heard.peaks[name]) >= 20]
    return enough[0] if enough else SYNTHETIC if SYNTHETIC in heard.peaks else next(iter(heard.peaks))


def _so_far(heard: Heard, tests: WakeTests, per_hour: float) -> str:
    threshold = heard.threshold_for(per_hour)
    group = _best_group(heard)
    counts = heard.missed(threshold)
    n, noisy, of = counts[group], counts[group + NOISY], len(heard.peaks[group])
    made = " (made sentences)" if tests.least else ""
    return (
        f"missed {n / of:.1%}, in noise {noisy / of:.1%} of {of} {group}"
        f" at {heard.false_alarms(threshold) / heard.hours:.1f} false alarms an hour{made}"
    )


def _results(tests: WakeTests, heard: Heard, threshold: float, per_hour: float) -> dict[str, Any]:
    what = "made sentences" if tests.least else "held-out recordings"
    results: dict[str, Any] = {
        f"false alarms per hour, {what}": rate(heard.crosswise(per_hour), heard.hours),
        **{
            f"missed, {name}": {"missed": n, **share(n, len(heard.peaks[name]))}
            for name, n in heard.missed(threshold).items()
        },
    }
    if len(heard.confusable):
        n = heard.woken(threshold)
        results[f"woken by near words, {SYNTHETIC}"] = {"woken": n, **share(n, len(heard.confusable))}
    for suffix in ("", NOISY) if SYNTHETIC in heard.peaks else ():
        peaks = heard.peaks[SYNTHETIC + suffix]
        for voice in sorted(set(tests.voices)):
            own = [peak for peak, of in zip(peaks, tests.voices, strict=True) if of == voice]
            n = sum(bool(peak < threshold) for peak in own)
            results[f"missed, {voice}{suffix}"] = {"missed": n, **share(n, len(own))}
    results["operating points"] = [heard.operating_point(wanted) for wanted in RATES_PER_HOUR]
    results["measured with"] = {
        "other speech": tests.negatives_are,
        "noise": "held-out recordings" if tests.noise_is_real else "made: hum, fans, babble",
    }
    return results


def _int8(heard: Heard, float_heard: Heard, threshold: float, agreement: Agreement) -> dict[str, Any]:
    """What eight bits cost: the same threshold before and after."""
    group = _best_group(heard) + NOISY
    return {
        "recordings": f"{len(heard.peaks[group])} {group}",
        "missed before": float_heard.missed(threshold)[group],
        "missed after": heard.missed(threshold)[group],
        "false alarms before": float_heard.false_alarms(threshold),
        "false alarms after": heard.false_alarms(threshold),
        "frames with the same best label": round(agreement.same_best, 4),
        "signal to rounding noise in dB": round(agreement.snr_db, 1),
    }

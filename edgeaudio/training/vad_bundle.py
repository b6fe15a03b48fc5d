"""From a trained VAD to its bundle: export, threshold, what was measured, and the card."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from edgeaudio.backends import installed_runtimes, open_graph
from edgeaudio.evaluation.speech import Excerpt
from edgeaudio.evaluation.speech_frames import FrameScores, on_frames, score_frames
from edgeaudio.evaluation.vad import Condition, VadResult, evaluate_vad
from edgeaudio.frontend import Frontend
from edgeaudio.models.bundle import load_bundle
from edgeaudio.models.manifest import Activity
from edgeaudio.tasks.stepping import Stepper
from edgeaudio.tasks.vad import Vad
from edgeaudio.training.batches import offline_frames
from edgeaudio.training.build import Reporter
from edgeaudio.training.captions import FRONTEND
from edgeaudio.training.card import ingredients
from edgeaudio.training.costs import origin
from edgeaudio.training.export import Agreement, update_manifest, write_bundle
from edgeaudio.training.graph import Conv
from edgeaudio.training.nets import SpotterNet, to_graph
from edgeaudio.training.vad_card import write_vad_card
from edgeaudio.training.vad_material import SNRS_DB, HeldOut, VadMaterial, held_out
from edgeaudio.types import SAMPLE_RATE_HZ, Frames

if TYPE_CHECKING:
    from edgeaudio.training.vad import VadJob

__all__ = ["finish", "score_net", "write_model"]

STEP_FRAMES = 8
"""80 ms at once: runtimes spend more on dispatch than on arithmetic."""
FALSE_ALARM_RATE = 0.05
"""Of the frames of development mixtures of all ratios together: where the threshold lies."""
ACTIVITY = Activity(threshold=0.5, release_ratio=0.6, least_on_ms=60.0, least_off_ms=300.0, pre_roll_ms=200.0)
NO_NOISE = "no noise"

_CHOSEN_ON, _MEASURED_ON = 60, 120
_COST_S, _PASSES = 20, 5


def write_model(
    folder: Path, net: SpotterNet, calibration: Sequence[Frames], material: VadMaterial
) -> Agreement:
    """Export the bundle to a folder, whose name is the model's."""
    return write_bundle(
        to_graph(net),
        calibration,
        out_dir=folder,
        name=folder.name,
        kind="vad",
        version="1.0.0",
        description="Tells when somebody speaks, also in noise.",
        licence="Apache-2.0",
        data=sorted(material.used),
        frontend=FRONTEND,
        labels=("speech",),
        activation="sigmoid",
        step_frames=STEP_FRAMES,
        activity=ACTIVITY,
    )


def score_net(net: SpotterNet, excerpts: Sequence[Excerpt], late_s: float) -> FrameScores:
    """Judge what a network in training hears, as if each answer had been given ``late_s`` earlier."""
    frontend, stride = Frontend(FRONTEND), net.spec.stride
    device = next(net.parameters()).device
    late = round(late_s * SAMPLE_RATE_HZ / FRONTEND.hop_samples)
    heard: list[NDArray[np.float32]] = []
    net.eval()
    for excerpt in excerpts:
        frames = torch.from_numpy(offline_frames(frontend, excerpt.samples))
        with torch.no_grad():
            whole = frames[None, : len(frames) // stride * stride].to(device)
            posteriors = net(whole)[0, :, 0].sigmoid().cpu().numpy()
        period_s = stride * FRONTEND.hop_samples / SAMPLE_RATE_HZ
        heard.append(on_frames(posteriors, period_s=period_s, n_frames=len(excerpt.truth))[late:])
    truths, groups = [e.truth for e in excerpts], [e.group for e in excerpts]
    return score_frames(heard, truths, groups=groups)


def finish(
    folder: Path,
    job: VadJob,
    net: SpotterNet,
    material: VadMaterial,
    *,
    manifests: Sequence[Path],
    agreement: Agreement,
    reporter: Reporter,
) -> dict[str, Any]:
    """Choose the threshold, measure the bundle, and write its card; return the results."""
    reporter.progress("choosing the threshold", 0.0)
    development = held_out(manifests, "development", count=_CHOSEN_ON)
    chosen_on = [excerpt for snr_db in (None, *SNRS_DB) for excerpt in development.excerpts(snr_db)]
    roc = evaluate_vad(chosen_on, Vad.load(folder)).all.scores.roc
    threshold = next(point.threshold for point in roc if point.false_alarm_rate <= FALSE_ALARM_RATE)
    # A network that tells nothing apart has no good threshold, but the manifest needs one.
    threshold = round(min(max(threshold, 0.05), 0.95), 3)
    update_manifest(folder, activity=msgspec.structs.replace(ACTIVITY, threshold=threshold))
    results = _measured(folder, net, held_out(manifests, "test", count=_MEASURED_ON), reporter)
    results["threshold"] = {
        "threshold": threshold,
        "chosen": f"at {FALSE_ALARM_RATE:.0%} false alarms on development speakers, all ratios together",
    }
    convs = [node for node in to_graph(net).nodes if isinstance(node, Conv)]
    results["int8"] = {"signal to rounding noise in dB": round(agreement.snr_db, 1)}
    results["costs"] = _costs(folder, sum(conv.weight.size + conv.bias.size for conv in convs))
    results["training"] = origin(job.device, job.threads, job.minutes, job.epochs, job.seed)
    update_manifest(folder, results=results)
    write_vad_card(folder, ingredients(manifests, material.used))
    return results


def _measured(folder: Path, net: SpotterNet, test: HeldOut, reporter: Reporter) -> dict[str, Any]:
    """Rates and delays of the bundle as it runs, and the curve of the float network, at each ratio."""
    rows: dict[str, Any] = {}
    result: VadResult | None = None
    for done, snr_db in enumerate((None, *SNRS_DB)):
        reporter.progress("measuring", done / (1 + len(SNRS_DB)))
        excerpts = test.excerpts(snr_db)
        result = evaluate_vad(excerpts, Vad.load(folder))
        name = NO_NOISE if snr_db is None else f"{snr_db:g} dB"
        rows[name] = _row(result.all, score_net(net, excerpts, result.shift_s).auc)
        reporter.tell(f"{name}: {rows[name]}")
    speakers = len({row.speaker or row.origin for row in test.speech})
    return {
        "speech in noise": rows,
        "measured with": {
            "speech": f"{len(test.speech)} recordings of {speakers} held-out speakers",
            "noise": f"{len(test.noise)} held-out recordings",
        },
    }


def _row(found: Condition, auc_float: float) -> dict[str, Any]:
    missed, alarmed = found.scores.intervals
    delays = found.delays.to_json()
    return {
        "auc": round(found.scores.auc, 4),
        "auc_interval": _rounded(found.scores.auc_interval),
        "auc_float": round(auc_float, 4),
        "miss_rate": round(found.scores.miss_rate, 4),
        "miss_interval": _rounded(missed),
        "false_alarm_rate": round(found.scores.false_alarm_rate, 4),
        "false_alarm_interval": _rounded(alarmed),
        **delays,
    }


def _rounded(interval: tuple[float, float]) -> list[float]:
    return [round(edge, 4) for edge in interval]


def _costs(folder: Path, parameters: int) -> dict[str, Any]:
    """Parameters, size of each graph, and processor time of frontend and network, each by itself.

    The least of some passes over the same noise: other work on the machine only ever adds.
    """
    bundle = load_bundle(folder)
    audio = 0.1 * np.random.default_rng(0).standard_normal(_COST_S * SAMPLE_RATE_HZ).astype(np.float32)
    frontend = Frontend(bundle.manifest.frontend)
    frames = offline_frames(frontend, audio)
    found: dict[str, Any] = {
        "parameters": parameters,
        "frontend, CPU ms per second of audio": _least_ms(lambda: offline_frames(frontend, audio)),
    }
    for runtime in installed_runtimes():
        if bundle.has_graph(runtime):
            stepper = Stepper(open_graph(bundle, runtime), bundle.manifest)
            found[runtime] = {
                "kilobytes": round(len(bundle.read_graph(runtime)) / 1000),
                "network, CPU ms per second of audio": _network_ms(stepper, frames),
            }
    return found


def _network_ms(stepper: Stepper, frames: Frames) -> float:
    def hear() -> None:
        for _ in stepper.steps(frames):
            pass

    return _least_ms(hear)


def _least_ms(work: Callable[[], object]) -> float:
    """Milliseconds of processor time for a second of audio."""
    times_s = []
    for _ in range(_PASSES):
        started = time.process_time()
        work()
        times_s.append(time.process_time() - started)
    return round(1000 * min(times_s) / _COST_S, 3)

"""Write a model bundle, or refuse: every form of the network must give the same answer.

Five forms are compared on calibration frames: the offline float and integer references (numpy), and
the float ONNX, quantized ONNX and quantized TFLite graphs as they will run, streaming.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from edgeaudio.backends import Runtime, Signature, StateSpec, open_graph, stream_embedded
from edgeaudio.errors import ModelError, OutputError
from edgeaudio.frontend import FrontendSpec
from edgeaudio.models.bundle import load_bundle
from edgeaudio.models.manifest import (
    MANIFEST_FILE,
    Activity,
    Captions,
    Decision,
    GraphFile,
    Graphs,
    ModelManifest,
    StateFill,
    StateTensor,
    Voices,
    dump_manifest,
    load_manifest,
)
from edgeaudio.models.verify import verify
from edgeaudio.training.export_onnx import export_onnx_float, export_onnx_int8
from edgeaudio.training.export_tflite import export_tflite
from edgeaudio.training.graph import Conv, Graph
from edgeaudio.training.quantize import QuantizedGraph, quantize, run_float, run_int8
from edgeaudio.types import Frames

__all__ = ["Agreement", "update_manifest", "write_bundle"]

FLOAT_TOLERANCE = 1e-4
"""Float forms may differ by this part of the largest logit: float32 sums in another order."""
MAX_STEPS = 2.01
"""Quantized forms may differ by two steps of the logits: runtimes break ties of rounding as they
like, and a step inside the network can become another one outside. (Most give none at all.)"""
MAX_EMBEDDING_STEPS = 8.01
"""The same for embeddings. They have more values, and many terms each, that a tie can fall into: 3 steps were
seen. Another tensor's values would differ by far more."""
MIN_SNR_DB = 20.0
"""Logits against what quantization adds to them, as powers. Trained networks reach 34 to 37 dB, where
99 of 100 frames keep their best label; far less means that a channel runs away or is clipped."""

_PROBE_FRAMES = 2000
_GOLDEN_FRAMES = 400


@dataclass(frozen=True)
class Agreement:
    """How far the forms of one network differ.

    ``onnx_steps`` and ``tflite_steps`` are in quantization steps of the logits against the integer
    reference, ``embedding_steps`` in those of the embedding, the larger of both runtimes';
    ``float_difference`` is a part of the largest logit; ``same_best`` is the part of output frames in
    which float and int8 give the same label the highest logit.
    """

    float_difference: float
    onnx_steps: float
    tflite_steps: float
    embedding_steps: float
    snr_db: float
    same_best: float


def write_bundle(
    graph: Graph,
    calibration: Sequence[Frames],
    *,
    out_dir: Path,
    name: str,
    kind: Literal["commands", "wake", "captions", "sounds", "vad", "speaker"],
    version: str,
    description: str,
    licence: str,
    data: Sequence[str],
    frontend: FrontendSpec,
    labels: Sequence[str],
    activation: Literal["softmax", "sigmoid"],
    step_frames: int,
    decision: Decision | None = None,
    captions: Captions | None = None,
    activity: Activity | None = None,
    voices: Voices | None = None,
    results: Mapping[str, Any] | None = None,
    min_snr_db: float = MIN_SNR_DB,
    inner: Mapping[str, Sequence[Frames]] | None = None,
) -> Agreement:
    """Quantize, export, compare and write ``out_dir``; the fields are those of ``model.yaml``.

    Parameters
    ----------
    graph : Graph
        The trained network.
    calibration : sequence of arrays [n, n_bands] float32
        Feature sequences like those it will hear, quiet ones included; 2,000 to 20,000 frames.
    out_dir : Path
        The bundle's folder. If it exists, it is replaced in one move; other files in it, such as
        the card, are kept.
    min_snr_db : float
        Least ratio of float logits to what quantization adds to them.
    inner : mapping, optional
        Calibration of tensors inside, see :func:`~edgeaudio.training.quantize.quantize`.

    Returns
    -------
    Agreement
        What was measured before anything was written.

    Raises
    ------
    ModelError
        If the forms disagree, or the fields do not fit the graph. Nothing is written.
    OutputError
        If the folder cannot be written.
    """
    _check_fit(graph, frontend, labels, step_frames)
    quantized = quantize(graph, calibration, inner)
    files = {
        "model.onnx": export_onnx_int8(quantized, step_frames),
        "model.tflite": export_tflite(quantized, step_frames),
    }
    probe = _probe(calibration, step_frames)
    agreement = _compare(graph, quantized, files, probe, step_frames)
    _judge(agreement, min_snr_db)
    manifest = ModelManifest(
        name=name,
        kind=kind,
        version=version,
        description=description,
        licence=licence,
        data=tuple(data),
        frontend=frontend,
        frontend_fingerprint=frontend.fingerprint,
        labels=tuple(labels),
        activation=activation,
        step_frames=step_frames,
        stride=graph.stride,
        receptive_field_frames=graph.receptive_field_frames,
        graphs=Graphs(
            onnx=GraphFile(file="model.onnx", sha256=hashlib.sha256(files["model.onnx"]).hexdigest()),
            tflite=GraphFile(file="model.tflite", sha256=hashlib.sha256(files["model.tflite"]).hexdigest()),
        ),
        states=_states(quantized),
        embedding_width=graph.embedding_width,
        decision=decision,
        captions=captions,
        activity=activity,
        voices=voices,
        results=dict(results or {}),
    )
    _write(Path(out_dir), manifest, files, quantized, probe[:_GOLDEN_FRAMES])
    return agreement


def update_manifest(folder: Path, **changes: Any) -> ModelManifest:
    """Replace fields of a bundle's ``model.yaml``, such as ``decision`` or ``results``, in one move."""
    path = Path(folder) / MANIFEST_FILE
    manifest = msgspec.structs.replace(load_manifest(path), **changes)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".update-") as scratch:
        draft = Path(scratch) / MANIFEST_FILE
        draft.write_text(dump_manifest(manifest), encoding="utf-8")
        load_manifest(draft)
        draft.replace(path)
    return manifest


def _check_fit(graph: Graph, frontend: FrontendSpec, labels: Sequence[str], step_frames: int) -> None:
    if step_frames < 1 or step_frames % graph.stride:
        raise ModelError(f"step_frames {step_frames} is no multiple of the graph's stride {graph.stride}")
    if frontend.n_bands != graph.n_bands:
        raise ModelError(f"the frontend makes {frontend.n_bands} bands, the graph wants {graph.n_bands}")
    n_labels = graph.shapes(step_frames)[graph.logits][0]
    if n_labels != len(labels):
        raise ModelError(f"the graph has {n_labels} outputs for {len(labels)} labels")


def _probe(calibration: Sequence[Frames], step_frames: int) -> Frames:
    """Stretches of evenly chosen sequences, joined, in whole steps."""
    chosen = [calibration[i] for i in np.unique(np.linspace(0, len(calibration) - 1, 20).astype(int))]
    share = max(step_frames, _PROBE_FRAMES // len(chosen))
    joined = np.concatenate([np.asarray(x[:share], np.float32) for x in chosen])
    whole = len(joined) // step_frames * step_frames
    if whole == 0:
        raise ModelError(f"calibration holds fewer than step_frames = {step_frames} frames")
    return joined[:whole]


@dataclass(frozen=True)
class _Unwritten:
    """A graph that exists only in memory, for :func:`edgeaudio.backends.open_graph`."""

    data: bytes
    shape: Signature
    name: str = "export"

    def signature(self, runtime: Runtime) -> Signature:
        return self.shape

    def read_graph(self, runtime: Runtime) -> bytes:
        return self.data

    def has_graph(self, runtime: Runtime) -> bool:
        return True


def _compare(
    graph: Graph,
    quantized: QuantizedGraph,
    files: Mapping[str, bytes],
    probe: Frames,
    step_frames: int,
) -> Agreement:
    def run(data: bytes, runtime: Runtime, fills: Mapping[str, float]) -> tuple[Frames, Frames]:
        n_labels, n_out = graph.shapes(step_frames)[graph.logits]
        states = tuple(StateSpec(name, fill) for name, fill in fills.items())
        shape = Signature(step_frames, graph.n_bands, n_out, n_labels, states, graph.embedding_width)
        return stream_embedded(open_graph(_Unwritten(data, shape), runtime), probe)

    real, integer = run_float(graph, probe), run_int8(quantized, probe)
    states = _states(quantized)
    rest = {f"state_{n.output}": graph.input_mean if n.source == graph.input else 0.0 for n in _convs(graph)}
    float_onnx, _ = run(export_onnx_float(graph, step_frames), "onnx", rest)
    onnx, onnx_embedding = run(files["model.onnx"], "onnx", {s.name: s.fill.onnx for s in states})
    tflite, tflite_embedding = run(files["model.tflite"], "litert", {s.name: s.fill.tflite for s in states})
    step = quantized.scales[graph.logits].scale
    strayed = 0.0
    if graph.embedding is not None:
        embedding = run_int8(quantized, probe, "embedding")
        worst = max(float(np.abs(found - embedding).max()) for found in (onnx_embedding, tflite_embedding))
        strayed = worst / quantized.scales[graph.embedding].scale
    noise = float(np.mean((integer - real) ** 2.0))
    return Agreement(
        float_difference=float(np.abs(float_onnx - real).max() / max(float(np.abs(real).max()), 1e-9)),
        onnx_steps=float(np.abs(onnx - integer).max() / step),
        tflite_steps=float(np.abs(tflite - integer).max() / step),
        embedding_steps=strayed,
        snr_db=float(10 * np.log10(max(float(np.var(real)), 1e-20) / max(noise, 1e-20))),
        same_best=float(np.mean(integer.argmax(axis=1) == real.argmax(axis=1))),
    )


def _judge(found: Agreement, min_snr_db: float) -> None:
    # "not <=" also refuses NaN.
    problems = []
    if not found.float_difference <= FLOAT_TOLERANCE:
        problems.append(f"streaming float ONNX is off by {found.float_difference:.2g} of the largest logit")
    if not found.onnx_steps <= MAX_STEPS:
        problems.append(f"int8 ONNX is off by {found.onnx_steps:.1f} quantization steps")
    if not found.tflite_steps <= MAX_STEPS:
        problems.append(f"int8 TFLite is off by {found.tflite_steps:.1f} quantization steps")
    if not found.embedding_steps <= MAX_EMBEDDING_STEPS:
        problems.append(f"embeddings in int8 are off by {found.embedding_steps:.1f} quantization steps")
    if not found.snr_db >= min_snr_db:
        problems.append(f"int8 leaves {found.snr_db:.1f} dB between logits and rounding noise")
    if problems:
        raise ModelError(
            f"the bundle was not written: {'; '.join(problems)}",
            hint="Calibrate with more varied frames; train with weight decay, so that no channel runs away.",
        )


def _convs(graph: Graph) -> list[Conv]:
    """Return the convolutions that have a state, in order."""
    return [node for node in graph.nodes if isinstance(node, Conv) and node.context]


def _states(quantized: QuantizedGraph) -> tuple[StateTensor, ...]:
    rests = [(f"state_{n.output}", quantized.scales[n.source].rest) for n in _convs(quantized.graph)]
    return tuple(StateTensor(name=n, fill=StateFill(onnx=q + 128, tflite=q)) for n, q in rests)


def _write(
    out_dir: Path,
    manifest: ModelManifest,
    files: Mapping[str, bytes],
    quantized: QuantizedGraph,
    golden: Frames,
) -> None:
    draft = None
    try:
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=out_dir.parent, prefix=f".{out_dir.name}-"))
        draft.chmod(0o755)  # mkdtemp's 0700 would hide an installed model from other users
        for name, content in files.items():
            (draft / name).write_bytes(content)
        np.savez(draft / manifest.golden, **_golden(quantized, golden))
        (draft / MANIFEST_FILE).write_text(dump_manifest(manifest), encoding="utf-8")
        failed = [check for check in verify(load_bundle(draft)) if check.outcome == "failed"]
        if failed:
            raise ModelError(f"the bundle was not written: {failed[0].name}: {failed[0].detail}")
        _swap(draft, out_dir)
    except OSError as exc:
        raise OutputError(f"cannot write {out_dir}: {exc.strerror or exc}") from exc
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)


def _golden(quantized: QuantizedGraph, frames: Frames) -> dict[str, Any]:
    """What the bundle's golden file holds, see :class:`edgeaudio.models.bundle.Golden`."""
    arrays: dict[str, Any] = {"frames": frames}
    limits = {"logits": ("tolerance", MAX_STEPS), "embedding": ("embedding_tolerance", MAX_EMBEDDING_STEPS)}
    for output, source in quantized.graph.outputs.items():
        name, steps = limits[output]
        arrays[output] = run_int8(quantized, frames, output)
        arrays[name] = np.float64(steps * quantized.scales[source].scale)
    return arrays


def _swap(draft: Path, out_dir: Path) -> None:
    """Put ``draft`` in the place of ``out_dir``, whose other files it takes over."""
    if not out_dir.exists():
        draft.rename(out_dir)
        return
    for path in out_dir.iterdir():
        if path.is_file() and not (draft / path.name).exists():
            shutil.copy2(path, draft)
    with tempfile.TemporaryDirectory(dir=out_dir.parent, prefix=f".{out_dir.name}-old-") as old:
        out_dir.rename(Path(old) / "bundle")
        draft.rename(out_dir)

"""QuartzNet as edgeaudio runs it: its features, its letters, and the bundle of such a network."""

from __future__ import annotations

import hashlib
import os
import shutil
import string
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from edgeaudio.backends import open_graph, stream
from edgeaudio.errors import ModelError, OutputError
from edgeaudio.frontend import FrontendSpec
from edgeaudio.models.bundle import load_bundle
from edgeaudio.models.convnet import Conv, ConvNet
from edgeaudio.models.convnet_onnx import Geometry, write_stream
from edgeaudio.models.manifest import (
    MANIFEST_FILE,
    Captions,
    GraphFile,
    Graphs,
    ModelManifest,
    Search,
    StateFill,
    StateTensor,
    Window,
    dump_manifest,
)

__all__ = ["FRONTEND", "LABELS", "SOURCE_FILE", "WINDOW", "check_alphabet", "write_model"]

FRONTEND = FrontendSpec(
    window_ms=20.0,
    n_mels=64,
    fmin_hz=0.0,
    mel_scale="slaney",
    mel_norm="slaney",
    window="hann",
    remove_dc=False,
    log_floor=2.0**-24,
    log_offset=2.0**-24,
)
"""NeMo's features, but for the frames that reach beyond the ends of a recording."""

LABELS = (" ", *string.ascii_lowercase, "'", "<blank>")
SOURCE_FILE = "source.onnx"
"""The file as it was, in the bundle of what was made of it: for other windows, and for children."""
WINDOW = Window(left_ms=0.0, chunk_ms=640.0, lookahead_ms=1280.0)

_CAPTIONS = Captions(
    units="characters",
    language="english-small",
    # On 70 words whose ends people marked, letters began 0.20 s behind and ended 0.05 s behind.
    delay_ms=80.0,
    normalise="running",
    search=Search(beam_width=100, beam_score=12.0, language_weight=0.6, word_bonus=1.0),
    # Fitted to 2,565 words of readers, learners of English and speech in noise, 88 % of them right.
    confidence_scale=3.6,
    confidence_offset=3.0,
)
_GRAPH = "model.onnx"
_LICENCE = (
    "Not settled, ask its publisher: NVIDIA's maintainers called this network's first checkpoints 'NGC terms "
    "of use' (NeMo issue 1661) and most later ones CC-BY-4.0 (NeMo issue 5037); Open Model Zoo names "
    "Apache-2.0, the licence of NeMo's source code. Added by this machine's user, no part of edgeaudio."
)
_DATA = (
    "what its publisher trained it on; of QuartzNet15x5Base-En NVIDIA says: LibriSpeech, Common Voice, WSJ, "
    "Fisher, Switchboard, NSC Singapore English",
)


def write_model(
    net: ConvNet,
    folder: Path,
    *,
    description: str,
    window: Window,
    files: Mapping[str, bytes] | None = None,
    results: dict[str, Any] | None = None,
) -> None:
    """Write a network with QuartzNet's features and letters as the bundle `folder`, or nothing at all.

    Raises
    ------
    ModelError
        If it answers with what is no number.
    OutputError
        If the bundle cannot be written, or there is something already.
    """
    hop_ms = FRONTEND.hop_ms
    geometry = Geometry(
        *(round(ms / hop_ms) for ms in (window.left_ms, window.chunk_ms, window.lookahead_ms))
    )
    graph = write_stream(net, geometry, signed=_signed_products_are_exact())
    manifest = ModelManifest(
        name=folder.name,
        kind="captions",
        version="1",
        description=description,
        licence=_LICENCE,
        data=_DATA,
        frontend=FRONTEND,
        frontend_fingerprint=FRONTEND.fingerprint,
        labels=LABELS,
        activation="softmax",
        step_frames=geometry.chunk,
        stride=net.stride,
        receptive_field_frames=_receptive_field(net),
        graphs=Graphs(onnx=GraphFile(file=_GRAPH, sha256=hashlib.sha256(graph.data).hexdigest())),
        states=tuple(_state(name, fill) for name, fill in graph.states.items()),
        captions=replace(_CAPTIONS, window=window),
        results=results or {},
    )
    _write(folder, manifest, {**(files or {}), _GRAPH: graph.data}, exact=not net.scales)


def check_alphabet(net: ConvNet, what: str) -> None:
    """Refuse, with a `ModelError`, a network for other features or letters than English QuartzNet's."""
    found = (net.n_bands, net.n_labels, net.stride)
    if found != (FRONTEND.n_bands, len(LABELS), 2):
        raise ModelError(
            f"{what} takes {found[0]} bands, has {found[1]} labels and a stride of {found[2]}; "
            "English QuartzNet has 64, 29 and 2",
            hint="Only networks with English letters, a space, an apostrophe and a blank can be added.",
        )


def _receptive_field(net: ConvNet) -> int:
    """Input frames up to its own that an output frame can depend on."""
    step, reach = 1, 0
    for node in net.nodes:
        if isinstance(node, Conv):
            reach += node.radius * step
            step *= node.stride
    return reach + 1


def _state(name: str, fill: int) -> StateTensor:
    # There is no TFLite graph; its number keeps to the rule that int8 is uint8 minus 128.
    return StateTensor(name=name, fill=StateFill(onnx=fill, tflite=fill - 128))


def _signed_products_are_exact() -> bool:
    """Say whether this processor sums products of uint8 and int8 without saturating.

    x86 processors do from VNNI on. Where it cannot be told, no harm is done by saying no.
    """
    if os.uname().machine not in {"x86_64", "i686", "AMD64"}:
        return True
    try:
        return "vnni" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _write(folder: Path, manifest: ModelManifest, files: Mapping[str, bytes], *, exact: bool) -> None:
    draft = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # A name that begins with a dot is no model's; what is broken off is found nowhere.
        draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{manifest.name}-"))
        draft.chmod(0o755)  # mkdtemp's 0700 would hide it from other users
        for name, content in files.items():
            (draft / name).write_bytes(content)
        (draft / MANIFEST_FILE).write_text(dump_manifest(manifest), encoding="utf-8")
        _write_golden(draft, manifest, exact=exact)
        draft.rename(folder)
    except OSError as exc:
        raise OutputError(f"cannot write {folder}: {exc.strerror or exc}") from exc
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)


def _write_golden(draft: Path, manifest: ModelManifest, *, exact: bool) -> None:
    """Let the network answer to noise, so that it can be checked on other machines and days."""
    bundle = load_bundle(draft)
    shape = (2 * manifest.run_frames, manifest.frontend.n_bands)
    frames = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    logits = stream(open_graph(bundle, "onnx"), frames)
    if not np.isfinite(logits).all():
        raise ModelError("the network answers to noise with what is no number: its weights are damaged")
    # Logits go to 30. Float sums differ in their order, integer ones can also round to the other side.
    tolerance = 1e-2 if exact else 1.0
    np.savez(draft / manifest.golden, frames=frames, logits=logits, tolerance=np.float64(tolerance))

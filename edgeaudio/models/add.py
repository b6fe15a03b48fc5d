"""Take in a network of another project: check it, make it run on a stream, and keep it for its user."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import string
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgeaudio.backends import open_graph, stream
from edgeaudio.config import read_bounded
from edgeaudio.errors import ModelError, OutputError, UsageError
from edgeaudio.frontend import FrontendSpec
from edgeaudio.models.bundle import MAX_GRAPH_BYTES, load_bundle
from edgeaudio.models.catalogue import find_model, list_models, search_path
from edgeaudio.models.convnet import Add, Conv, ConvNet, read_convnet
from edgeaudio.models.convnet_onnx import Geometry, StreamGraph, write_stream
from edgeaudio.models.fetch import fetch
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

__all__ = ["QUARTZNET_FRONTEND", "QUARTZNET_LABELS", "add_model", "read_source", "remove_model"]

QUARTZNET_FRONTEND = FrontendSpec(
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

QUARTZNET_LABELS = (" ", *string.ascii_lowercase, "'", "<blank>")
CHUNK_MS, LOOKAHEAD_MS = 640.0, 1280.0

_LICENCE = (
    "Not settled, ask its publisher: NVIDIA's maintainers called this network's first checkpoints 'NGC terms "
    "of use' (NeMo issue 1661) and most later ones CC-BY-4.0 (NeMo issue 5037); Open Model Zoo names "
    "Apache-2.0, the licence of NeMo's source code. Added by this machine's user, no part of edgeaudio."
)
_DATA = (
    "what its publisher trained it on; of QuartzNet15x5Base-En NVIDIA says: LibriSpeech, Common Voice, WSJ, "
    "Fisher, Switchboard, NSC Singapore English",
)


def read_source(
    source: str, *, sha256: str | None = None, report: Callable[[int, int], None] | None = None
) -> bytes:
    """Read the file that is to be added.

    Parameters
    ----------
    source : str
        A path or an https address.
    sha256 : str, optional
        The checksum it must have, in hexadecimal.
    report : callable, optional
        Told how many bytes of how many a download has brought.

    Raises
    ------
    UsageError
        If `sha256` is no checksum, or `source` an address of another kind.
    InputError
        If the download fails.
    ModelError
        If the file cannot be read, is too large, or has another checksum.
    """
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise UsageError(f"--sha256 {sha256!r} is no SHA-256 checksum: 64 hexadecimal digits")
    if "://" in source:
        data = fetch(source, max_bytes=MAX_GRAPH_BYTES, report=report)
    else:
        path = Path(os.path.expanduser(source))  # noqa: PTH111 - leaves ~ as it is without a home
        data = read_bounded(path, MAX_GRAPH_BYTES, ModelError)
    digest = hashlib.sha256(data).hexdigest()
    if sha256 is not None and digest != sha256.lower():
        raise ModelError(
            f"{source}: its SHA-256 is {digest}, not the one asked for",
            hint="It is another version, or damaged, or was exchanged. Nothing was added.",
        )
    return data


def add_model(
    data: bytes,
    what: str,
    *,
    name: str | None = None,
    left_ms: float = 0.0,
    lookahead_ms: float = LOOKAHEAD_MS,
) -> Path:
    """Write the bundle of a network of centred convolutions to the user's folder of models.

    Parameters
    ----------
    data : bytes
        Its ONNX file.
    what : str
        How messages call it; its file name becomes the model's where the network is not recognised.
    name : str, optional
        The model's name; ``quartznet15x5-en`` for this network.
    left_ms : float
        How much of the past each run sees again. 0 has every convolution remember it instead.
    lookahead_ms : float
        How much of what follows a chunk is heard before it is decided about.

    Returns
    -------
    Path
        The new model's folder.

    Raises
    ------
    ModelError
        If the file is not such a network, or there is a model of this name.
    MissingDependencyError
        If onnx or onnxruntime is not installed.
    OutputError
        If the bundle cannot be written.
    """
    net = read_convnet(data, what)
    _check_alphabet(net, what)
    name = _name(net, what) if name is None else name
    _check_name(name)
    window = Window(left_ms=left_ms, chunk_ms=CHUNK_MS, lookahead_ms=lookahead_ms)
    hop_ms = QUARTZNET_FRONTEND.hop_ms
    left, chunk, lookahead = (round(ms / hop_ms) for ms in (left_ms, CHUNK_MS, lookahead_ms))
    graph = write_stream(net, Geometry(left, chunk, lookahead), signed=_signed_products_are_exact())
    manifest = ModelManifest(
        name=name,
        kind="captions",
        version="1",
        description=f"QuartzNet, English letters, {net.n_parameters / 1e6:.1f} M parameters; "
        f"from a file with SHA-256 {hashlib.sha256(data).hexdigest()}",
        licence=_LICENCE,
        data=_DATA,
        frontend=QUARTZNET_FRONTEND,
        frontend_fingerprint=QUARTZNET_FRONTEND.fingerprint,
        labels=QUARTZNET_LABELS,
        activation="softmax",
        step_frames=chunk,
        stride=net.stride,
        receptive_field_frames=_receptive_field(net),
        graphs=Graphs(onnx=GraphFile(file="model.onnx", sha256=hashlib.sha256(graph.data).hexdigest())),
        states=tuple(_state(state, fill) for state, fill in graph.states.items()),
        captions=Captions(
            units="characters",
            language="english-small",
            normalise="running",
            window=window,
            search=Search(),
        ),
    )
    return _write(manifest, graph, net)


def remove_model(name: str) -> Path:
    """Delete a model that was added; returns the folder that is gone.

    Raises
    ------
    ModelError
        If there is no such model, or it is not in the user's folder.
    OutputError
        If it cannot be deleted.
    """
    folder = find_model(name)
    user = search_path()[-1]
    if folder.parent.resolve() != user.resolve():
        raise ModelError(f"model '{name}' was not added by you: it is in {folder.parent}")
    try:
        if folder.is_symlink():
            folder.unlink()
        else:
            shutil.rmtree(folder)
    except OSError as exc:
        raise OutputError(f"cannot remove {folder}: {exc.strerror or exc}") from exc
    return folder


def _check_alphabet(net: ConvNet, what: str) -> None:
    found = (net.n_bands, net.n_labels, net.stride)
    if found != (QUARTZNET_FRONTEND.n_bands, len(QUARTZNET_LABELS), 2):
        raise ModelError(
            f"{what} takes {found[0]} bands, has {found[1]} labels and a stride of {found[2]}; "
            "English QuartzNet has 64, 29 and 2",
            hint="Only networks with English letters, a space, an apostrophe and a blank can be added.",
        )


def _name(net: ConvNet, what: str) -> str:
    """Name a QuartzNet by its blocks and their convolutions, anything else by its file."""
    blocks = sum(isinstance(node, Add) for node in net.nodes)
    wide = sum(isinstance(node, Conv) and node.radius > 0 for node in net.nodes)
    # One such convolution comes before the blocks, one behind them.
    if blocks and wide > 2 and (wide - 2) % blocks == 0:
        return f"quartznet{blocks}x{(wide - 2) // blocks}-en"
    plain = re.sub(r"[^a-z0-9]+", "-", Path(what).stem.lower()).strip("-")
    return plain[:64] or "network"


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", name):
        raise UsageError(
            f"a model cannot be called {name!r}", hint="Lower-case letters, digits and hyphens, at most 64."
        )
    for entry in list_models():
        if entry.name == name:
            raise ModelError(
                f"there is a model '{name}' already, in {entry.path}",
                hint=f"Give another --name, or first: edgeaudio models remove {name}",
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


def _write(manifest: ModelManifest, graph: StreamGraph, net: ConvNet) -> Path:
    folder = search_path()[-1] / manifest.name
    draft = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # A name that begins with a dot is no model's; what is broken off is found nowhere.
        draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{manifest.name}-"))
        draft.chmod(0o755)  # mkdtemp's 0700 would hide it from other users
        (draft / "model.onnx").write_bytes(graph.data)
        (draft / MANIFEST_FILE).write_text(dump_manifest(manifest), encoding="utf-8")
        _write_golden(draft, manifest, exact=not net.scales)
        draft.rename(folder)
    except OSError as exc:
        raise OutputError(f"cannot write {folder}: {exc.strerror or exc}") from exc
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)
    return folder


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

"""Take in a network of another project: check it, make it run on a stream, and keep it for its user."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from edgeaudio.config import read_bounded
from edgeaudio.dsp.normalise import running_norm
from edgeaudio.errors import MissingDependencyError, ModelError, OutputError, UsageError
from edgeaudio.frontend import Frontend
from edgeaudio.models.bundle import MAX_GRAPH_BYTES
from edgeaudio.models.catalogue import find_model, list_models, search_path
from edgeaudio.models.convnet import Add, Conv, ConvNet
from edgeaudio.models.convnet_quantize import quantize_convnet
from edgeaudio.models.convnet_reader import read_convnet
from edgeaudio.models.fetch import fetch
from edgeaudio.models.manifest import Window
from edgeaudio.models.quartznet import FRONTEND, SOURCE_FILE, WINDOW, check_alphabet, write_model
from edgeaudio.types import Frames

__all__ = ["add_model", "read_source", "remove_model"]


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
    window: Window = WINDOW,
    keep_float: bool = False,
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
    window : Window, optional
        How it is run. With ``left_ms`` 0 every convolution remembers the past, else each run sees so
        much of it again.
    keep_float : bool
        Leave a network in float as it is. Else it is quantized, by what goes through it while it hears
        the bundled demo recording; one that is quantized already is always left as it is.

    Returns
    -------
    Path
        The new model's folder.

    Raises
    ------
    ModelError
        If the file is not such a network, or there is a model of this name.
    MissingDependencyError
        If onnx or onnxruntime is not installed, or soundfile where it is to be quantized.
    OutputError
        If the bundle cannot be written.
    """
    net = read_convnet(data, what)
    check_alphabet(net, what)
    name = _name(net, what) if name is None else name
    _check_name(name)
    if not net.scales and not keep_float:
        net = quantize_convnet(net, [_demo_frames()])
    digest = hashlib.sha256(data).hexdigest()
    form = "int8" if net.scales else "float"
    about = f"QuartzNet, English letters, {net.n_parameters / 1e6:.1f} M parameters, {form}; SHA-256 {digest}"
    folder = search_path()[-1] / name
    write_model(net, folder, description=about, window=window, files={SOURCE_FILE: data})
    return folder


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


def _demo_frames() -> Frames:
    """Features of the bundled demo: 20 s with a dozen words, silence and noise."""
    try:
        import soundfile
    except ImportError as exc:
        raise MissingDependencyError(
            "quantizing a float network needs the package soundfile",
            hint="pip install 'edgeaudio[models]', or keep it in float, four times slower, with --float.",
        ) from exc
    samples, _ = soundfile.read(Path(__file__).parents[1] / "assets" / "demo.flac", dtype="float32")
    frames = Frontend(FRONTEND).process(samples)
    mean, deviation = running_norm(frames)
    normalised: Frames = (frames - mean) / deviation
    return normalised


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

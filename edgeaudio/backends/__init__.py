"""Inference runtimes behind one small protocol; importing this imports none of them."""

from __future__ import annotations

from importlib.util import find_spec

from edgeaudio.backends.base import (
    GraphSource,
    Runtime,
    Signature,
    StateSpec,
    StreamingGraph,
    stream,
    stream_embedded,
)
from edgeaudio.errors import BackendError
from edgeaudio.profiles.choice import check_cores
from edgeaudio.profiles.profile import Profile

__all__ = [
    "RUNTIMES",
    "GraphSource",
    "Runtime",
    "Signature",
    "StateSpec",
    "StreamingGraph",
    "installed_runtimes",
    "open_graph",
    "pip_command",
    "stream",
    "stream_embedded",
]

RUNTIMES: tuple[Runtime, ...] = ("litert", "onnx")
"""In the order in which they are tried: LiteRT takes less than half of onnxruntime's time a step."""

_MODULES = {"litert": "ai_edge_litert", "onnx": "onnxruntime"}
_EXTRAS = {"litert": "tflite", "onnx": "onnx"}


def installed_runtimes() -> tuple[Runtime, ...]:
    """Return the runtimes whose packages are installed, the preferred one first."""
    return tuple(runtime for runtime in RUNTIMES if find_spec(_MODULES[runtime]) is not None)


def pip_command(runtime: Runtime) -> str:
    """Return the command that installs ``runtime``."""
    return f"pip install 'edgeaudio[{_EXTRAS[runtime]}]'"


def open_graph(
    source: GraphSource, backend: Runtime | None = None, profile: Profile | None = None
) -> StreamingGraph:
    """Open a model's graph, check its signature and put its states at rest.

    Parameters
    ----------
    source : GraphSource
        A loaded :class:`edgeaudio.models.bundle.Bundle`.
    backend : {"litert", "onnx"}, optional
        The runtime to use: used or refused, never replaced. None takes the first of the profile's
        that is installed and for which the model has a graph.
    profile : Profile, optional
        Says with which runtime, providers, precision and threads; default `Profile()`.

    Raises
    ------
    BackendError
        If a runtime or provider is absent; the hint is the command that installs it.
    ConfigError
        If the profile asks for more threads than this process has cores.
    ModelError
        If the model has no graph for it, or the graph is not what the manifest says.
    """
    profile = profile or Profile()
    check_cores(profile)
    runtime = backend or _preferred(source, profile)
    if runtime not in RUNTIMES:
        raise BackendError(f"unknown backend '{runtime}'", hint=f"There are: {', '.join(RUNTIMES)}.")
    if runtime not in installed_runtimes():
        raise BackendError(
            f"backend '{runtime}' is not installed", hint=f"Install it: {pip_command(runtime)}"
        )
    if runtime == "onnx":
        from edgeaudio.backends.onnx import OnnxGraph

        return OnnxGraph(source, profile)
    if profile.precision != "int8":
        raise BackendError(
            f"backend 'litert' runs no {profile.precision}, which the profile '{profile.name}' asks for",
            hint="Choose the backend onnx, or another profile.",
        )
    from edgeaudio.backends.litert import LiteRtGraph

    return LiteRtGraph(source, profile)


def _preferred(source: GraphSource, profile: Profile) -> Runtime:
    """Return the first of the profile's runtimes that is there and can run the model."""
    wanted = profile.runtime if profile.precision == "int8" else ("onnx",)
    carried: list[Runtime] = [runtime for runtime in wanted if source.has_graph(runtime)]
    for runtime in carried:
        if runtime in installed_runtimes():
            return runtime
    if not carried:
        raise BackendError(
            f"model '{source.name}' has no graph for {' or '.join(wanted)}, with which the profile"
            f" '{profile.name}' runs",
            hint="Choose another profile or model.",
        )
    commands = " or: ".join(pip_command(runtime) for runtime in carried)
    raise BackendError(
        f"no inference runtime is installed that can run model '{source.name}'",
        hint=f"Install one: {commands}",
    )

"""onnxruntime's execution providers: which are there, and what to install where one is not."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from edgeaudio.profiles.profile import Provider

__all__ = ["ORT_NAMES", "advice", "how_to_install", "is_installed", "with_options"]

ORT_NAMES: dict[Provider, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
"""What onnxruntime calls them."""

_JETSON = (
    "On a Jetson with JetPack 6: pip uninstall onnxruntime; pip install onnxruntime-gpu"
    " --index-url https://pypi.jetson-ai-lab.io/jp6/cu126 (NVIDIA's own index; PyPI has nothing for it,"
    " and there is nothing for Python 3.10 and later on older JetPacks)"
)


def with_options(provider: Provider) -> str | tuple[str, dict[str, str]]:
    """Return what onnxruntime is asked for: TensorRT keeps what it builds of a graph, which takes minutes."""
    # expanduser leaves ~ as it is for a user without a home, where Path.home raises.
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    if provider != "tensorrt" or cache.startswith("~"):
        return ORT_NAMES[provider]
    folder = f"{cache}/edgeaudio/tensorrt"
    return ORT_NAMES[provider], {"trt_engine_cache_enable": "1", "trt_engine_cache_path": folder}


def is_installed(provider: Provider) -> bool:
    """Say whether the installed onnxruntime was built with `provider`, without importing it.

    Each but the CPU's is a library of its own beside onnxruntime's. Whether the libraries are there that
    this library needs in turn, only loading it tells.
    """
    if provider == "cpu":
        return True
    spec = find_spec("onnxruntime")
    folders = spec.submodule_search_locations if spec is not None else None
    return any(
        (Path(folder) / "capi" / name).is_file()
        for folder in folders or ()
        for name in (f"libonnxruntime_providers_{provider}.so", f"onnxruntime_providers_{provider}.dll")
    )


def how_to_install(providers: Iterable[Provider]) -> str | None:
    """Return what installs those of `providers` that are absent; None where all are there."""
    absent = [provider for provider in providers if not is_installed(provider)]
    return None if not absent else advice(absent)


def advice(absent: Iterable[Provider]) -> str:
    """Return how providers get onto this machine."""
    on_arm = platform.machine() in ("aarch64", "arm64")
    if on_arm and sys.version_info < (3, 11):
        return f"{_JETSON}."
    # Both packages are the module onnxruntime: the one installed last would win, file by file.
    gpu = "pip uninstall onnxruntime; pip install 'edgeaudio[gpu]'"
    tensorrt = " tensorrt" if "tensorrt" in absent and not on_arm else ""
    return f"Install it: {gpu}{tensorrt}." + (f" {_JETSON}." if on_arm else "")

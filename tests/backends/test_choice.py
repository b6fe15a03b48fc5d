"""Which runtime is used, and what is said when it is not there."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from edgeaudio import backends
from edgeaudio.backends import Runtime, installed_runtimes, open_graph
from edgeaudio.errors import BackendError
from edgeaudio.models.bundle import Bundle


def pretend_installed(monkeypatch: pytest.MonkeyPatch, *runtimes: Runtime) -> None:
    modules = {backends._MODULES[runtime] for runtime in runtimes}
    monkeypatch.setattr(backends, "find_spec", lambda name: object() if name in modules else None)


def test_litert_comes_first(bundle: Bundle) -> None:
    assert installed_runtimes() == ("litert", "onnx")
    assert open_graph(bundle).runtime == "litert"


def test_onnxruntime_where_litert_is_absent(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_installed(monkeypatch, "onnx")
    assert open_graph(bundle).runtime == "onnx"


@pytest.mark.parametrize(
    ("installed", "asked", "command"),
    [
        ("onnx", "litert", "pip install 'edgeaudio[tflite]'"),
        ("litert", "onnx", "pip install 'edgeaudio[onnx]'"),
    ],
)
def test_a_runtime_that_was_asked_for_is_never_replaced(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, installed: Runtime, asked: Runtime, command: str
) -> None:
    pretend_installed(monkeypatch, installed)
    with pytest.raises(BackendError, match=f"'{asked}' is not installed") as caught:
        open_graph(bundle, asked)
    assert command in str(caught.value)
    assert caught.value.exit_code == 6


def test_no_runtime_at_all(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_installed(monkeypatch)
    with pytest.raises(BackendError, match="no inference runtime") as caught:
        open_graph(bundle)
    assert "edgeaudio[tflite]" in str(caught.value)
    assert "edgeaudio[onnx]" in str(caught.value)


def test_an_installed_runtime_that_cannot_be_imported(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tflite packages have shipped wheels that import only next to the right numpy."""
    pretend_installed(monkeypatch, "onnx", "litert")
    for module in ("onnxruntime", "ai_edge_litert.interpreter"):
        monkeypatch.setitem(sys.modules, module, None)
    asked: tuple[Runtime, ...] = ("onnx", "litert")
    for runtime in asked:
        with pytest.raises(BackendError, match="cannot be imported"):
            open_graph(bundle, runtime)


def test_an_unknown_backend(bundle: Bundle) -> None:
    unknown: Any = "tensorrt"
    with pytest.raises(BackendError, match="There are: litert, onnx"):
        open_graph(bundle, unknown)


def test_importing_backends_imports_no_runtime() -> None:
    code = (
        "import sys, edgeaudio.backends, edgeaudio.models.verify\n"
        "print(sorted({'onnxruntime', 'ai_edge_litert'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

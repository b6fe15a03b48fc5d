"""What is said where a GPU's provider was asked for, by an onnxruntime that plays another build."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from edgeaudio.backends import open_graph, providers
from edgeaudio.errors import BackendError, ConfigError
from edgeaudio.models.bundle import Bundle
from edgeaudio.profiles import Profile, choice

CUDA = Profile(name="gpu", runtime=("onnx",), providers=("cuda", "cpu"), precision="float32")
JETSON = Profile(name="jetson", runtime=("onnx",), providers=("tensorrt", "cuda", "cpu"), precision="float32")
STRICT = Profile(name="strict", runtime=("onnx",), providers=("cuda",), precision="float32")


class Part(SimpleNamespace):
    """What a provider got, as onnxruntime tells it."""

    def get_nodes(self) -> list[str]:
        return self.nodes


class Pretending:
    """A session of the real onnxruntime on the CPU that claims to run on something else."""

    def __init__(self, ort: Any, loaded: list[str], parts: list[Part], data: bytes, options: Any) -> None:
        self._session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        self._loaded, self._parts = loaded, parts

    def get_providers(self) -> list[str]:
        return self._loaded

    def get_provider_graph_assignment_info(self) -> list[Part]:
        return self._parts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


Build = Callable[..., SimpleNamespace]


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Build:
    """Put an onnxruntime in place that was built with some providers and loads some of them."""
    import onnxruntime as ort

    def make(
        *built: str, loads: tuple[str, ...] | None = None, runs: tuple[str, ...] = (), refuses: str = ""
    ) -> SimpleNamespace:
        names = [*(f"{name}ExecutionProvider" for name in built), "CPUExecutionProvider"]
        loaded = names if loads is None else [*(f"{name}ExecutionProvider" for name in loads), names[-1]]
        parts = [Part(ep_name=f"{name}ExecutionProvider", nodes=["n"]) for name in runs]
        seen = SimpleNamespace(providers=None, options=None, preloaded=0)

        def session(data: bytes, options: Any, *, providers: list[str], enable_fallback: int) -> Pretending:
            seen.providers, seen.options = providers, options
            if refuses:
                raise RuntimeError(refuses)
            return Pretending(ort, loaded, parts, data, options)

        def preload() -> None:
            sys.stdout.write("Failed to load libcudart.so.12")  # as the real one does
            seen.preloaded += 1

        module = ModuleType("onnxruntime")
        vars(module).update({name: getattr(ort, name) for name in ("SessionOptions", "OrtValue")})
        vars(module).update(
            __version__="9.9",
            InferenceSession=session,
            get_available_providers=lambda: names,
            preload_dlls=preload,
        )
        module.__spec__ = ort.__spec__
        monkeypatch.setitem(sys.modules, "onnxruntime", module)
        return seen

    return make


def test_a_provider_that_is_not_built_in_is_an_error_that_says_what_to_install(bundle: Bundle) -> None:
    """No pretence here: this is what the CPU's onnxruntime does."""
    with pytest.raises(BackendError, match="installed without cuda, which the profile 'gpu' asks") as caught:
        open_graph(bundle, profile=CUDA)
    assert caught.value.exit_code == 6
    assert "pip install 'edgeaudio[gpu]'" in str(caught.value)


def test_tensorrt_without_tensorrt_names_only_what_is_absent(bundle: Bundle, build: Build) -> None:
    build("CUDA")
    with pytest.raises(BackendError, match=r"9\.9 is installed without tensorrt, which") as caught:
        open_graph(bundle, profile=JETSON)
    assert "tensorrt" in (caught.value.hint or "")


def test_a_provider_that_cannot_load_its_libraries_is_never_replaced_in_silence(
    bundle: Bundle, build: Build
) -> None:
    """onnxruntime itself would go on with the CPU, after a line in its log."""
    build("Tensorrt", "CUDA", loads=())
    with pytest.raises(BackendError, match=r"cannot load tensorrt and cuda.*CUDA and cuDNN is missing"):
        open_graph(bundle, profile=JETSON)


def test_a_provider_that_can_compute_nothing_is_never_replaced_in_silence(
    bundle: Bundle, build: Build
) -> None:
    build("CUDA", runs=("CPU", "CPU"))
    with pytest.raises(BackendError, match="cuda, which the profile 'gpu' asks for, can compute nothing"):
        open_graph(bundle, profile=CUDA)


def test_without_cpu_among_the_providers_nothing_may_fall_back(bundle: Bundle, build: Build) -> None:
    refused = "This session contains nodes; fallback to CPU EP has been explicitly disabled by the user."
    seen = build("CUDA", refuses=refused)
    with pytest.raises(BackendError, match="cuda cannot compute all of model 'random'") as caught:
        open_graph(bundle, profile=STRICT)
    assert "Name cpu at the end" in str(caught.value)
    assert seen.options.get_session_config_entry("session.disable_cpu_ep_fallback") == "1"


def test_providers_are_asked_for_in_the_order_of_the_profile(
    bundle: Bundle, build: Build, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = build("Tensorrt", "CUDA", runs=("Tensorrt", "Tensorrt", "CPU"))
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    graph = open_graph(bundle, profile=JETSON)
    (name, options), *others = seen.providers
    assert [name, *others] == ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    # Building an engine of a graph takes minutes on a Jetson: once is enough.
    assert options == {"trt_engine_cache_enable": "1", "trt_engine_cache_path": "/cache/edgeaudio/tensorrt"}
    assert seen.preloaded
    assert graph.provider == "tensorrt"
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("homeless")
def test_without_a_home_tensorrt_keeps_nothing() -> None:
    assert providers.with_options("tensorrt") == "TensorrtExecutionProvider"


def test_the_provider_that_computes_most_is_the_one_used(bundle: Bundle, build: Build) -> None:
    build("CUDA", runs=("CUDA", "CPU", "CPU"))
    assert open_graph(bundle, profile=CUDA).provider == "cpu"
    build("CUDA", runs=("CUDA", "CUDA", "CPU"))
    assert open_graph(bundle, profile=CUDA).provider == "cuda"


def test_threads_reach_both_runtimes(bundle: Bundle, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "usable_cores", lambda: frozenset({0, 1}))
    seen = build()
    assert open_graph(bundle, "onnx", Profile(threads=2)).threads == 2
    assert seen.options.intra_op_num_threads == 2
    assert open_graph(bundle, "litert", Profile(threads=2)).threads == 2


def test_more_threads_than_cores_are_refused_in_python_too(bundle: Bundle) -> None:
    with pytest.raises(ConfigError, match="asks for 1024 threads; this process may use"):
        open_graph(bundle, profile=Profile(threads=1024))


@pytest.mark.parametrize(
    ("system", "python", "absent", "advice"),
    [
        ("x86_64", (3, 12), ["cuda"], "Install it: pip uninstall onnxruntime; pip install 'edgeaudio[gpu]'."),
        ("x86_64", (3, 10), ["tensorrt"], "pip install 'edgeaudio[gpu]' tensorrt."),
        ("aarch64", (3, 10), ["cuda"], "--index-url https://pypi.jetson-ai-lab.io/jp6/cu126"),
        ("aarch64", (3, 12), ["cuda"], "On a Jetson with JetPack 6"),
    ],
)
def test_the_advice_is_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, system: str, python: tuple[int, int], absent: list[Any], advice: str
) -> None:
    monkeypatch.setattr(providers.platform, "machine", lambda: system)
    monkeypatch.setattr(providers.sys, "version_info", python)
    assert advice in providers.advice(absent)


def test_what_is_built_in_is_seen_without_importing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "onnxruntime"
    (folder / "capi").mkdir(parents=True)
    (folder / "capi" / "libonnxruntime_providers_cuda.so").touch()
    found = SimpleNamespace(submodule_search_locations=[str(folder)])
    monkeypatch.setattr(providers, "find_spec", lambda _: found)
    assert [providers.is_installed(name) for name in ("cpu", "cuda", "tensorrt")] == [True, True, False]
    assert providers.how_to_install(("cuda", "cpu")) is None
    monkeypatch.setattr(providers, "find_spec", lambda _: None)
    assert not providers.is_installed("cuda")
    assert "edgeaudio[gpu]" in (providers.how_to_install(("cuda", "cpu")) or "")

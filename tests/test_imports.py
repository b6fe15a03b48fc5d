"""What may import what, and how little importing the package costs."""

from __future__ import annotations

import ast
import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import edgeaudio

PACKAGE = Path(edgeaudio.__file__).parent
MODULES = sorted(
    ".".join(("edgeaudio", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
)

# Lower layers never import higher ones; modules of one layer may import each other.
LAYERS = (
    ("errors", "events", "stats", "types"),
    ("compiled", "config", "dsp", "frontend", "history", "level", "ring"),
    ("decoding",),
    ("backends", "profiles", "sources"),
    ("models",),
    ("tasks",),
    ("aio", "engine", "framering", "listener", "outbox", "reader", "shedding", "worker"),
    ("evaluation", "profiling", "sinks", "testing", "web"),
    ("explaining", "training"),
    ("cli", "__main__"),
)
LAYER_OF = {name: height for height, names in enumerate(LAYERS) for name in names}
FORBIDDEN = {"training": {"sinks", "cli"}}
HEAVY = (
    "ai_edge_litert",
    "numba",
    "onnxruntime",
    "soundfile",
    "sounddevice",
    "soxr",
    "torch",
    "yaml",
    "numpy",
)


def part(module):
    """The layer's member that `edgeaudio.x.y` belongs to: x."""
    return module.split(".")[1] if "." in module else ""


def source_of(module):
    path = PACKAGE.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imports_of(module):
    """Modules of edgeaudio that the source of `module` names in import statements, wherever they stand."""
    for node in ast.walk(ast.parse(source_of(module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            if node.module == "edgeaudio":
                yield from (f"edgeaudio.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""


@pytest.mark.parametrize("module", [name for name in MODULES if name != "edgeaudio"])
def test_imports_go_one_way(module):
    mine = part(module)
    assert mine in LAYER_OF, f"{mine} has no layer: add it to LAYERS"
    for name in imports_of(module):
        theirs = part(name) if name.startswith("edgeaudio.") else ""
        if theirs in LAYER_OF:
            assert LAYER_OF[theirs] <= LAYER_OF[mine], f"{module} imports {name}"
            assert theirs not in FORBIDDEN.get(mine, ()), f"{module} imports {name}"
        if name.split(".")[0] == "torch":
            assert mine == "training", f"{module} imports torch"


@pytest.mark.parametrize("module", MODULES)
def test_base_classes_take_a_type_only_where_python_3_10_lets_them(module):
    # logging.StreamHandler[TextIO] passes every checker, and fails on 3.10 when it is imported.
    for node in ast.walk(ast.parse(source_of(module).read_text(encoding="utf-8"))):
        for base in node.bases if isinstance(node, ast.ClassDef) else ():
            if isinstance(base, ast.Subscript):
                assert ast.unparse(base.value) in {"Generic", "IterableDataset", "Protocol"}, module


def loaded_by(statement):
    """Which heavy modules a fresh interpreter has loaded after `statement`."""
    code = f"{statement}\nimport sys\nprint(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_by("import edgeaudio") == set()


def test_naming_every_public_name_loads_no_audio_library_and_no_runtime():
    loaded = loaded_by("import edgeaudio\nfor name in edgeaudio.__all__: getattr(edgeaudio, name)")
    assert loaded <= {"numba", "numpy", "yaml"}


def test_every_module_imports_without_the_train_extra():
    untrained = [name for name in MODULES if part(name) not in {"training", "__main__"}]
    statement = "\n".join(
        (
            "import importlib, sys",
            "sys.modules['torch'] = None",
            *(f"importlib.import_module({n!r})" for n in untrained),
        )
    )
    assert loaded_by(statement) <= {"numba", "numpy", "torch", "yaml"}


def test_all_is_what_there_is():
    assert sorted(edgeaudio.__all__) == edgeaudio.__all__ == dir(edgeaudio)
    assert set(edgeaudio.__all__) == set(edgeaudio._HOME)
    for name in edgeaudio.__all__:
        assert getattr(edgeaudio, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Micorphone'"):
        _ = edgeaudio.Micorphone


@pytest.mark.parametrize("module", [name for name in MODULES if part(name) not in {"training", "__main__"}])
def test_every_module_says_what_is_public(module):
    imported = importlib.import_module(module)
    for name in getattr(imported, "__all__", ()):
        assert hasattr(imported, name), f"{module}.__all__ names {name}"


@pytest.mark.parametrize("module", [name for name in MODULES if part(name) not in {"training", "__main__"}])
def test_examples_run(module):
    imported = importlib.import_module(module)
    assert doctest.testmod(imported).failed == 0

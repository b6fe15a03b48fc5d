"""Keep a :class:`~edgeaudio.training.graph.Graph` in one ``.npz`` file, plain arrays only."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from edgeaudio.errors import ModelError
from edgeaudio.training.graph import Add, Conv, Graph

__all__ = ["load_graph", "save_graph"]


def save_graph(path: Path, graph: Graph) -> None:
    """Write ``graph`` to ``path``: its structure as JSON, its weights as arrays beside it."""
    nodes: list[dict[str, Any]] = []
    arrays: dict[str, Any] = {}
    for node in graph.nodes:
        if isinstance(node, Add):
            nodes.append({"add": list(node.sources), "output": node.output, "relu": node.relu})
            continue
        arrays[f"weight_{node.output}"] = node.weight.astype(np.float32)
        arrays[f"bias_{node.output}"] = node.bias.astype(np.float32)
        fields = ("output", "stride", "dilation", "groups", "relu")
        nodes.append({"conv": node.source, **{name: getattr(node, name) for name in fields}})
    structure = {
        "n_bands": graph.n_bands,
        "input_mean": float(graph.input_mean),
        "input_scale": float(graph.input_scale),
        "input": graph.input,
        "logits": graph.logits,
        "embedding": graph.embedding,
        "nodes": nodes,
    }
    with path.open("wb") as file:
        np.savez(file, structure=np.array(json.dumps(structure)), **arrays)


def load_graph(path: Path) -> Graph:
    """Read what :func:`save_graph` wrote.

    Raises
    ------
    ModelError
        If the file is missing or holds no graph.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            structure = json.loads(str(arrays["structure"]))
            nodes: list[Conv | Add] = []
            for entry in structure.pop("nodes"):
                if "add" in entry:
                    first, second = entry.pop("add")
                    nodes.append(Add(sources=(first, second), **entry))
                else:
                    name = entry["output"]
                    weights = {"weight": arrays[f"weight_{name}"], "bias": arrays[f"bias_{name}"]}
                    nodes.append(Conv(source=entry.pop("conv"), **entry, **weights))
        return Graph(nodes=tuple(nodes), **structure)
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as exc:
        raise ModelError(f"{path} does not hold a graph: {exc}") from exc

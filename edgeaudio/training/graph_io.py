"""Keep a :class:`~edgeaudio.training.graph.Graph` in one ``.npz`` file, plain arrays only."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from edgeaudio.errors import ModelError
from edgeaudio.training.graph import Add, Conv, Conv2d, Graph

__all__ = ["load_graph", "save_graph"]

_FIELDS = ("output", "stride", "dilation", "groups", "relu")
_FIELDS_2D = (*_FIELDS, "band_stride", "band_pad")


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
        kind, fields = ("conv2d", _FIELDS_2D) if isinstance(node, Conv2d) else ("conv", _FIELDS)
        nodes.append({kind: node.source, **{name: getattr(node, name) for name in fields}})
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
                    make, kind = (Conv2d, "conv2d") if "conv2d" in entry else (Conv, "conv")
                    nodes.append(make(source=entry.pop(kind), **entry, **weights))
        return Graph(nodes=tuple(nodes), **structure)
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as exc:
        raise ModelError(f"{path} does not hold a graph: {exc}") from exc

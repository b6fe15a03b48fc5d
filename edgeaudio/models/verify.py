"""Check that a model answers on this machine as it did where it was made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgeaudio.backends import RUNTIMES, Runtime, installed_runtimes, open_graph, pip_command, stream_embedded
from edgeaudio.errors import EdgeAudioError, ModelError
from edgeaudio.models.bundle import Bundle, Golden

__all__ = ["Check", "verify"]


@dataclass(frozen=True)
class Check:
    """One thing that was checked: its name, how it went, and what was found."""

    name: str
    outcome: Literal["ok", "failed", "skipped"]
    detail: str


def verify(bundle: Bundle) -> Iterator[Check]:
    """Replay the golden input on every installed runtime; yields each check when it is done.

    What :func:`~edgeaudio.models.bundle.load_bundle` checks (keys, frontend, checksums) has been
    checked before there is a bundle, and is reported here as the first line.
    """
    manifest = bundle.manifest
    yield Check(
        "manifest", "ok", f"{manifest.name} {manifest.version}, frontend {manifest.frontend_fingerprint[:12]}"
    )
    try:
        golden = bundle.golden()
    except ModelError as exc:
        yield Check("golden", "failed", str(exc))
        return
    yield Check("golden", "ok", f"{len(golden.frames)} frames")
    installed = installed_runtimes()
    for runtime in RUNTIMES:
        if not bundle.has_graph(runtime):
            yield Check(runtime, "skipped", "the model has no graph for it")
        elif runtime not in installed:
            yield Check(runtime, "skipped", f"not installed: {pip_command(runtime)}")
        else:
            yield _replay(bundle, runtime, golden)


def _replay(bundle: Bundle, runtime: Runtime, golden: Golden) -> Check:
    try:
        graph = open_graph(bundle, runtime)
        first, embedding = stream_embedded(graph, golden.frames)
        graph.reset()
        second, _ = stream_embedded(graph, golden.frames)
    except EdgeAudioError as exc:
        return Check(runtime, "failed", str(exc))
    difference = float(np.max(np.abs(first - golden.logits), initial=0.0))
    # "not <=" also catches NaN.
    if not difference <= golden.tolerance:
        return Check(
            runtime, "failed", f"differs from golden by {difference:.3g} (allowed {golden.tolerance:.3g})"
        )
    strayed = float(np.max(np.abs(embedding - golden.embedding), initial=0.0))
    if not strayed <= golden.embedding_tolerance:
        return Check(
            runtime,
            "failed",
            f"its embedding differs from golden by {strayed:.3g} (allowed {golden.embedding_tolerance:.3g})",
        )
    if not np.array_equal(first, second):
        return Check(runtime, "failed", "answers differently after a reset")
    return Check(runtime, "ok", f"differs from golden by {difference:.3g} (allowed {golden.tolerance:.3g})")

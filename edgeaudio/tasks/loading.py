"""From a model's name to the parts of a recogniser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from edgeaudio.backends import open_graph
from edgeaudio.backends.base import Runtime
from edgeaudio.decoding.base import Decoder
from edgeaudio.models.bundle import Bundle, load_bundle
from edgeaudio.models.catalogue import find_model
from edgeaudio.models.manifest import ModelManifest
from edgeaudio.tasks.acoustic import AcousticModel, StreamingAcoustic

if TYPE_CHECKING:
    from edgeaudio.decoding.grammar import Grammar

__all__ = ["DEFAULT_MODEL", "DecoderName", "Parts", "load_parts"]

DEFAULT_MODEL = "captions-en-small"

DecoderName: TypeAlias = Literal["auto", "greedy", "prefix", "lexicon"]


@dataclass(frozen=True)
class Parts:
    """What a recogniser is made of."""

    acoustic: AcousticModel
    decoder: Decoder
    manifest: ModelManifest
    grammar: Grammar | None


def load_parts(
    name_or_path: str | Path,
    *,
    language: str | Path | None,
    grammar: str | Path | None,
    hotwords: Sequence[str],
    backend: Runtime | None,
    decoder: DecoderName,
) -> Parts:
    """Load everything; see :meth:`edgeaudio.tasks.recognizer.Recognizer.load`."""
    bundle = load_bundle(find_model(name_or_path))
    _ = bundle.manifest.recognition  # refuse a spotter before its graph is opened
    return Parts(_open_acoustic(bundle, backend), _open_decoder(bundle.manifest), bundle.manifest, None)


def _open_acoustic(bundle: Bundle, backend: Runtime | None) -> AcousticModel:
    return StreamingAcoustic(open_graph(bundle, backend), bundle.manifest)


def _open_decoder(manifest: ModelManifest) -> Decoder:
    from edgeaudio.decoding.greedy import GreedyDecoder

    captions = manifest.recognition
    return GreedyDecoder(manifest.labels, captions.blank, captions.units)

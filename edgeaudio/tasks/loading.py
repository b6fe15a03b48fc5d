"""From a model's name to the parts of a recogniser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec.structs import replace

from edgeaudio.backends import open_graph
from edgeaudio.backends.base import Runtime
from edgeaudio.decoding.base import Decoder
from edgeaudio.errors import ModelError, UsageError
from edgeaudio.models.bundle import Bundle, load_bundle
from edgeaudio.models.catalogue import find_language, find_model
from edgeaudio.models.manifest import ModelManifest
from edgeaudio.profiles.profile import Profile
from edgeaudio.tasks.acoustic import AcousticModel, StreamingAcoustic
from edgeaudio.tasks.windowed import WindowedAcoustic

if TYPE_CHECKING:
    from edgeaudio.decoding.grammar import Grammar
    from edgeaudio.decoding.language import Language

__all__ = ["DEFAULT_MODEL", "DecoderName", "Lexicon", "Parts", "load_acoustic", "load_parts"]

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
    profile: Profile | None = None,
) -> Parts:
    """Load everything; see :meth:`edgeaudio.tasks.recognizer.Recognizer.load`."""
    bundle = load_bundle(find_model(name_or_path))
    manifest = bundle.manifest
    language = language or manifest.recognition.language
    if grammar is not None:
        if decoder != "auto" or hotwords:
            what = "hotwords" if hotwords else f"the decoder '{decoder}'"
            raise UsageError(f"a grammar has no use for {what}", hint="Leave one of them out.")
        orders, search = _open_grammar(grammar, manifest, language)
        # What a grammar's decoder says of a word are log-odds already.
        captions = replace(manifest.recognition, confidence_scale=1.0, confidence_offset=0.0)
        return Parts(
            _open_acoustic(bundle, backend, profile), search, replace(manifest, captions=captions), orders
        )
    found = _open_decoder(manifest, language, hotwords, decoder)
    return Parts(_open_acoustic(bundle, backend, profile), found, manifest, None)


def load_acoustic(
    name_or_path: str | Path,
    *,
    language: str | Path | None,
    backend: Runtime | None,
    profile: Profile | None = None,
) -> tuple[AcousticModel, ModelManifest, Lexicon]:
    """Load what hears and what knows pronunciations, without a search for words."""
    bundle = load_bundle(find_model(name_or_path))
    manifest = bundle.manifest
    lexicon = Lexicon(manifest, language or manifest.recognition.language)
    return _open_acoustic(bundle, backend, profile), manifest, lexicon


def _open_acoustic(bundle: Bundle, backend: Runtime | None, profile: Profile | None) -> AcousticModel:
    windowed = bundle.manifest.recognition.window is not None
    graph = open_graph(bundle, backend, profile)
    return (WindowedAcoustic if windowed else StreamingAcoustic)(graph, bundle.manifest)


def _open_decoder(
    manifest: ModelManifest, language: str | Path | None, hotwords: Sequence[str], name: DecoderName
) -> Decoder:
    from edgeaudio.decoding.hotwords import Hotwords

    captions = manifest.recognition
    tokens = manifest.labels, captions.blank, captions.units
    likely = Hotwords.parse(hotwords) if hotwords else None
    if name == "auto":
        name = "lexicon" if language is not None else "greedy" if likely is None else "prefix"
    if name == "greedy":
        from edgeaudio.decoding.greedy import GreedyDecoder

        if likely is not None:
            raise UsageError(
                "greedy decoding cannot favour hotwords", hint="Choose the decoder 'prefix' or 'lexicon'."
            )
        return GreedyDecoder(*tokens)
    if name == "prefix":
        from edgeaudio.decoding.prefix import PrefixDecoder

        return PrefixDecoder(*tokens, hotwords=likely)
    from edgeaudio.decoding.search import LexiconDecoder

    if captions.units == "pieces":
        raise ModelError(
            f"model '{manifest.name}' writes pieces of words, for which there is no search in a lexicon",
            hint="Choose the decoder 'prefix' or 'greedy'.",
        )
    lexicon = Lexicon(manifest, language)
    return LexiconDecoder(
        lexicon.language, *tokens, captions.search, likely, pronounce=lexicon.guess if likely else None
    )


def _open_language(manifest: ModelManifest, name_or_path: str | Path | None) -> Language:
    """Open a language and check that its words are made of the model's tokens."""
    from edgeaudio.decoding.language import Language

    if name_or_path is None:
        raise UsageError(
            f"model '{manifest.name}' brings no lexicon and language model",
            hint="Name one, or choose another decoder.",
        )
    path = find_language(name_or_path)
    language = Language.load(path)
    strange = sorted(set(language.phone_names) - set(manifest.labels))
    if manifest.recognition.units == "phones" and strange:
        raise ModelError(
            f"{path}: its words are made of other phones than those of model '{manifest.name}': "
            f"{' '.join(strange[:10])}{' …' if len(strange) > 10 else ''}",
            hint=f"The model has: {' '.join(manifest.labels)}",
        )
    return language


def _open_grammar(
    path: str | Path, manifest: ModelManifest, language: str | Path | None
) -> tuple[Grammar, Decoder]:
    from edgeaudio.decoding.grammar import Grammar
    from edgeaudio.decoding.grammar_decoder import GrammarDecoder, order_graph

    captions = manifest.recognition
    grammar = Grammar.read(path)
    lexicon = Lexicon(manifest, language)
    graph = order_graph(grammar, manifest.labels, captions.blank, captions.units, lexicon.pronounce)
    return grammar, GrammarDecoder(graph, manifest.labels, captions.blank)


class Lexicon:
    """Pronunciations: those of the language, else what its spelling suggests. Opened when it is needed."""

    def __init__(self, manifest: ModelManifest, language: str | Path | None) -> None:
        self._manifest = manifest
        self._name = language

    @cached_property
    def language(self) -> Language:
        """All words that are known."""
        return _open_language(self._manifest, self._name)

    @cached_property
    def guess(self) -> Callable[[str], Sequence[str]] | None:
        """Guesses the phones of a word from what lies beside the language; None if there is nothing."""
        from edgeaudio.decoding.g2p import G2P_FILE, Pronouncer

        if self._name is None:
            return None
        file = find_language(self._name).with_name(G2P_FILE)
        return Pronouncer.load(file).pronounce if file.is_file() else None

    def pronounce(self, word: str) -> Sequence[Sequence[str]]:
        """Return the pronunciations of `word`; none if there is no way to know, as for foreign letters."""
        if self._name is None:
            return ()
        known = self.language.pronunciations(word)
        if known or self.guess is None:
            return known
        try:
            return [self.guess(word)]
        except UsageError:  # whoever asks knows where the word stands, and says so
            return ()

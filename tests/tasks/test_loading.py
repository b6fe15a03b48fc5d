"""Recognisers from bundles: which decoder, which language, and what does not belong together."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from edgeaudio.decoding.grammar_decoder import GrammarDecoder
from edgeaudio.decoding.greedy import GreedyDecoder
from edgeaudio.decoding.language import Language
from edgeaudio.decoding.pack import write_language
from edgeaudio.decoding.prefix import PrefixDecoder
from edgeaudio.decoding.search import LexiconDecoder
from edgeaudio.errors import BackendError, ConfigError, ModelError, UsageError
from edgeaudio.models import catalogue
from edgeaudio.models.bundle import load_bundle
from edgeaudio.tasks.loading import load_parts
from edgeaudio.tasks.recognizer import Recognizer
from edgeaudio.tasks.spotter import Spotter
from edgeaudio.training.export import update_manifest
from tests.networks import random_frames, residual_graph, write_captions_bundle, write_random_bundle

ROOT = Path(__file__).resolve().parents[2]
GRAMMAR = "public <order> = (go {way=go} | no no {way=back});\n"


@pytest.fixture(scope="session")
def pristine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles") / "random-captions"
    write_captions_bundle(folder)
    return folder


@pytest.fixture
def folder(pristine, tmp_path, monkeypatch):
    """A recogniser of the test's own, the only one there is, beside a language."""
    root = tmp_path / "models"
    monkeypatch.setattr(catalogue, "search_path", lambda: (root,))
    shutil.copytree(pristine, root / "random-captions")
    (root / "tiny").mkdir()
    write_language(Language.build({"go": ["G OW"], "no": ["N OW"]}), root / "tiny" / "language.bin")
    return root / "random-captions"


@pytest.fixture
def grammar(tmp_path):
    path = tmp_path / "orders.gram"
    path.write_text(GRAMMAR)
    return path


def parts(folder, **options):
    defaults = {"language": None, "grammar": None, "hotwords": (), "backend": None, "decoder": "auto"}
    return load_parts(folder, **{**defaults, **options})


def change(folder, **captions):
    section = load_bundle(folder).manifest.recognition
    fields = {name: getattr(section, name) for name in section.__struct_fields__}
    update_manifest(folder, captions=type(section)(**{**fields, **captions}))


def test_by_itself_the_lexicon_is_used_where_there_is_one(folder):
    assert isinstance(parts(folder).decoder, GreedyDecoder)
    assert isinstance(parts(folder, language="tiny").decoder, LexiconDecoder)
    change(folder, language="tiny")
    assert isinstance(parts(folder).decoder, LexiconDecoder)
    assert isinstance(parts(folder, decoder="greedy").decoder, GreedyDecoder)


def test_hotwords_need_a_search_that_can_favour_them(folder):
    update_manifest(folder, labels=("<blank>", " ", "g", "o"))
    change(folder, units="characters")
    assert isinstance(parts(folder).decoder, GreedyDecoder)
    assert isinstance(parts(folder, hotwords=["go"]).decoder, PrefixDecoder)
    assert isinstance(parts(folder, hotwords=["go"], language="tiny").decoder, LexiconDecoder)
    with pytest.raises(UsageError, match="greedy decoding cannot favour hotwords"):
        parts(folder, hotwords=["go"], decoder="greedy")


def test_a_hotword_that_the_lexicon_lacks_needs_a_way_to_say_it(folder):
    assert isinstance(parts(folder, language="tiny", hotwords=["go no"]).decoder, LexiconDecoder)
    with pytest.raises(UsageError, match="hotword 'ono' is not in the lexicon"):
        parts(folder, language="tiny", hotwords=["ono"])
    assert isinstance(parts(folder, language="tiny", hotwords=["ono=OW N OW"]).decoder, LexiconDecoder)


@pytest.mark.parametrize("hotword", ["", "edge-audio", "R2D2"])
def test_a_hotword_with_strange_characters_is_refused(folder, hotword):
    with pytest.raises(UsageError, match="hotword"):
        parts(folder, language="tiny", hotwords=[hotword])


def test_a_language_by_name_folder_and_file(folder):
    tiny = folder.parent / "tiny"
    for language in ("tiny", tiny, str(tiny), tiny / "language.bin"):
        assert isinstance(parts(folder, language=language).decoder, LexiconDecoder)


@pytest.mark.parametrize("backend", ["onnx", "litert"])
def test_the_whole_way_through_a_real_graph(folder, backend):
    one = Recognizer.load("random-captions", language="tiny", backend=backend)
    table = random_frames(2000, 1, residual_graph())
    events = [event for at in range(0, 2000, 8) for event in one.process(table[at : at + 8])] + one.flush()
    whole = Recognizer.load("random-captions", language="tiny", backend=backend)
    assert whole.process(table) + whole.flush() == events
    words = {word.text for event in events for word in event.words}
    assert words <= {"go", "no"}


def test_a_grammar_brings_its_own_search(folder, grammar):
    found = parts(folder, language="tiny", grammar=grammar)
    assert isinstance(found.decoder, GrammarDecoder)
    assert found.grammar.understand(["no", "no"]).slots == {"way": "back"}


def test_words_of_a_grammar_need_a_pronunciation(folder, grammar):
    with pytest.raises(ConfigError, match=r"orders\.gram.*no pronunciation is known for"):
        parts(folder, grammar=grammar)
    grammar.write_text(GRAMMAR + "pronounce go = G OW;\npronounce no = N OW;\n")
    assert isinstance(parts(folder, grammar=grammar).decoder, GrammarDecoder)


def test_letters_that_nobody_can_say_are_told_where_they_stand(folder, grammar):
    shutil.copy(ROOT / "models" / "english-small" / "g2p.bin", folder.parent / "tiny")
    grammar.write_text("public <order> = go\n  | 東京;\n")
    with pytest.raises(ConfigError, match=r"line 2, column 5: no pronunciation is known for '東京'"):
        parts(folder, language="tiny", grammar=grammar)


@pytest.mark.parametrize("options", [{"decoder": "greedy"}, {"decoder": "lexicon"}, {"hotwords": ["go"]}])
def test_a_grammar_excludes_what_it_has_no_use_for(folder, grammar, options):
    with pytest.raises(UsageError, match="a grammar has no use for"):
        parts(folder, language="tiny", grammar=grammar, **options)


def test_a_lexicon_search_needs_a_language(folder):
    with pytest.raises(UsageError, match="'random-captions' brings no lexicon and language model"):
        parts(folder, decoder="lexicon")


def test_an_unknown_language_is_refused_with_the_nearest(folder):
    with pytest.raises(ModelError, match=r"(?s)unknown language model 'tinny'.*Did you mean 'tiny'"):
        parts(folder, language="tinny")
    with pytest.raises(ModelError, match="there is no such language model"):
        parts(folder, language=folder.parent / "absent")
    with pytest.raises(ModelError, match="there is no such language model"):
        parts(folder, language=folder)


def test_a_language_of_other_phones_is_refused_naming_them(folder, tmp_path):
    write_language(Language.build({"go": ["g ou"], "no": ["N OW"]}), tmp_path / "ipa.bin")
    with pytest.raises(ModelError, match=r"(?s)ipa\.bin.*other phones.*: g ou.*The model has: <blank> G"):
        parts(folder, language=tmp_path / "ipa.bin")


def test_a_language_without_pronunciations_is_refused(folder, tmp_path):
    write_language(Language.build({"go": [], "no": []}), tmp_path / "spelled.bin")
    with pytest.raises(ModelError, match="no word that can be written with the model's phones"):
        parts(folder, language=tmp_path / "spelled.bin")


def test_what_is_no_language_is_refused(folder, tmp_path):
    (tmp_path / "noise.bin").write_bytes(b"noise" * 100)
    with pytest.raises(ModelError, match=r"noise\.bin"):
        parts(folder, language=tmp_path / "noise.bin")


def test_pieces_have_no_lexicon(folder):
    change(folder, units="pieces")
    with pytest.raises(ModelError, match="writes pieces of words"):
        parts(folder, language="tiny", decoder="lexicon")


def test_a_missing_state_tensor_is_refused_by_name(folder):
    manifest = load_bundle(folder).manifest
    update_manifest(folder, states=manifest.states[:-1])
    with pytest.raises(ModelError, match=f"unexpected input {manifest.states[-1].name}"):
        parts(folder)
    more = manifest.states[-1].__class__(name="state_more", fill=manifest.states[-1].fill)
    update_manifest(folder, states=(*manifest.states, more))
    with pytest.raises(ModelError, match="the graph lacks input state_more"):
        parts(folder)


def test_a_graph_for_one_runtime_is_used_or_refused(folder):
    manifest = load_bundle(folder).manifest
    update_manifest(folder, graphs=manifest.graphs.__class__(onnx=manifest.graphs.onnx))
    assert parts(folder).acoustic.runtime == "onnx"
    with pytest.raises(ModelError, match="no graph for litert"):
        parts(folder, backend="litert")
    with pytest.raises(BackendError, match="unknown backend"):
        parts(folder, backend="tensorrt")


def test_spotters_and_recognisers_are_not_mixed_up(folder, tmp_path):
    write_random_bundle(tmp_path / "spotter")
    with pytest.raises(ModelError, match=r"(?s)'random' spots single words.*edgeaudio wake --model random"):
        Recognizer.load(tmp_path / "spotter")
    with pytest.raises(ModelError, match=r"(?s)'random-captions' makes captions.*edgeaudio caption --model"):
        Spotter.load(folder)


def test_a_recogniser_hears_nothing_in_what_is_blank(folder):
    assert Recognizer.load(folder).process(np.zeros((0, 40), np.float32)) == []

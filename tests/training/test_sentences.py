from __future__ import annotations

import gzip

import pytest

from edgeaudio.decoding.g2p import Pronouncer
from edgeaudio.errors import InputError
from edgeaudio.training.graphones import train_pronouncer
from edgeaudio.training.sentences import Sentence, read_sentences, sources, without
from edgeaudio.training.vocabulary import choose_words, say, speakable


def said(*texts):
    return [Sentence(tuple(text.split()), "", "") for text in texts]


def test_plain_text_is_split_where_sentences_end(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text('\ufeffHello there. "How are you?" Fine!\n\nRoom 7 is 3.5 m long\n...\n')
    assert [" ".join(sentence.words) for sentence in read_sentences(path)] == [
        "hello there",
        "how are you",
        "fine",
        "room seven is three point five m long",
    ]


def test_a_table_gives_its_text_and_where_it_is_from(tmp_path):
    path = tmp_path / "x.tsv.gz"
    path.write_bytes(gzip.compress(b"licence\ttext\tsource\nCC0-1.0\tGo home.\tme\n\t!\t\n\tStay\t\n"))
    assert list(read_sentences(path)) == [
        Sentence(("go", "home"), "me", "CC0-1.0"),
        Sentence(("stay",), "x.tsv.gz", "not stated"),
    ]


def test_a_table_without_text_or_with_a_short_line_is_refused(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text("txt\nhello\n")
    with pytest.raises(InputError, match=r"x\.tsv:1: no column 'text'"):
        list(read_sentences(path))
    path.write_text("text\tsource\nhello\n")
    with pytest.raises(InputError, match=r"x\.tsv:2: 1 fields, the header has 2"):
        list(read_sentences(path))


def test_what_shares_six_words_in_a_row_is_left_out():
    kept = without(
        said("a b c d e f g", "z c d e f g h z", "c d e f g", "go home", "go home now"),
        said("b c d e f g h", "go home"),
    )
    assert [" ".join(sentence.words) for sentence in kept] == ["c d e f g", "go home now"]


def test_sources_are_counted():
    text = [Sentence(("a", "b"), "x", "CC0"), Sentence(("a",), "y", "CC0"), Sentence(("c",), "x", "CC0")]
    assert sources(text) == [("x", "CC0", 2, 3), ("y", "CC0", 1, 1)]


def test_words_are_those_of_the_text_and_what_english_makes_of_them():
    listed = (
        *("walk", "walked", "walking", "walks", "walk's", "happy", "happily", "unhappy", "stop", "stopping"),
        *("side", "sidewalk", "aardvark", "make", "making", "as", "e.g.", "1st"),
    )
    lexicon = {word: ["X"] for word in listed}
    pronouncer = Pronouncer(train_pronouncer({"jo": ["JH OW"], "zo": ["Z OW"], "ox": ["AA K S"]}))
    text = said("walk happy stop make side zoo zoo ox7 jozo")
    chosen = choose_words([text], speakable(lexicon), pronouncer, min_count=2)
    assert set(chosen) == set(lexicon) - {"aardvark", "as", "e.g.", "1st"} | {"zoo"}
    assert chosen["walk"] == ["X"]
    assert chosen["zoo"][0].startswith("Z")


def test_possessives_are_said_as_english_does():
    lexicon = {"cat": ["K AE T"], "fish": ["F IH SH"], "dog": ["D AO G", "D AA G"], "it's": ["IH T S"]}
    pronouncer = Pronouncer(train_pronouncer({"jo": ["JH OW"], "zo": ["Z OW"]}))
    assert say("cat's", lexicon, pronouncer) == ["K AE T S"]
    assert say("fish's", lexicon, pronouncer) == ["F IH SH IH Z"]
    assert say("dog's", lexicon, pronouncer) == ["D AO G Z", "D AA G Z"]
    assert say("it's", lexicon, pronouncer) == ["IH T S"]
    assert say("jo's", lexicon, pronouncer) == ["JH OW Z"]
    for word in ("", "'s", "x's", "x"):
        assert say(word, lexicon, pronouncer) == []

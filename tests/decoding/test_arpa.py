from __future__ import annotations

import gzip
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.decoding.arpa import read_arpa, write_arpa
from edgeaudio.decoding.language import Language
from edgeaudio.decoding.ngrams import UNKNOWN
from edgeaudio.errors import InputError, OutputError
from edgeaudio.training.kneser_ney import estimate, prune, tables

SMALL = """\
Written by hand.

\\data\\
ngram 1=5
ngram 2=3
ngram 3=1

\\1-grams:
-99\t<s>\t-0.25
-1.5\t<UNK>
-1.0\tcat\t-0.5
-0.75\tsat\t
-2.0\t</s>

\\2-grams:
-0.5\t<s> cat\t-0.125
-0.25 cat sat
-0.375\tsat </s>

\\3-grams:
-0.0625\t<s> cat sat

\\end\\
"""
PIECES = (b"\n", b"\t", b" ", b"\\end\\\n", b"<s>", b"</s>", b"cat", b"-1", b"1e999", b"-inf", b"ngram 3=2\n")


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.arpa"
    path.write_text(SMALL)
    return path


def tens(model, words):
    """Logarithm to base 10 of the last of `words` behind the others, from the automaton."""
    language = Language.assemble(model.words, {}, *model.ngrams.automaton())
    start = words[0] == "<s>"
    heard = words[1:] if start else words
    whole, before = (language.log_prob(part, start=start, end=False) for part in (heard, heard[:-1]))
    return (whole - before) / math.log(10)


def test_what_a_file_says_is_what_is_looked_up(small):
    model = read_arpa(small)
    assert model.words == ("<unk>", "<s>", "</s>", "cat", "sat")
    wanted = {
        ("cat",): -1.0,
        ("<s>", "cat"): -0.5,
        ("<s>", "cat", "sat"): -0.0625,
        ("cat", "sat"): -0.25,
        ("<s>", "sat"): -0.25 - 0.75,
        ("<s>", "cat", "cat"): -0.125 - 0.5 - 1.0,
        ("<s>", "cat", "sat", "cat"): -1.0,
        ("<s>", "dog"): -0.25 - 1.5,
    }
    for words, log10 in wanted.items():
        # Sums of scores below 8 in float32.
        assert tens(model, words) == pytest.approx(log10, abs=1e-5), words


def test_a_packed_file_is_read_alike(small, tmp_path):
    packed = tmp_path / "small.arpa.gz"
    packed.write_bytes(gzip.compress(small.read_bytes()))
    assert read_arpa(packed).words == read_arpa(small).words


def test_writing_and_reading_changes_nothing(tmp_path):
    rng = np.random.default_rng(7)
    sentences = [rng.zipf(1.6, rng.integers(1, 9)).clip(1, 7).astype(np.int32) + 2 for _ in range(80)]
    words = ("<unk>", "<s>", "</s>", *"abcdefg")
    for order in (1, 2, 5):
        levels = estimate(sentences, n_words=len(words), order=order)
        ngrams = tables(prune(levels, 1e-4), len(words))
        path = tmp_path / f"{order}.arpa"
        write_arpa(path, words, ngrams)
        model = read_arpa(path)
        assert model.words == words
        for table, again in zip(ngrams.tables, model.ngrams.tables, strict=True):
            np.testing.assert_array_equal(table.grams, again.grams)
            # Seven digits are written.
            np.testing.assert_allclose(table.log_prob, again.log_prob, rtol=2e-6, atol=1e-6)
            np.testing.assert_allclose(table.backoff, again.backoff, rtol=2e-6, atol=1e-6)
        languages = [Language.assemble(words, {}, *one.automaton()) for one in (ngrams, model.ngrams)]
        for sentence in ("abc", "gfe", "aaaa", ""):
            first, second = (language.log_prob(sentence) for language in languages)
            # Both round their scores to 256 values, from figures that differ in the seventh digit.
            assert first == pytest.approx(second, abs=1e-4)


def broken(line, text):
    lines = SMALL.split("\n")
    lines[line - 1] = text
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", ":1:1: no line .data.: this is no ARPA file"),
        ("one\ntwo\n", ":3:1: no line .data."),
        (broken(5, "ngram 3=3"), ":5:1: here should be: ngram 2="),
        (broken(5, "ngram two"), ":5:1: here should be: ngram 2="),
        (broken(5, "ngram 2=99999999999"), ":5:9: more than"),
        ("\\data\\\n\n\\1-grams:\n", ":3:1: the header names no n-grams"),
        ("\\data\\\n" + "".join(f"ngram {n}=1\n" for n in range(1, 8)), ":7:1: n-grams of more than 5 words"),
        (broken(8, "\\2-grams:"), r":8:1: here should be .1-grams:, not '..2-grams:'"),
        (broken(9, ""), ":15:1: 4 n-grams of 1, the header promises 5"),
        (broken(11, "-1,0\tcat\t-0.5"), ":11:1: '-1,0' is no logarithm"),
        (broken(11, "nan\tcat\t-0.5"), ":11:1: 'nan' is no logarithm"),
        (broken(11, "inf\tcat\t-0.5"), ":11:1: 'inf' is no logarithm"),
        (broken(11, "0.5\tcat\t-0.5"), ":11:1: 0.5 is the logarithm of no probability"),
        (broken(11, "-1.0\tcat\tx"), ":11:10: 'x' is no logarithm"),
        (broken(11, "-1.0\tcat\t-0.5\t3"), ":11:15: 4 fields; here should be a logarithm, 1 word and perh"),
        (broken(11, "-1.0"), ":11:1: 1 fields"),
        (broken(12, "-0.75\tcat"), ":12:7: the word 'cat' is listed twice"),
        (broken(17, "-0.25 cat dog"), ":17:11: the word 'dog' is not among the 1-grams"),
        (broken(17, "-0.25 cat <s>"), ":17:11: <s> in the middle"),
        (broken(17, "-0.25 </s> cat"), ":17:7: </s> in the middle"),
        (broken(17, "-0.25 <s> cat"), ":17:7: this n-gram is listed twice"),
        (broken(17, "-0.25 cat"), ":17:7: 2 fields; here should be a logarithm, 2 words and perhaps another"),
        (broken(21, "-0.0625 <s> cat sat -1"), ":21:21: 5 fields; here should be a logarithm, 3 words$"),
        (broken(23, ""), ":24:1: here should be .end., not the end of the file"),
        (broken(23, "\\4-grams:"), r":23:1: here should be .end., not '..4-grams:'"),
    ],
)
def test_what_is_wrong_is_said_with_line_and_column(tmp_path, text, problem):
    path = tmp_path / "broken.arpa"
    path.write_text(text)
    with pytest.raises(InputError, match=problem):
        read_arpa(path)


@pytest.mark.parametrize("cut", range(0, len(SMALL) - 8, 5))
def test_a_file_that_breaks_off_is_refused(tmp_path, cut):
    path = tmp_path / "cut.arpa"
    path.write_text(SMALL[:cut])
    with pytest.raises(InputError, match=r"cut\.arpa:\d+:\d+: "):
        read_arpa(path)


@given(data=st.data())
@settings(max_examples=150)
def test_whatever_a_file_holds_is_read_or_refused(tmp_path_factory, data):
    text = SMALL.encode()
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 12)))
        text = text[:start] + data.draw(st.binary(max_size=8) | st.sampled_from(PIECES)) + text[end:]
    path = tmp_path_factory.mktemp("fuzzed") / "x.arpa"
    path.write_bytes(text)
    try:
        model = read_arpa(path)
    except InputError:
        return
    automaton, start_state = model.ngrams.automaton()
    assert start_state < len(automaton.backoff_state)
    assert (automaton.arc_next < len(automaton.backoff_state)).all()
    assert not np.isnan(automaton.score_codebook).any()


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "binary.arpa"
    path.write_bytes(SMALL.encode().replace(b"cat", b"c\xffat"))
    with pytest.raises(InputError, match="not UTF-8"):
        read_arpa(path)
    packed = tmp_path / "half.arpa.gz"
    packed.write_bytes(gzip.compress(SMALL.encode())[:-20])
    with pytest.raises(InputError, match=r"cannot read .*half\.arpa\.gz"):
        read_arpa(packed)


def test_a_folder_that_cannot_be_written_is_an_output_error(small, tmp_path):
    model = read_arpa(small)
    with pytest.raises(OutputError, match=r"cannot write .*nowhere"):
        write_arpa(tmp_path / "nowhere" / "x.arpa", model.words, model.ngrams)


def test_a_model_without_unknown_words_makes_them_impossible(tmp_path):
    path = tmp_path / "x.arpa"
    path.write_text(SMALL.replace("-1.5\t<UNK>\n", "").replace("ngram 1=5", "ngram 1=4"))
    automaton, _ = read_arpa(path).ngrams.automaton()
    assert automaton.unigram_score[UNKNOWN] == -math.inf

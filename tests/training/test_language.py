from __future__ import annotations

import sys

import numpy as np
import pytest
from click.testing import CliRunner

import edgeaudio
from edgeaudio.cli.main import cli
from edgeaudio.decoding.arpa import read_arpa
from edgeaudio.decoding.g2p import Pronouncer
from edgeaudio.decoding.language import LANGUAGE_FILE, Language
from edgeaudio.training.kneser_ney import estimate, n_grams
from edgeaudio.training.language import fit, perplexity
from edgeaudio.training.sentences import Sentence

LEXICON = """\
the DH AH
the(2) DH IY
cat K AE T
cats K AE T S
dog D AO G
sees S IY Z
sleeps S L IY P S
and AE N D
zebra Z IY B R AH
LICENSED L AY S AH N S T
"""
NOUNS = ("cat", "dog", "cag")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "words.dict").write_text(LEXICON)
    (tmp_path / "LICENSE").write_text("as you like")
    lines = [f"The {a} sees the {b} and sleeps." for a in NOUNS for b in NOUNS] * 8
    (tmp_path / "text.txt").write_text("\n".join([*lines, "the dog and the cat and the dog see"]))
    (tmp_path / "test.txt").write_text("a dog and the cat and the dog saw\nThe cat sleeps.\n")
    return tmp_path


def train(folder, *arguments):
    run = CliRunner().invoke(
        cli, ["train", "language", *map(str, arguments), "--lexicon", str(folder / "words.dict")]
    )
    assert run.exception is None or isinstance(run.exception, SystemExit), run.exception
    return run


def test_a_text_becomes_a_language_with_its_card(folder):
    made, arpa = folder / "made", folder / "made.arpa"
    arguments = (folder / "text.txt", "--exclude", folder / "test.txt", "--arpa", arpa, "--output", made)
    run = train(folder, *arguments, "--json")
    assert run.exit_code == 0, run.output
    language = Language.load(made)
    # "see" occurs once and is in no dictionary; "cats" is made of "cat"; nothing speaks for a zebra.
    assert language.words[3:] == ["and", "cag", "cat", "cats", "dog", "sees", "sleeps", "the"]
    assert language.pronunciations("the") == [("DH", "AH"), ("DH", "IY")]
    assert language.pronunciations("cag")
    assert Pronouncer.load(made).can_pronounce("dogs")
    said, turned = ["the", "cat", "sees", "the", "dog"], ["dog", "the", "sees", "cat", "the"]
    assert language.log_prob(said, end=False) > language.log_prob(turned, end=False) + 5
    assert {path.name for path in made.iterdir()} == {
        *("language.bin", "g2p.bin", "README.md", "LICENSE-lexicon"),
    }
    card = (made / "README.md").read_text()
    assert "| text.txt | not stated | 70 |" in card
    assert "| test.txt | 12 |" in card
    assert '"left_out":1' in run.output
    model = read_arpa(arpa)
    assert model.words == tuple(language.words)
    again = Language.assemble(model.words, {}, *model.ngrams.automaton())
    for sentence in ("the cat sees", "dog dog dog", "zebra"):
        first, second = (one.log_prob(sentence.split()) for one in (language, again))
        # Seven digits are written.
        assert first == pytest.approx(second, abs=1e-4)


def test_further_text_is_mixed_in_however_long_it_is(folder):
    (folder / "books.txt").write_text("The dog sleeps and sleeps.\n" * 5000 + "The zebra sees.\n")
    scores = []
    for weight in (0.01, 0.5):
        made = folder / f"made-{weight}"
        mixture = ("--further", folder / "books.txt", "--further-weight", weight)
        run = train(folder, folder / "text.txt", *mixture, "--output", made)
        assert run.exit_code == 0, run.output
        language = Language.load(made)
        assert "zebra" not in language.words  # once in so long a text
        said = ("the dog sleeps and sleeps", "the cat sees the cat")
        scores.append([language.log_prob(words.split()) for words in said])
    (rare, usual), (common, still_usual) = scores
    assert common > rare + 3
    # Half of the weight is gone: ln 2 a word at most.
    assert still_usual > usual - 6 * np.log(2.0)
    assert "books.txt apart and mixed in linearly with a weight of 0.5" in (made / "README.md").read_text()


def test_an_arpa_file_becomes_the_same_language(folder):
    first, second, arpa = folder / "first", folder / "second", folder / "x.arpa"
    train(folder, folder / "text.txt", "--order", 2, "--arpa", arpa, "--output", first)
    run = train(folder, "--from-arpa", arpa, "--output", second)
    assert run.exit_code == 0, run.output
    one, other = Language.load(first), Language.load(second)
    assert one.words == other.words
    assert [one.pronunciations(word) for word in one.words] == [
        other.pronunciations(word) for word in other.words
    ]
    assert one.log_prob(["the", "cag", "sleeps"]) == pytest.approx(
        other.log_prob(["the", "cag", "sleeps"]), abs=1e-4
    )
    assert "n-grams are those of `x.arpa`" in (second / "README.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "exit_code", "problem"),
    [
        ((), 2, "give either texts or --from-arpa"),
        (("text.txt", "--from-arpa", "x.arpa"), 2, "give either texts or --from-arpa"),
        (("none.txt",), 3, "cannot read"),
        (("words.dict", "--prune", "2"), 2, "--prune"),
        (("words.dict", "--order", "6"), 2, "--order"),
        (("words.dict", "--max-size", "big"), 2, "--max-size"),
        (("--from-arpa", "text.txt"), 3, r"text.txt:74:1: no line \data"),
    ],
)
def test_what_cannot_be_done_is_said(folder, monkeypatch, arguments, exit_code, problem):
    monkeypatch.chdir(folder)
    run = CliRunner().invoke(
        cli, ["train", "language", *arguments, "--lexicon", "words.dict", "--output", "made"]
    )
    found = run.output if isinstance(run.exception, SystemExit) else str(run.exception)
    assert problem in found
    assert getattr(run.exception, "exit_code", run.exit_code) == exit_code


def test_no_torch_is_needed(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    # What is imported anew must not stay behind: later tests have the modules of before.
    monkeypatch.setattr(edgeaudio, "training", edgeaudio.training)
    for name in [name for name in sys.modules if name.startswith("edgeaudio.training")]:
        monkeypatch.delitem(sys.modules, name)
    run = train(folder, folder / "text.txt", "--output", folder / "made")
    assert run.exit_code == 0, run.output


def test_perplexity_is_that_of_words_alike():
    language = Language.build({"go": [], "no": [], "yo": []})
    found = perplexity(language, [Sentence(("go", "no"), "", ""), Sentence(("zo",), "", "")])
    # Four words and ends, each one of four; the unknown word counts only as such.
    assert found == {"perplexity": 4.0, "oov": 0.3333, "words": 3}


def test_fitting_prunes_as_little_as_possible(tmp_path):
    rng = np.random.default_rng(11)
    text = [(rng.zipf(1.5, rng.integers(1, 12)) % 40 + 3).astype(np.int32) for _ in range(500)]
    levels = estimate(text, n_words=43, order=3)
    everything, threshold = fit(levels, 10**6, 0)
    assert threshold == 0.0
    assert n_grams(everything) == n_grams(levels)
    smaller, threshold = fit(levels, 8000, 1000)
    assert 0 < n_grams(smaller) < n_grams(levels)
    looser, _ = fit(levels, 8200, 1000)
    assert n_grams(looser) > n_grams(smaller)
    assert threshold > 0.0


@pytest.mark.shared
def test_the_bundled_language_expects_english_and_is_small(shared_dir):
    from edgeaudio.models.catalogue import find_language
    from edgeaudio.training.sentences import read_sentences

    path = find_language("english-small")
    assert path.name == LANGUAGE_FILE
    assert path.stat().st_size <= 24_000_000
    language = Language.load(path)
    transcripts = list(read_sentences(shared_dir / "data" / "librispeech_part" / "manifest.tsv"))[:200]
    found = perplexity(language, transcripts)
    # On all 616, of which 152 hold a recogniser's errors: 322 and 1.3 %.
    assert found["perplexity"] < 450
    assert found["oov"] < 0.03

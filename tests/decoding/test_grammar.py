from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import edgeaudio
from edgeaudio.decoding.grammar import Grammar, Order
from edgeaudio.errors import ConfigError

HOME = """#JSGF V1.0 UTF-8 en;
grammar home;

/* Comments of
   both kinds */
public <light> = [<_please>] (turn | switch) (on {state=on} | off {state=off}) the (light | lights)
                 [in the <room>];
public <speak> = (switch the language to | speak) <language>;  // a rule beside the command
public <dial> = dial <digit>+;
public <move> = go from <room> {from} to <room> {to};
public <colour> = make it (red | green | light {pale} blue) {colour};

<room> = /3/ kitchen | bed room {bedroom} | "living room";
<language> = german {de} | english {en};
<digit> = one {1} | two {2} | twenty one;
<_please> = please | could you;
"""


def order(text: str, grammar: str = HOME) -> Order | None:
    return Grammar.parse(grammar).understand(text.split())


@pytest.mark.parametrize(
    ("text", "command", "slots"),
    [
        ("turn on the light", "light", {"state": "on"}),
        ("could you switch off the lights in the bed room", "light", {"state": "off", "room": "bedroom"}),
        ("turn on the light in the living room", "light", {"state": "on", "room": "living room"}),
        ("speak german", "speak", {"language": "de"}),
        ("switch the language to english", "speak", {"language": "en"}),
        ("dial one twenty one two", "dial", {"digit": "1 twenty one 2"}),
        ("go from kitchen to bed room", "move", {"from": "kitchen", "to": "bedroom"}),
        ("make it light blue", "colour", {"colour": "light blue", "pale": "light"}),
    ],
)
def test_slots_hold_words_or_the_tag_that_stands_for_them(
    text: str, command: str, slots: dict[str, str]
) -> None:
    assert order(text) == Order(command, slots)


@pytest.mark.parametrize("text", ["", "turn on", "dial", "turn on the light in the", "please", "the kitchen"])
def test_what_is_no_whole_order_is_not_understood(text: str) -> None:
    assert order(text) is None


def test_an_order_is_complete_when_nothing_can_follow() -> None:
    grammar = Grammar.parse(HOME)
    assert grammar.is_complete(["speak", "german"])
    assert not grammar.is_complete(["turn", "on", "the", "light"]), "a room may follow"
    assert not grammar.is_complete(["dial", "one"]), "a digit may follow"
    assert not grammar.is_complete(["turn", "on", "the"])
    assert not grammar.is_complete([])


def test_the_heavier_reading_counts_and_the_first_among_equals() -> None:
    rules = "public <a> = <x> | {w} <y>; <x> = go {1}; <y> = go {2};"
    equal, weighed = rules.replace("{w} ", ""), rules.replace("<a> =", "<a> = /1/").replace("{w}", "/9/")
    assert order("go", equal) == Order("a", {"x": "1"})
    assert order("go", weighed) == Order("a", {"y": "2"})


def test_a_tag_replaces_the_words_of_its_own_alternative_only() -> None:
    rules = "public <a> = set <n>; <n> = twenty <d> | <d>; <d> = one {1} | (two | too) {2};"
    assert order("set twenty too", rules) == Order("a", {"n": "twenty 2", "d": "2"})


def test_special_rules() -> None:
    rules = "public <a> = stop (now | <NULL>) | never <VOID>;"
    assert order("stop", rules) == Order("a")
    assert order("never", rules) is None
    assert Grammar.parse(rules).words == ("now", "stop"), "what leads nowhere is no word"


def test_counting_orders() -> None:
    assert Grammar.parse("public <a> = [x] (y | z) [x];").n_orders == 8
    assert Grammar.parse(HOME).n_orders == math.inf
    assert Grammar.parse("public <a> = [x];").n_orders == 1, "silence is no order"


def test_followers_that_are_equal_share_their_states() -> None:
    rules = "public <a> = (turn | switch | put | make) (on | off) the light in the <r>; <r> = hall | attic;"
    # One state for each word of the longest order and one behind it.
    assert len(Grammar.parse(rules).states) == 8


ERRORS = [
    ("", 1, 1, "no rules"),
    ("public <a> = b", 1, 15, "expected ';'"),
    ("public <a> b;", 1, 12, "expected '='"),
    ("public <a> = (b;", 1, 16, "expected ')' for the '(' in line 1, column 14"),
    ("public <a> = b]);", 1, 15, "closes nothing"),
    ("public <a> = ;", 1, 14, "expected words"),
    ("public <a> = b |;", 1, 17, "expected words"),
    ("public <a> = b\npublic <c> = d;", 2, 8, "expected ';' before '<c>'"),
    ("public <a> = b\n<c> = d;", 2, 1, "expected ';' before '<c>'"),
    ("public a = b;", 1, 8, "name of a rule"),
    ("public <a b> = c;", 1, 8, "no name of a rule"),
    ("public <a> = 21;", 1, 14, "holds digits"),
    ("public <a> = b$c;", 1, 14, "cannot be spoken"),
    ("public <a> = {t} b;", 1, 14, "a tag stands behind"),
    ("public <a> = b {};", 1, 16, "tag is empty"),
    ("public <a> = b {t;", 1, 16, "a tag ends with"),
    ("public <a> = b {this is code()};", 1, 16, "names no slot"),
    ("public <a> = /0/ b;", 1, 14, "no weight"),
    ("public <a> = b /2/;", 1, 16, "a weight stands at the beginning"),
    ("public <a> = *;", 1, 14, "nothing before it"),
    ('public <a> = "";', 1, 14, "no word between"),
    ("/* public <a> = b;", 1, 1, "never ends"),
    ("import <a.b>;", 1, 1, "cannot import"),
    ("\n\n pubic <a> = b;", 3, 2, "no statement begins with 'pubic'"),
    ("public <a> = b;\n<a> = c;", 2, 1, "twice, first in line 1"),
    ("<NULL> = a;", 1, 1, "built in"),
    ("<a> = b;", 1, 1, "no rule is public"),
    ("<room> = b; public <a> = <rom>;", 1, 26, "no rule <rom>"),
    ("public <a> = b <c>; <c> = d [<a>];", 1, 30, "<a> → <c> → <a>"),
    ("public <a> = b <VOID>;", 1, 1, "no command can ever be spoken"),
    ("public <a> = b; pronounce b = ;", 1, 31, "expected phones"),
    ("public <a> = b; pronounce <b> = B;", 1, 27, "expected a word"),
    ("public <a> = " + "(" * 60 + "b" + ")" * 60 + ";", 1, 64, "more than 50 brackets"),
]


@pytest.mark.parametrize(("text", "line", "column", "problem"), ERRORS)
def test_a_mistake_is_told_with_its_place(text: str, line: int, column: int, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Grammar.parse(text, "home.jsgf")
    assert caught.value.message.startswith(f"home.jsgf: line {line}, column {column}: ")
    assert problem in str(caught.value)


def test_the_nearest_name_is_suggested() -> None:
    with pytest.raises(ConfigError, match="Did you mean <room>"):
        Grammar.parse("<room> = b; public <a> = <rom>;")


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"<a{i}> = <a{i + 1}> <a{i + 1}>;" for i in range(40)) + "<a40> = x; public <z> = <a0>;",
        "".join(f"<a{i}> = <a{i + 1}>;" for i in range(900)) + "<a900> = x; public <z> = <a0>;",
        "public <z> = (a | b)* a" + " (a | b)" * 30 + ";",
        "public <z> = " + " | ".join(f"a [{'b ' * 40}]" for _ in range(5000)) + ";",
    ],
    ids=["doubling", "deep", "many histories", "long"],
)
def test_what_explodes_is_refused_soon(text: str) -> None:
    began = time.process_time()
    with pytest.raises(ConfigError, match=r"more than|too deeply|too large"):
        Grammar.parse(text)
    assert time.process_time() - began < 20, "refusing takes seconds, not minutes"


def test_pronunciations_come_from_the_file_first() -> None:
    grammar = Grammar.parse(
        "public <a> = hey edgeaudio | sum; pronounce sum = S AH M;"
        "pronounce edgeaudio = EH1 JH AO D IY OW | EH JH AO;"
    )

    def pronounce(word: str) -> Sequence[Sequence[str]]:
        return [["HH", "EY"]] if word == "hey" else []

    assert grammar.spell(pronounce) == {
        "hey": [("HH", "EY")],
        "sum": [("S", "AH", "M")],
        "edgeaudio": [("EH", "JH", "AO", "D", "IY", "OW"), ("EH", "JH", "AO")],
    }
    grammar.check_phones(["EH", "JH", "AO", "D", "IY", "OW", "S", "AH", "M"])
    with pytest.raises(ConfigError, match=r"column 45: unknown phone 'AH' .* 'sum'"):
        grammar.check_phones(["S", "M"])
    with pytest.raises(ConfigError, match=r"column 18: no pronunciation is known for 'edgeaudio'"):
        Grammar.parse("public <a> = hey edgeaudio;").spell(pronounce)


def test_a_grammar_is_a_language_that_permits_only_its_orders() -> None:
    grammar = Grammar.parse("public <a> = /1/ go | /4/ go home;")
    language = grammar.language(lambda word: [list(word.upper())])
    likely, rare = language.log_prob(["go", "home"]), language.log_prob(["go"])
    # Weights are kept to 0.05 of a natural logarithm.
    assert likely - rare == pytest.approx(math.log(4), abs=0.03)
    assert language.log_prob(["home"]) == -math.inf
    assert language.log_prob(["go", "home", "go"]) == -math.inf


def test_reading_a_file(tmp_path: Path) -> None:
    path = tmp_path / "home.jsgf"
    path.write_bytes(b"\xef\xbb\xbfpublic <a> = Don\xe2\x80\x99t STOP t-shirt;\r\n")
    grammar = Grammar.read(path)
    assert (grammar.name, grammar.commands) == ("home", ("a",))
    assert grammar.understand(["don't", "stop", "t", "shirt"]) == Order("a")
    path.write_bytes(b"public <a> =\n caf\xe9;")
    with pytest.raises(ConfigError, match="line 2: not UTF-8"):
        Grammar.read(path)
    with pytest.raises(ConfigError, match="cannot read"):
        Grammar.read(tmp_path / "none.jsgf")


@given(st.text(alphabet='ab<>=;|()[]*+{}"/ \n#\\', max_size=40))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    problem = "f: line"
    try:
        Grammar.parse(f"public <z> = {text};", "f")
    except ConfigError as error:
        problem = error.message
    assert problem.startswith("f: line")


DOCS = (Path(edgeaudio.__file__).parents[1] / "docs" / "grammars.md").read_text(encoding="utf-8")


def test_the_example_of_the_documentation_does_what_it_says() -> None:
    example = re.search(r"```java\n(.*?)```", DOCS, re.DOTALL)
    assert example is not None
    grammar = Grammar.parse(example[1])
    rows = re.findall(r"^\| ([a-z ]+) \| (?:`(\w+)`|\S) \|(.*)\|$", DOCS, re.MULTILINE)
    assert len(rows) == 5
    for said, command, slots in rows:
        expected = Order(command, dict(re.findall(r"`(\w+)`: (\w+)", slots))) if command else None
        assert grammar.understand(said.split()) == expected


@pytest.mark.parametrize(
    ("text", "command", "slots"),
    [
        ("turn on the lights in the kitchen", "lights", {"state": "on", "room": "kitchen"}),
        ("turn the heat down", "heating", {"change": "decrease"}),
        ("increase the volume", "volume", {"change": "increase"}),
        ("switch the language to german", "language", {"tongue": "german"}),
        ("could you bring me my shoes", "bring", {"thing": "shoes"}),
        ("set the temperature to twenty two degrees", "heating", {"degrees": "twenty two"}),
        ("set a timer for five minutes", "timer", {"number": "five", "unit": "minutes"}),
        ("what's the weather", "question", {"about": "weather"}),
    ],
)
def test_the_example_file_understands_a_home(text: str, command: str, slots: dict[str, str]) -> None:
    grammar = Grammar.read(Path(edgeaudio.__file__).parent / "assets" / "home.jsgf")
    assert grammar.understand(text.split()) == Order(command, slots)
    assert 1000 < grammar.n_orders < 10_000, "as docs/grammars.md says"

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.profiling.markup import Html, facts, join, tag


class Reader(HTMLParser):
    """Collects elements and words."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


@settings(max_examples=50, deadline=None)
@given(st.text(), st.text())
def test_no_text_becomes_markup(content: str, attribute: str) -> None:
    reader = Reader(tag("p", content, title=attribute))
    printed = "".join(c if c.isprintable() else "?" for c in content)
    assert [name for name, _ in reader.elements] == ["p"]
    assert reader.words == printed
    assert list(reader.elements[0][1]) == ["title"]


def test_markup_stays_markup_and_a_joined_string_does_not() -> None:
    assert join((tag("b", "1 < 2"), " & ")) == "<b>1 &lt; 2</b> &amp; "
    assert not isinstance(tag("b", "x") + "<i>", Html)


def test_attributes_are_named_as_html_names_them() -> None:
    assert tag("line", class_="grid", stroke_width=2, x=1.25, y=None) == (
        '<line class="grid" stroke-width="2" x="1.2"></line>'
    )
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8">'


def test_names_of_facts_are_headings_of_their_rows() -> None:
    assert '<th scope="row">a&lt;b</th><td>c</td>' in facts([("a<b", "c")])

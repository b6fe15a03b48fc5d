"""HTML and SVG as text that cannot be broken out of: whatever is not markup already is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import Path

from edgeaudio.sinks.lines import printable

__all__ = ["Html", "document", "facts", "figure_cell", "join", "name_cell", "picture_cell", "table", "tag"]

_STYLE = Path(__file__).with_name("report.css")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Nothing is fetched and nothing runs, whatever the name of a file or a device smuggles in."""
_VOID = frozenset({"br", "meta"})


class Html(str):
    """Markup. Any other string is words from somewhere, and is escaped where it is put into markup."""

    __slots__ = ()


def tag(name: str, /, *content: str, **attributes: str | float | None) -> Html:
    """Make an element.

    Parameters
    ----------
    name : str
        Such as ``"td"``.
    *content : str
        `Html` as it is, everything else escaped, with what does not print replaced.
    **attributes : str or float or None
        A trailing underscore is dropped (``class_``), the others become hyphens, except that
        ``viewBox`` and the like stay as they are. None leaves an attribute out.

    Examples
    --------
    >>> tag("td", "<b>", class_="name")
    '<td class="name">&lt;b&gt;</td>'
    """
    opening = [name]
    for key, value in attributes.items():
        if value is not None:
            text = f"{value:.1f}" if isinstance(value, float) else printable(str(value))
            opening.append(f'{key.rstrip("_").replace("_", "-")}="{html.escape(text)}"')
    start = " ".join(opening)
    return Html(f"<{start}>" if name in _VOID else f"<{start}>{join(content)}</{name}>")


def join(content: Iterable[str]) -> Html:
    """Put pieces behind each other, each escaped unless it is `Html`."""
    return Html("".join(part if isinstance(part, Html) else html.escape(printable(part)) for part in content))


def document(title: str, *content: str, style: str = "", images: bool = False) -> str:
    """Make a page that needs no other file.

    Parameters
    ----------
    title : str
        What its window is called.
    *content : str
        What stands on it.
    style : str, optional
        Style sheet for what is on this page only, behind that of all pages.
    images : bool, optional
        Allow images that lie in the page itself.
    """
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY + "; img-src data:" * images),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Html(_STYLE.read_text(encoding="utf-8") + style)),
    )
    return f"<!doctype html>\n{tag('html', head, tag('body', tag('main', *content)), lang='en')}\n"


def facts(named: Iterable[tuple[str, str]]) -> Html:
    """Make a table of names and what is to be said of each."""
    rows = (tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in named)
    return tag("div", tag("table", tag("tbody", *rows), class_="plain"), class_="wide")


def name_cell(*content: str) -> Html:
    """Make the first cell of a row."""
    return tag("th", *content, scope="row")


def figure_cell(figure: str, small: str = "") -> Html:
    """Make a cell of a number, with something in small letters below it."""
    return tag("td", figure, tag("small", small) if small else Html(), class_="n")


def picture_cell(picture: Html) -> Html:
    """Make a cell of a picture."""
    return tag("td", picture, class_="picture")


def table(
    name: str,
    header: Sequence[str],
    rows: Iterable[Sequence[Html]],
    *,
    right: Iterable[int] = (),
    narrow: bool = False,
) -> Html:
    """Make a table of rows of cells.

    Parameters
    ----------
    name : str
        What a screen reader calls it.
    header : sequence of str
        Above the columns; one that is `Html` stands above pictures.
    rows : iterable of sequences of Html
        Cells, made with `tag`.
    right : iterable of int
        Columns of numbers, whose headings are ranged right.
    narrow : bool, optional
        Take no more width than the cells need.
    """
    ranged = set(right)
    kinds = (
        "n" if i in ranged else "picture" if isinstance(cell, Html) else None for i, cell in enumerate(header)
    )
    heads = (tag("th", cell, scope="col", class_=kind) for cell, kind in zip(header, kinds, strict=True))
    body = (tag("tr", *row) for row in rows)
    content = (tag("thead", tag("tr", *heads)), tag("tbody", *body))
    # A table that is wider than a telephone scrolls by itself, also with a keyboard.
    whole = tag("table", *content, class_="narrow" if narrow else None)
    return tag("div", whole, class_="wide", tabindex=0, role="region", aria_label=name)

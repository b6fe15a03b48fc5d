"""HTML and SVG as text that cannot be broken out of: whatever is not markup already is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable

from edgeaudio.sinks.lines import printable

__all__ = ["Html", "join", "tag"]

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
            text = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else printable(str(value))
            opening.append(f'{key.rstrip("_").replace("_", "-")}="{html.escape(text)}"')
    start = " ".join(opening)
    return Html(f"<{start}>" if name in _VOID else f"<{start}>{join(content)}</{name}>")


def join(content: Iterable[str]) -> Html:
    """Put pieces behind each other, each escaped unless it is `Html`."""
    return Html(
        "".join(part if isinstance(part, Html) else html.escape(printable(part)) for part in content)
    )

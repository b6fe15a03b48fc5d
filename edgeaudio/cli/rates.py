"""False alarms in some time, as an option: ``0.5/day``."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import click

__all__ = ["Rate", "length", "rate", "rate_text"]

_HOURS = {
    **dict.fromkeys(("h", "hr", "hour"), 1.0),
    **dict.fromkeys(("d", "day"), 24.0),
    **dict.fromkeys(("w", "week"), 168.0),
}


class Rate(NamedTuple):
    """So many an hour; `text` is how it was written."""

    per_hour: float
    text: str


def rate(text: str | Rate) -> Rate:
    """Read a rate such as ``0.5/day``, ``1/hour`` or ``0.1/h``, as an option's type."""
    if isinstance(text, Rate):
        return text
    examples = "write for example 0.5/day, 1/hour or 0.1/h"
    number, _, unit = text.strip().lower().partition("/")
    if not re.fullmatch(r"\s*(\d{1,9}(\.\d{0,9})?|\.\d{1,9})\s*", number):
        raise click.BadParameter(f"{text!r} is no rate: {examples}.")
    hours = _HOURS.get(unit.strip())
    if hours is None:
        told = f"{unit.strip()!r} is no hour, day or week" if unit.strip() else "it says not in which time"
        raise click.BadParameter(f"{text!r} is no rate: {told}; {examples}.")
    if float(number) <= 0.0:
        raise click.BadParameter(f"{text!r}: no threshold promises that there is never one; {examples}.")
    return Rate(float(number) / hours, f"{float(number):g}/{unit.strip()}")


def length(hours: float) -> str:
    """Say how long something lasts.

    Examples
    --------
    >>> length(24.0), length(0.75), length(0.0025)
    ('24.0 h', '45 min', '9 s')
    """
    if hours >= 1.5:
        return f"{hours:.1f} h"
    return f"{60 * hours:.0f} min" if hours >= 1 / 30 else f"{3600 * hours:.0f} s"


def rate_text(per_hour: float) -> str:
    """Say a rate in the unit in which it is easy to read.

    Examples
    --------
    >>> rate_text(0.5 / 24), rate_text(3.25), rate_text(0.001), rate_text(0.0)
    ('0.50 a day', '3.2 an hour', '0.17 a week', 'none')
    """
    if per_hour <= 0.0:
        return "none"
    if not math.isfinite(per_hour):
        return "any number"
    for hours, unit in ((1.0, "an hour"), (24.0, "a day"), (168.0, "a week")):
        if per_hour * hours >= (1.0 if unit == "an hour" else 0.1) or unit == "a week":
            number = per_hour * hours
            digits = 2 if number < 1 else 1 if number < 10 else 0
            return f"{number:.{digits}f} {unit}" if number >= 0.005 else f"less than 0.01 {unit}"
    raise AssertionError

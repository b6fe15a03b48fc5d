"""From readings of the instruction counter to instructions for each second of audio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["LONG_S", "MARK", "SHORT_S", "TOLERANCE", "moved", "per_second"]

MARK = 0x0EA0D10
"""The user number whose priority the guest asks for when it wants a reading; see count.c."""
SHORT_S, LONG_S = 4, 16
"""Each workload hears so many seconds of its recording, then so many: what a run costs however long it is
(a reset, an engine's start and end) is in both, and not in their difference."""
TOLERANCE = 0.02
"""Six runs of the same code differed by up to 1.2 % in one row (where memory lies decides what copying it
takes) and by less than 0.8 % in the others; what is more than this was changed by somebody."""

_READINGS = 4
"""Before and after the short stretch, before and after the long one."""
_SEARCH = "captions-en-small, search and writing"
_WHOLE, _PART = "captions-en-small, litert", "captions-en-small, acoustic model, litert"


def per_second(names: Sequence[str], readings: Sequence[int]) -> dict[str, float]:
    """Return instructions for each second of audio, by workload.

    Parameters
    ----------
    names : sequence of str
        The workloads, in the order in which they ran.
    readings : sequence of int
        Four of each: before and after `SHORT_S` seconds, before and after `LONG_S`.

    Raises
    ------
    ValueError
        Readings are missing, or the counter did not count.
    """
    if len(readings) != _READINGS * len(names):
        raise ValueError(f"{len(readings)} readings of the counter for {len(names)} workloads of {_READINGS}")
    found = {}
    for i, name in enumerate(names):
        before_short, after_short, before_long, after_long = readings[_READINGS * i : _READINGS * (i + 1)]
        more = (after_long - before_long) - (after_short - before_short)
        if more <= 0:
            raise ValueError(f"{name}: {LONG_S} s of audio took no more instructions than {SHORT_S} s")
        found[name] = more / (LONG_S - SHORT_S)
        if name == _WHOLE:  # what the recogniser does behind its network can only be had as the rest
            found[_SEARCH] = found[_WHOLE] - found[_PART]
    return found


def moved(found: Mapping[str, float], known: Mapping[str, float], *, all_counted: bool) -> list[str]:
    """Say what differs from the known counts by more than `TOLERANCE`, or is in one of them only.

    With ``all_counted=False`` it is no surprise that what is known was not counted.
    """
    lines = [f"{name}: not in the table" for name in found if name not in known]
    if all_counted:
        lines += [f"{name}: in the table, and not counted any more" for name in known if name not in found]
    for name in found.keys() & known.keys():
        change = found[name] / known[name] - 1
        if abs(change) > TOLERANCE:
            now, then = found[name] / 1e6, known[name] / 1e6
            lines.append(
                f"{name}: {now:.3f} million instructions per audio second, {100 * change:+.1f} % against"
                f" {then:.3f} in the table"
            )
    return sorted(lines)

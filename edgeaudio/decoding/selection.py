"""Choosing the best hypotheses, for compiled code."""

from __future__ import annotations

from typing import Any

from numba import njit

__all__ = ["keep_best", "least_to_survive", "nth_largest"]

_inner: Any = njit(nogil=True, error_model="numpy")


@_inner
def nth_largest(values, size, n):  # type: ignore[no-untyped-def]
    """Return the n-th largest of ``values[:size]``, n from 1 on; they change places (Hoare's quickselect)."""
    low, high, wanted = 0, size - 1, n - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] > pivot:
                i += 1
            while values[j] < pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if wanted <= j:
            high = j
        elif wanted >= i:
            low = i
        else:
            break
    return values[wanted]


@_inner
def least_to_survive(hypotheses, size, width, least, scratch):  # type: ignore[no-untyped-def]
    """Return `least`, or more where so many of ``hypotheses[:size]`` have more that nothing else survives.

    `scratch` has room for `size` numbers.
    """
    if size < width:
        return least
    for i in range(size):
        scratch[i] = hypotheses[i].blank + hypotheses[i].token
    return max(least, nth_largest(scratch, size, width))


@_inner
def keep_best(hypotheses, size, width, least, scratch):  # type: ignore[no-untyped-def]
    """Keep of ``hypotheses[:size]`` the `width` most probable ones, none of them below `least`.

    They move to the front in their order. Returns their number and the least probability among them that
    was asked for. `scratch` has room for `size` numbers.
    """
    ties = size
    if size > width:
        nth = least_to_survive(hypotheses, size, width, 0.0, scratch)
        if nth >= least:
            least, ties = nth, width
            for i in range(size):
                if hypotheses[i].blank + hypotheses[i].token > least:
                    ties -= 1
    kept = 0
    for i in range(size):
        total = hypotheses[i].blank + hypotheses[i].token
        if total < least or (total == least and ties == 0):
            continue
        if total == least:
            ties -= 1
        if kept != i:
            hypotheses[kept] = hypotheses[i]
        kept += 1
    return kept, least

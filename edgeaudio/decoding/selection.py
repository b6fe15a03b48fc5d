"""Choosing the best hypotheses, for compiled code."""

from __future__ import annotations

from typing import Any

from numba import njit

__all__ = ["nth_largest"]

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

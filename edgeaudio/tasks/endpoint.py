"""When a caption is over. Pure logic on times, without audio, models or clocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from edgeaudio.errors import UsageError

__all__ = ["Ending", "Endpoint"]

Ending: TypeAlias = Literal["silence", "rule", "length", "nothing"]
"""Why a caption ends: it is silent after text, what was said is complete, it has become too long,
or nothing was said at all."""

_LONGEST_S = 120.0
_PATIENT_PART = 0.5
"""The part of `max_s` up to which only a whole `silence_s` ends a caption."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """The rules by which captions end; the first that holds decides.

    Parameters
    ----------
    silence_s : float
        So long a silence after text ends it. In the second half of `max_s` less and less silence will do,
        down to `pause_s`: a long caption is better cut at a pause than in the middle of a phrase.
    pause_s : float
        The shortest silence between two sentences.
    max_s : float
        The longest caption. One that reaches it ends behind the last word that is certain; what follows is
        the beginning of the next.
    complete_s : float
        So long a silence ends it if the text is complete.
    is_complete : callable, optional
        Says of a text whether it is complete; without it, none is. A grammar says so for its commands.
    nothing_s : float
        So long a silence ends what gave no text.

    Raises
    ------
    UsageError
        A time is not positive or a caption longer than two minutes, or pauses are longer than silences.

    Examples
    --------
    >>> rules = Endpoint(silence_s=0.8)
    >>> rules.decide("turn it off", quiet_s=0.7, length_s=2.0) is None
    True
    >>> rules.decide("turn it off", quiet_s=0.8, length_s=2.1)
    'silence'
    """

    silence_s: float = 0.8
    pause_s: float = 0.3
    max_s: float = 20.0
    complete_s: float = 0.4
    is_complete: Callable[[str], bool] | None = None
    nothing_s: float = 0.8

    def __post_init__(self) -> None:
        for name in ("silence_s", "pause_s", "max_s", "complete_s", "nothing_s"):
            value = getattr(self, name)
            # "not <" also catches NaN.
            if not 0.0 < value <= _LONGEST_S:
                raise UsageError(f"endpoint: {name} is {value:g}, not between 0 and {_LONGEST_S:g} s")
        if self.pause_s > self.silence_s:
            raise UsageError(
                f"endpoint: pause_s is {self.pause_s:g}, longer than silence_s, {self.silence_s:g}"
            )

    def decide(self, text: str, *, quiet_s: float, length_s: float) -> Ending | None:
        """Say why the caption is over, or None if it goes on.

        Parameters
        ----------
        text : str
            What was said so far, tentative words included.
        quiet_s : float
            Time since the last sound of speech.
        length_s : float
            Time since the first.
        """
        if not text:
            over = quiet_s >= self.nothing_s or length_s >= self.max_s
            return "nothing" if over else None
        if quiet_s >= self.silence_needed_s(length_s):
            return "silence"
        if self.is_complete is not None and quiet_s >= self.complete_s and self.is_complete(text):
            return "rule"
        return "length" if length_s >= self.max_s else None

    def silence_needed_s(self, length_s: float) -> float:
        """Return how long a silence ends a caption of this length."""
        patient_s = _PATIENT_PART * self.max_s
        part = min(1.0, max(0.0, (length_s - patient_s) / (self.max_s - patient_s)))
        return self.silence_s + part * (self.pause_s - self.silence_s)

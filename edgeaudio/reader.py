"""Carries a source's audio to the listener, block by block, over its gaps; jumps where it is too late.

No threads: whoever calls `Reader.advance` is the one that waits.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from edgeaudio.events import Event, Gap
from edgeaudio.history import History
from edgeaudio.listener import Listener

if TYPE_CHECKING:
    from edgeaudio.sources import Source

__all__ = ["Reader"]

_LOG = logging.getLogger(__name__)
_WAIT_S = 0.1
"""How late it is noticed that nobody wants to go on while no audio comes."""
_CATCH_UP_S = 0.5
"""After a stall, of a sound server or of this process, seconds of audio come at once. Nothing of them needs
to be lost: they are worked off a hundred times faster than they were spoken."""


class Reader:
    """Reads a source to its end.

    Parameters
    ----------
    source : Source
        Started by somebody else.
    listener : Listener
        Hears every sample once, in order.
    max_lag_samples : int
        How far a live source may be ahead for half a second before the reader jumps to the present.
    history : History, optional
        Also gets all audio.
    """

    def __init__(
        self, source: Source, listener: Listener, max_lag_samples: int, history: History | None = None
    ) -> None:
        self._source = source
        self._listener = listener
        self._max_lag = max_lag_samples
        self._history = history
        self._at_start = True
        self._late_since_s: float | None = None
        self.processed = 0
        """Samples heard."""
        self.skipped = 0
        """Samples jumped over."""

    def advance(self, events: list[Event]) -> bool:
        """Wait for a block and hear it; False when the source has ended and all is said."""
        source, ring, listener = self._source, self._source.ring, self._listener
        wanted = listener.first_samples if self._at_start else listener.hop_samples
        finished = source.finished  # read before the wait: so no sample can come after it
        available = source.wait(wanted, _WAIT_S)
        events += source.take_notices()
        if source.live and self._is_hopeless(available):
            self._skip(available - listener.first_samples, events)
            return True
        if available < wanted:
            if available == 0:
                return self._pass_gap(events) or self._finish(finished, events)
            if not (finished or ring.cut_short):
                return True  # the rest of the block has not come yet
        n = min(available, wanted)
        view = ring.peek(n)
        if view is not None:
            if self._history is not None:
                self._history.append(view, ring.position)
            listener.hear(view, events)
            if not self.processed:
                _LOG.debug("first frame")
            ring.advance(n)
            self.processed += n
            self._at_start = False
        return True

    def _is_hopeless(self, available: int) -> bool:
        """Whether the lag was too long for `_CATCH_UP_S`: more than a burst that is worked off quickly."""
        if available <= self._max_lag:
            self._late_since_s = None
            return False
        now_s = time.monotonic()
        if self._late_since_s is None:
            self._late_since_s = now_s
        return now_s - self._late_since_s >= _CATCH_UP_S

    def _finish(self, finished: bool, events: list[Event]) -> bool:
        """With no sample left: False, and the last decisions, if the source has ended."""
        if finished:
            self._listener.finish(events)
        return not finished

    def _pass_gap(self, events: list[Event]) -> bool:
        """Go on behind the gap at the read position, if there is one."""
        gap = self._source.ring.take_gap()
        if gap is None:
            return False
        self._lose(gap, events)
        return True

    def _skip(self, n: int, events: list[Event]) -> None:
        """Jump forward: a live source cannot wait."""
        ring = self._source.ring
        gap = Gap(start_sample=ring.position, n_samples=n, cause="consumer_lag")
        ring.advance(n)
        self._late_since_s = None
        self.skipped += n
        self._lose(gap, events)

    def _lose(self, gap: Gap, events: list[Event]) -> None:
        self._at_start = True
        self._listener.restart(gap.start_sample + gap.n_samples, events)
        events.append(gap)

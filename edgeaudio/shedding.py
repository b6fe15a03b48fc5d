"""How much work a late reader leaves out. Pure arithmetic, without threads, clocks or tasks."""

from __future__ import annotations

__all__ = ["Shedding"]


class Shedding:
    """Judges from the lag how much work to leave out.

    Levels are entered in order, each when its share of the largest lag has been
    exceeded for a while, so that a burst that is worked off at once costs nothing; and left one by one.

    Parameters
    ----------
    max_lag_s : float
        Lag at which the reader has to jump. Half of it enters the last level, a quarter the one before.
    n_levels : int
        How many measures there are to take before; with none it can only jump.

    Attributes
    ----------
    jump : int
        The level beyond the last one.

    Examples
    --------
    >>> shedding = Shedding(2.0)
    >>> [shedding.review(lag_s=1.5, now_s=t) for t in (0.0, 0.25, 0.5, 0.75, 9.0)]
    [0, 1, 2, 2, 2]
    >>> [shedding.review(lag_s=2.5, now_s=t) for t in (10.0, 10.25)]  # 3: jump; afterwards 2 again
    [2, 3]
    """

    PATIENCE_S = 0.25
    CALM_S = 1.0

    def __init__(self, max_lag_s: float, n_levels: int = 2) -> None:
        self.level = 0
        self.jump = n_levels + 1
        self._limits_s = [max_lag_s / 2**n for n in range(n_levels, -1, -1)]
        self._late_since_s: float | None = None
        self._calm_since_s: float | None = None

    def review(self, lag_s: float, now_s: float) -> int:
        """Return the level that counts from now on, at the time `now_s` of any steady clock."""
        late = lag_s > self._limits_s[self.level]
        calm = self.level > 0 and lag_s < self._limits_s[self.level - 1] / 2
        self._late_since_s = _since(late, self._late_since_s, now_s)
        self._calm_since_s = _since(calm, self._calm_since_s, now_s)
        # Where the reader is so slow that reviews are far apart, one does what several would have done.
        while self._late_since_s is not None and now_s - self._late_since_s >= self.PATIENCE_S:
            if self.level + 1 == self.jump:
                self._late_since_s = now_s
                return self.jump
            self.level += 1
            exceeded = lag_s > self._limits_s[self.level]
            self._late_since_s = self._late_since_s + self.PATIENCE_S if exceeded else None
        if self._calm_since_s is not None and now_s - self._calm_since_s >= self.CALM_S:
            self._calm_since_s = now_s
            self.level -= 1
        return self.level


def _since(holds: bool, since_s: float | None, now_s: float) -> float | None:
    return None if not holds else now_s if since_s is None else since_s

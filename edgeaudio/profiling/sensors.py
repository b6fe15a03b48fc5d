"""What the device says of itself while something is measured: each quantity measured, or unavailable and why.

A `Gauge` reads one quantity; `edgeaudio.profiling.gauges` finds those of this device. A `Sampler` reads
them all in a thread of its own, once a second by default. Whatever a gauge does (a file that vanishes, text
for a number, minus 300 degrees, a program that hangs) is a reason in the report, never a failure of the
measurement.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgeaudio.profiling.measurement import Sensor

__all__ = ["Gauge", "Sampler", "Unavailable", "absent"]

_LOG = logging.getLogger(__name__)
_PLAUSIBLE = {
    "MHz": (1.0, 20_000.0),
    "°C": (-60.0, 200.0),
    "W": (0.0, 10_000.0),
    "MB": (0.0, 1e8),
    "%": (0.0, 1e5),  # of one core: more than 100 with several
    "": (0.0, 1.0),  # yes or no
}
"""Lowest and highest value of each unit that can be true."""
_TRIES = 3
"""Readings in a row that may fail before a gauge is given up."""
_MOST_SAMPLES = 4000
"""Of a gauge, kept: an hour, once a second. Of longer runs it is every second reading, every fourth, …"""
_JOIN_S = 3.0


class Unavailable(Exception):  # noqa: N818 - no failure of this program
    """A gauge cannot be read, now or later; the message says why."""


@dataclass(frozen=True)
class Gauge:
    """One quantity of the device, and how to read it.

    Attributes
    ----------
    name, unit, source : str
        As in `Sensor`. The unit is one of MHz, °C, W, MB, %, or empty for yes (1) and no (0).
    read : callable
        Returns the value now, or None where there is none yet: a rate needs two readings. Raises
        `Unavailable` if it never will; OSError and ValueError are for what may pass.
    every : int
        Read in each so-manieth round only: running a program costs more than reading a file.
    """

    name: str
    unit: str
    source: str
    read: Callable[[], float | None]
    every: int = 1


def absent(name: str, unit: str, source: str, reason: str) -> Gauge:
    """Return the gauge of a quantity that this device does not tell."""

    def read() -> float | None:
        raise Unavailable(reason)

    return Gauge(name, unit, source, read)


class Sampler:
    """Reads gauges at a steady pace in a thread of its own.

    Parameters
    ----------
    gauges : sequence of Gauge, optional
        Default: what `edgeaudio.profiling.gauges.find_gauges` finds on this device. That can take a second,
        and is done here, before anything is measured.
    interval_s : float
        From round to round.

    Examples
    --------
    >>> sampler = Sampler([Gauge("answer", "°C", "an example", lambda: 42.0)], interval_s=0.01)
    >>> sampler.start()
    >>> [sensor] = sampler.stop()
    >>> sensor.status, sensor.samples[0][1]
    ('measured', 42.0)
    """

    def __init__(self, gauges: Sequence[Gauge] | None = None, *, interval_s: float = 1.0) -> None:
        if gauges is None:
            from edgeaudio.profiling.gauges import find_gauges

            gauges = find_gauges()
        self._records = [_Record(gauge) for gauge in gauges]
        self._interval_s = interval_s
        self._ending = threading.Event()
        self._reading: _Record | None = None
        self._thread = threading.Thread(target=self._run, name="edgeaudio-sensors", daemon=True)
        self._started_s = 0.0
        self._stopped_s = 0.0
        self.cpu_s = 0.0
        """CPU time that reading took so far, programs that were run for it left out."""

    def start(self) -> None:
        """Begin; the first round comes at once."""
        self._started_s = time.monotonic()
        self._thread.start()

    def stop(self, since_s: float | None = None) -> list[Sensor]:
        """End, and return what was found. A gauge that hangs is left behind.

        Parameters
        ----------
        since_s : float, optional
            The `time.monotonic` from which the moments of samples count; default the start.
        """
        self._ending.set()
        self._stopped_s = time.monotonic()
        if self._started_s:
            self._thread.join(_JOIN_S)
        stuck = self._reading if self._thread.is_alive() else None
        since_s = self._started_s if since_s is None else since_s
        return [record.sensor(since_s, stuck=record is stuck) for record in self._records]

    @property
    def share(self) -> float:
        """Part of a core that reading took, from start to stop."""
        wall_s = self._stopped_s - self._started_s
        return self.cpu_s / wall_s if self._started_s and wall_s > 0 else 0.0

    def _run(self) -> None:
        """Be the thread."""
        n_rounds = 0
        while True:
            for record in self._records:
                if self._ending.is_set() and n_rounds:
                    return
                if not record.given_up and n_rounds % record.gauge.every == 0:
                    self._reading = record
                    record.take(time.monotonic())
            self._reading = None
            self.cpu_s = time.thread_time()
            n_rounds += 1
            # By the clock, not from the end of the last round; rounds that a slow gauge took are left out.
            late_s = (time.monotonic() - self._started_s) % self._interval_s
            if self._ending.wait(self._interval_s - late_s):
                return


class _Record:
    """What one gauge told."""

    def __init__(self, gauge: Gauge) -> None:
        self.gauge = gauge
        self.given_up = False
        self._samples: list[tuple[float, float]] = []
        self._n_read = 0
        self._stride = 1
        self._left_out = 0
        self._failures = 0
        self._failed_s = 0.0
        self._reason = ""

    def take(self, now_s: float) -> None:
        """Read the gauge at the `time.monotonic` of `now_s`."""
        try:
            value = self.gauge.read()
            if value is None:
                return
            self._check(value)
        except Unavailable as why:
            self._fail(str(why), now_s, tries=1)
        except OSError as error:
            self._fail(f"{error.strerror or error}", now_s)
        except ValueError as error:
            self._fail(str(error), now_s)
        except Exception as error:  # whatever it is, the measurement goes on
            _LOG.debug("%s: %s", self.gauge.source, error, exc_info=True)
            self._fail(f"{type(error).__name__}: {error}", now_s, tries=1)
        else:
            self._failures = 0
            self._keep(now_s, value)

    def sensor(self, since_s: float, *, stuck: bool = False) -> Sensor:
        """Return all that was told; moments count from `since_s`."""
        gauge, samples = self.gauge, list(self._samples)
        reason = ""
        if stuck:
            reason = "it does not answer"
        elif self.given_up and samples:
            reason = f"from {self._failed_s - since_s:.1f} s on: {self._reason}"
        elif not samples:
            reason = self._reason or "nothing was read in so short a time"
        elif self._left_out:
            reason = f"{self._left_out} left out: {self._reason}"
        return Sensor(
            name=gauge.name,
            unit=gauge.unit,
            status="unavailable" if stuck or self.given_up or not samples else "measured",
            source=gauge.source,
            reason=reason,
            samples=[(round(at_s - since_s, 3), value) for at_s, value in samples],
        )

    def _keep(self, now_s: float, value: float) -> None:
        if self._n_read % self._stride == 0:
            self._samples.append((now_s, value))
        self._n_read += 1
        if len(self._samples) > _MOST_SAMPLES:
            self._samples = self._samples[::2]
            self._stride *= 2

    def _check(self, value: float) -> None:
        lowest, highest = _PLAUSIBLE[self.gauge.unit]
        if not (math.isfinite(value) and lowest <= value <= highest):
            raise ValueError(f"it says {value:g} {self.gauge.unit}".rstrip() + ", which cannot be")

    def _fail(self, reason: str, now_s: float, tries: int = _TRIES) -> None:
        if not self._failures:
            self._failed_s = now_s
        self._failures += 1
        self._left_out += 1
        self._reason = reason
        self.given_up = self._failures >= tries

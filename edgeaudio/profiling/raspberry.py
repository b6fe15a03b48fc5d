"""What a Raspberry Pi's firmware says, through its program ``vcgencmd``.

It alone knows the real clock: cpufreq goes on telling the one that was asked for while the firmware throttles
(raspberrypi/linux issue 2986).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edgeaudio.profiling.sensors import Gauge, Unavailable, absent

__all__ = ["Firmware", "firmware_gauges"]

_TIMEOUT_S = 1.0
_EVERY = 5
"""Rounds of the sampler: running the program takes milliseconds of CPU time on a small board."""
_THROTTLED_NOW = 0xF
"""Under-voltage, clock capped, throttled, soft temperature limit. Higher bits are of the past."""
_OLD_PLACE = Path("/opt/vc/bin")


@dataclass(frozen=True)
class Firmware:
    """The firmware's gauges, by what they tell."""

    frequency: list[Gauge] = field(default_factory=list)
    temperature: Gauge | None = None
    throttling: list[Gauge] = field(default_factory=list)
    power: list[Gauge] = field(default_factory=list)


def firmware_gauges() -> Firmware:
    """Return what can be asked. Power is measured by a Raspberry Pi 5 and its kin only."""
    program = shutil.which("vcgencmd") or shutil.which("vcgencmd", path=str(_OLD_PLACE))
    if program is None:
        reason = "no program vcgencmd, as Raspberry Pis have"
        return Firmware(
            throttling=[absent("throttled (firmware)", "", "vcgencmd get_throttled", reason)],
            power=[absent("power (PMIC)", "W", "vcgencmd pmic_read_adc", reason)],
        )

    def gauge(name: str, unit: str, command: str, value: Callable[[str], float]) -> Gauge:
        return Gauge(name, unit, f"vcgencmd {command}", lambda: value(_ask(program, command)), _EVERY)

    return Firmware(
        frequency=[gauge("cpu frequency (firmware)", "MHz", "measure_clock arm", _megahertz)],
        temperature=gauge("cpu temperature", "°C", "measure_temp", _degrees),
        throttling=[gauge("throttled (firmware)", "", "get_throttled", _throttled)],
        power=[gauge("power (PMIC)", "W", "pmic_read_adc", _watts)],
    )


def _ask(program: str, command: str) -> str:
    """Return what the program says.

    Raises
    ------
    Unavailable
        It cannot be run, hangs, or does not know the command.
    """
    try:
        done = subprocess.run(
            [program, *command.split()],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"it did not answer within {_TIMEOUT_S:g} s") from None
    except OSError as error:
        raise Unavailable(f"it cannot be run: {error.strerror}") from None
    said = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode != 0 or "error=" in said:
        complaint = said or done.stderr.decode("utf-8", "replace").strip()
        raise Unavailable(f"it refuses: {complaint[:100] or f'exit status {done.returncode}'}")
    return said


def _value(said: str, pattern: str) -> str:
    found = re.search(pattern, said)
    if found is None:
        raise ValueError(f"it says '{said[:40]}'")
    return found.group(1)


def _megahertz(said: str) -> float:
    return float(_value(said, r"frequency\(\d+\)=(\d{1,18})\b")) / 1e6


def _degrees(said: str) -> float:
    return float(_value(said, r"temp=(-?\d+(?:\.\d+)?)"))


def _throttled(said: str) -> float:
    return float(bool(int(_value(said, r"throttled=0x([0-9a-fA-F]{1,16})\b"), 16) & _THROTTLED_NOW))


def _watts(said: str) -> float:
    """Volts times amperes, over all rails that tell both; what the 5 V pins feed is not among them."""
    amperes = dict(re.findall(r"(\S+)_A current\(\d+\)=([\d.]+)A", said))
    volts = dict(re.findall(r"(\S+)_V volt\(\d+\)=([\d.]+)V", said))
    rails = amperes.keys() & volts.keys()
    if not rails:
        raise ValueError(f"it says '{said[:40]}', which names no rail")
    return sum(float(amperes[rail]) * float(volts[rail]) for rail in rails)

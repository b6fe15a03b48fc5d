"""The gauges of a Linux device: processor, temperatures, throttling, power, and this process itself.

Files are those of the kernel's ABI: cpufreq, thermal zones, cooling devices, hwmon, powercap (RAPL), the
INA3221 of Jetson boards (as hwmon, and as iio up to JetPack 4), cgroups. `edgeaudio.profiling.raspberry` asks
a Raspberry Pi's firmware, `edgeaudio.profiling.nvml` NVIDIA's driver.

Frequency, temperature, throttling and each way to learn of power are always in the list: what this device
does not tell is there with the reason.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from edgeaudio.profiling.machine import cpu_group
from edgeaudio.profiling.nvml import nvml_gauges
from edgeaudio.profiling.raspberry import firmware_gauges
from edgeaudio.profiling.sensors import Gauge, absent
from edgeaudio.profiling.sysfs import Rate, Rise, Share, named, number, reader, some, text

__all__ = ["find_gauges"]

_CPU_ZONE = re.compile(r"x86_pkg_temp|cpu|soc[-_]?therm|coretemp|k10temp|zenpower", re.IGNORECASE)
_CPU_CHIPS = ("coretemp", "k10temp", "zenpower", "cpu_thermal")
_COOLING = re.compile(r"cpufreq|processor|throttl", re.IGNORECASE)


def find_gauges(root: Path = Path("/")) -> list[Gauge]:
    """Return the gauges of this device; `root` is where ``sys`` and ``proc`` lie."""
    firmware = firmware_gauges()
    return [
        *_process(root),
        *_frequency(root),
        *firmware.frequency,
        *_temperature(root, firmware.temperature),
        *firmware.throttling,
        *_under_voltage(root),
        *_throttling(root),
        *_quota(root),
        *firmware.power,
        *_power(root),
        *nvml_gauges(),
    ]


def _process(root: Path) -> Iterator[Gauge]:
    """Of this process, and of all processors together."""
    yield Gauge("process busy", "%", "clock of this process", Rate(time.process_time, 100.0))
    pages = root / "proc/self/statm"
    megabytes_a_page = os.sysconf("SC_PAGE_SIZE") / 2**20
    yield Gauge("process memory", "MB", str(pages), lambda: int(text(pages).split()[1]) * megabytes_a_page)
    stat = root / "proc/stat"
    yield Gauge("cpu busy", "%", str(stat), Share(lambda: _busy_and_all(stat)))


def _busy_and_all(path: Path) -> tuple[float, float]:
    """CPU time that was used, and that there was, since the start of the machine."""
    words = text(path).split("\n", 1)[0].split()
    if len(words) < 9 or words[0] != "cpu":
        raise ValueError("its first line is not that of all processors")
    times = [int(word) for word in words[1:9]]
    return sum(times) - times[3] - times[4], sum(times)


def _frequency(root: Path) -> Iterator[Gauge]:
    """One gauge for each group of cores that share a clock."""
    folder = root / "sys/devices/system/cpu/cpufreq"
    policies = some(folder, "policy*/scaling_cur_freq")
    for path in policies:
        cores = named(path.with_name("affected_cpus"), path.parent.name.removeprefix("policy")).split()
        name = f"cpu{cores[0]}" if len(cores) == 1 else f"cpu{cores[0]}-{cores[-1]}"
        yield Gauge(f"{name} frequency", "MHz", str(path), reader(path, 1e-3))
    if not policies:
        # A virtual machine's "cpu MHz" in /proc/cpuinfo is the nominal one, whatever the core does.
        yield absent("cpu frequency", "MHz", str(folder), "the system does not tell it: no cpufreq")


def _temperature(root: Path, firmware: Gauge | None) -> Iterator[Gauge]:
    """Thermal zones; without one of the processor, its chip in hwmon, or what the firmware says."""
    folder, processor = root / "sys/class/thermal", False
    for path in some(folder, "thermal_zone*/temp"):
        kind = named(path.with_name("type"), path.parent.name)
        is_cpu = not processor and _CPU_ZONE.search(kind) is not None
        processor |= is_cpu
        name = "cpu temperature" if is_cpu else f"temperature {kind}"
        yield Gauge(name, "°C", str(path), reader(path, 1e-3))
    for path in [] if processor else some(root / "sys/class/hwmon", "hwmon*/temp1_input"):
        if named(path.with_name("name"), "") in _CPU_CHIPS:
            processor = True
            yield Gauge("cpu temperature", "°C", str(path), reader(path, 1e-3))
            break
    if processor:
        return
    yield firmware or absent("cpu temperature", "°C", str(folder), "no thermal zone or chip of the processor")


def _under_voltage(root: Path) -> Iterator[Gauge]:
    """Whether a Raspberry Pi's supply is too weak; its firmware then lowers the clock."""
    for path in some(root / "sys/class/hwmon", "hwmon*/in0_lcrit_alarm"):
        if named(path.with_name("name"), "") == "rpi_volt":
            yield Gauge("under-voltage", "", str(path), reader(path, 1.0))


def _throttling(root: Path) -> Iterator[Gauge]:
    """Whether heat slows the processor: Intel counts it; elsewhere a cooling device is at work."""
    folder = root / "sys/devices/system/cpu"
    counters = some(folder, "cpu*/thermal_throttle/package_throttle_count")[:1]
    counters += some(folder, "cpu*/thermal_throttle/core_throttle_count")
    if counters:
        yield Gauge("throttled (heat)", "", f"{counters[0]} …", Rise(lambda: sum(map(number, counters))))
        return
    states = [
        path
        for path in some(root / "sys/class/thermal", "cooling_device*/cur_state")
        if _COOLING.search(named(path.with_name("type"), ""))
    ]
    if states:
        yield Gauge("throttled (heat)", "", f"{states[0]} …", lambda: float(any(map(number, states))))
    else:
        yield absent("throttled (heat)", "", str(folder), "no throttle counters or cooling device of it")


def _quota(root: Path) -> Iterator[Gauge]:
    """How much of the time a cgroup's quota held the process up."""
    group = cpu_group(root)
    if group is None or group.quota_cores is None:
        yield absent("throttled (quota)", "%", "cgroup cpu.stat", "no quota")
        return
    path = group.folder / "cpu.stat"
    yield Gauge("throttled (quota)", "%", str(path), Share(lambda: _throttled_periods(path)))


def _throttled_periods(path: Path) -> tuple[float, float]:
    """Periods that ended with the group held up, and all in which it ran."""
    said = dict(line.split() for line in text(path).splitlines() if len(line.split()) == 2)
    try:
        return int(said["nr_throttled"]), int(said["nr_periods"])
    except KeyError as missing:
        raise ValueError(f"it has no {missing.args[0]}") from None


def _power(root: Path) -> Iterator[Gauge]:
    """Each way in which the kernel tells power; INA3221 chips say volts and amperes of their rails."""
    yield from _hwmon_power(root)
    yield from _ina_power(root)
    folder = root / "sys/class/powercap"
    zones = some(folder, "intel-rapl:[0-9]*/energy_uj")
    zones = [zone for zone in zones if zone.parent.name.count(":") == 1]  # further ones are parts of these
    for path in zones:
        zone = named(path.with_name("name"), path.parent.name)
        yield Gauge(f"power {zone} (RAPL)", "W", str(path), Rate(_energy(path), 1.0))
    if not zones:
        yield absent("power (RAPL)", "W", str(folder), "no energy counters")


def _energy(path: Path) -> Callable[[], float]:
    """Joules since some moment, over the counter's wrap."""
    last_j, wrapped_j = 0.0, 0.0

    def read() -> float:
        nonlocal last_j, wrapped_j
        now_j = number(path, 1e-6)
        if now_j < last_j:
            wrapped_j += number(path.with_name("max_energy_range_uj"), 1e-6)
        last_j = now_j
        return now_j + wrapped_j

    return read


def _hwmon_power(root: Path) -> Iterator[Gauge]:
    folder = root / "sys/class/hwmon"
    paths = some(folder, "hwmon*/power*_input") or some(folder, "hwmon*/power*_average")
    for path in paths:
        chip = named(path.with_name("name"), path.parent.name)
        label = named(path.with_name(path.name.rsplit("_", 1)[0] + "_label"), path.name.split("_")[0])
        yield Gauge(f"power {chip} {label} (hwmon)", "W", str(path), reader(path, 1e-6))
    if not paths:
        yield absent("power (hwmon)", "W", str(folder), "no chip that measures power")


def _ina_power(root: Path) -> Iterator[Gauge]:
    found = 0
    for path in some(root / "sys/class/hwmon", "hwmon*/curr*_input"):
        if named(path.with_name("name"), "") != "ina3221":
            continue
        channel = path.name.removeprefix("curr").removesuffix("_input")
        volts = path.with_name(f"in{channel}_input")
        if some(path.parent, volts.name):  # channel 7 is the sum of other channels' currents
            label = named(path.with_name(f"in{channel}_label"), f"channel {channel}")
            found += 1
            yield Gauge(f"power {label} (INA3221)", "W", str(path), _product(volts, path))
    folder = root / "sys/bus/i2c/drivers/ina3221x"
    for path in some(folder, "*/iio:device*/in_power*_input"):
        channel = path.name.removeprefix("in_power").removesuffix("_input")
        label = named(path.with_name(f"rail_name_{channel}"), f"channel {channel}")
        found += 1
        yield Gauge(f"power {label} (INA3221)", "W", str(path), reader(path, 1e-3))
    if not found:
        source = str(folder.with_name("ina3221"))
        yield absent("power (INA3221)", "W", source, "no such chip, as Jetson boards have")


def _product(millivolts: Path, milliamperes: Path) -> Callable[[], float]:
    return lambda: number(millivolts, 1e-3) * number(milliamperes, 1e-3)

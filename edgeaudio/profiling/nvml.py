"""What NVIDIA's driver says of each GPU: its management library (NVML), called without a Python package."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from typing import Any

from edgeaudio.profiling.sensors import Gauge, Unavailable, absent

__all__ = ["nvml_gauges"]

_LIBRARY = "libnvidia-ml.so.1"
_INIT_S = 5.0
"""A GPU that fell off its bus can keep the driver from answering."""
_MOST_GPUS = 8
_SENSOR_GPU, _CLOCK_SM = 0, 1
_SLOWED = 0x4 | 0x8 | 0x20 | 0x40 | 0x80
"""Power cap, hardware slowdown, heat (software, hardware), power brake; other bits are no distress."""


class _Utilization(ctypes.Structure):
    """nvmlUtilization_t, in percent."""

    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class _Memory(ctypes.Structure):
    """nvmlMemory_t, in bytes."""

    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


def nvml_gauges(open_library: Callable[[str], Any] = ctypes.CDLL) -> list[Gauge]:
    """Return the gauges of all GPUs, or one that says why there are none."""
    try:
        library = open_library(_LIBRARY)
    except OSError:
        return [absent("power (NVML)", "W", _LIBRARY, "no such library: no driver of NVIDIA")]
    found: list[Gauge] = []
    failures: list[str] = ["it did not answer"]

    def find() -> None:
        try:
            _call(library, "nvmlInit_v2")
            count = _unsigned(library, "nvmlDeviceGetCount_v2")
            gauges = [gauge for i in range(min(count, _MOST_GPUS)) for gauge in _gpu(library, i)]
        except Unavailable as why:
            failures[:] = [str(why)]
        else:
            failures[:] = [] if gauges else ["it knows of no GPU"]
            found[:] = gauges

    finder = threading.Thread(target=find, name="edgeaudio-nvml", daemon=True)
    finder.start()
    finder.join(_INIT_S)
    return [absent("power (NVML)", "W", _LIBRARY, why) for why in failures] or found


def _gpu(library: Any, index: int) -> Iterator[Gauge]:
    device = ctypes.c_void_p()
    _call(library, "nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(device))

    def gauge(name: str, unit: str, function: str, read: Callable[[str], float]) -> Gauge:
        return Gauge(name, unit, f"NVML {function}", lambda: read(function))

    yield gauge(
        f"gpu{index} temperature",
        "°C",
        "nvmlDeviceGetTemperature",
        lambda function: float(_unsigned(library, function, device, ctypes.c_uint(_SENSOR_GPU))),
    )
    yield gauge(
        f"gpu{index} frequency",
        "MHz",
        "nvmlDeviceGetClockInfo",
        lambda function: float(_unsigned(library, function, device, ctypes.c_uint(_CLOCK_SM))),
    )
    yield gauge(
        f"gpu{index} busy",
        "%",
        "nvmlDeviceGetUtilizationRates",
        lambda function: float(_fill(library, function, _Utilization(), device).gpu),
    )
    yield gauge(
        f"gpu{index} memory",
        "MB",
        "nvmlDeviceGetMemoryInfo",
        lambda function: _fill(library, function, _Memory(), device).used / 2**20,
    )
    yield gauge(
        f"throttled gpu{index}",
        "",
        "nvmlDeviceGetCurrentClocksThrottleReasons",
        lambda function: float(_fill(library, function, ctypes.c_ulonglong(), device).value & _SLOWED != 0),
    )
    yield gauge(
        f"power gpu{index} (NVML)",
        "W",
        "nvmlDeviceGetPowerUsage",
        lambda function: _unsigned(library, function, device) / 1000,
    )


def _unsigned(library: Any, function: str, *arguments: Any) -> int:
    return int(_fill(library, function, ctypes.c_uint(), *arguments).value)


def _fill(library: Any, function: str, result: Any, *arguments: Any) -> Any:
    """Have `function` fill `result`, which is its last argument."""
    _call(library, function, *arguments, ctypes.byref(result))
    return result


def _call(library: Any, function: str, *arguments: Any) -> None:
    """Call a function of the library.

    Raises
    ------
    Unavailable
        There is none, or it fails: the GPU has no such sensor, the driver does not fit.
    """
    try:
        status = getattr(library, function)(*arguments)
    except AttributeError:
        raise Unavailable(f"this driver has no {function}") from None
    if status != 0:
        raise Unavailable(_error(library, status))


def _error(library: Any, status: int) -> str:
    try:
        describe = library.nvmlErrorString
        describe.restype = ctypes.c_char_p
        said: bytes | None = describe(status)
    except AttributeError:
        said = None
    return said.decode("utf-8", "replace") if said else f"error {status}"

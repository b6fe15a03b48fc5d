"""Which microphones there are, and which one is meant."""

from __future__ import annotations

import ctypes
import logging
import re
import sys
from functools import lru_cache
from typing import Any, Literal

import msgspec

from edgeaudio.errors import DeviceError, MissingDependencyError

__all__ = ["DeviceInfo", "Pin", "find_device", "list_devices", "list_loudspeakers", "sounddevice"]

_log = logging.getLogger(__name__)

_ABSENT = {
    "microphone": "Plug one in, or give a file or - for raw audio; `edgeaudio devices` lists what is found.",
    "loudspeaker": "Plug one in and see whether `aplay -l` lists it.",
}


class DeviceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A device that can record, or of `list_loudspeakers` one that can play."""

    index: int
    name: str
    host_api: str
    channels: int
    """Most channels it records, or plays."""
    default_rate_hz: float
    is_default: bool

    def __str__(self) -> str:
        return f"{self.index}: {self.name} ({self.host_api})"


def sounddevice() -> Any:
    """The sounddevice module.

    Raises
    ------
    MissingDependencyError
        It or the PortAudio library is not installed.
    """
    _quieten_alsa()
    try:
        import sounddevice
    except ImportError as error:
        raise MissingDependencyError(
            "microphones need the package sounddevice", hint="pip install 'edgeaudio[mic]'"
        ) from error
    except OSError as error:
        raise MissingDependencyError(
            f"microphones need the PortAudio library: {error}", hint="sudo apt-get install libportaudio2"
        ) from error
    return sounddevice


@lru_cache(maxsize=1)
def _quieten_alsa() -> None:
    """Keep ALSA from writing to stderr about every device that is not there.

    It does so dozens of times whenever PortAudio starts and at each attempt to open a lost device.
    The handler has to be native code, since the realtime thread calls it too; any C function
    that ignores its arguments will do. With the log at debug level ALSA may speak.
    """
    if sys.platform != "linux" or _log.isEnabledFor(logging.DEBUG):
        return
    try:
        alsa = ctypes.CDLL("libasound.so.2")
        alsa.snd_lib_error_set_handler(ctypes.cast(ctypes.CDLL(None).getpid, ctypes.c_void_p))
    except (OSError, AttributeError):
        _log.debug("no ALSA to be quietened")


def list_devices() -> list[DeviceInfo]:
    """Every device that can record, in PortAudio's order.

    Raises
    ------
    MissingDependencyError
        sounddevice or the PortAudio library is not installed.
    """
    return _list("input")


def list_loudspeakers() -> list[DeviceInfo]:
    """Every device that can play, in PortAudio's order.

    Raises
    ------
    MissingDependencyError
        sounddevice or the PortAudio library is not installed.
    """
    return _list("output")


def _list(direction: Literal["input", "output"]) -> list[DeviceInfo]:
    sd = sounddevice()
    apis = [api["name"] for api in sd.query_hostapis()]
    default = sd.default.device[direction == "output"]
    return [
        DeviceInfo(
            index=device["index"],
            name=device["name"],
            host_api=apis[device["hostapi"]],
            channels=device[f"max_{direction}_channels"],
            default_rate_hz=device["default_samplerate"],
            is_default=device["index"] == default,
        )
        for device in sd.query_devices()
        if device[f"max_{direction}_channels"] > 0
    ]


def find_device(
    wanted: int | str | None,
    devices: list[DeviceInfo],
    kind: Literal["microphone", "loudspeaker"] = "microphone",
) -> DeviceInfo:
    """The device with this index or with this part of its name; None is the system's default.

    A name that is matched in full goes before names of which it is a part. Case does not matter.

    Raises
    ------
    DeviceError
        None matches, or several do.
    """
    if not devices:
        raise DeviceError(f"there is no {kind} on this machine", hint=_ABSENT[kind])
    if wanted is None:
        matches = [device for device in devices if device.is_default]
        meaning = f"no default {kind} is set"
    elif isinstance(wanted, int) or wanted.isdecimal():
        matches = [device for device in devices if device.index == int(wanted)]
        meaning = f"there is no {kind} with index {wanted}"
    else:
        part = wanted.casefold()
        matches = [device for device in devices if part in device.name.casefold()]
        matches = [device for device in matches if part == device.name.casefold()] or matches
        meaning = f"no {kind}'s name contains {wanted!r}"
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise DeviceError(
            f"{wanted!r} fits {len(matches)} {kind}s: {_listed(matches)}",
            hint="Give more of the name, or the index.",
        )
    hint = "`edgeaudio devices` shows them." if kind == "microphone" else "Give one of them."
    raise DeviceError(f"{meaning}; there is {_listed(devices)}", hint=hint)


def _listed(devices: list[DeviceInfo]) -> str:
    return ", ".join(str(device) for device in devices)


class Pin:
    """A device remembered by its name, to find the same one again after it was away.

    ALSA ends names with the card's number, ``(hw:1,0)``, which may change when a device is
    plugged in again. The number is therefore ignored, unless two devices differ in nothing else.
    """

    def __init__(self, device: DeviceInfo, devices: list[DeviceInfo]) -> None:
        self.name = device.name
        self._host_api = device.host_api
        self._alone = sum(self._alike(other) for other in devices) == 1

    def _alike(self, other: DeviceInfo) -> bool:
        return other.host_api == self._host_api and _stable(other.name) == _stable(self.name)

    def find(self, devices: list[DeviceInfo]) -> DeviceInfo:
        """The same device in a fresh list.

        Raises
        ------
        DeviceError
            It is not there.
        """
        alike = [device for device in devices if self._alike(device)]
        for device in alike:
            if device.name == self.name:
                return device
        if self._alone and len(alike) == 1:
            return alike[0]
        raise DeviceError(
            f"the microphone {self.name!r} is not there", hint="`edgeaudio devices` lists them."
        )


def _stable(name: str) -> str:
    return re.sub(r" \(hw:\d+,\d+\)$", "", name)

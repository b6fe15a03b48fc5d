"""Where audio comes from."""

from __future__ import annotations

from edgeaudio.sources.array import ArraySource
from edgeaudio.sources.base import Source
from edgeaudio.sources.devices import DeviceInfo, list_devices
from edgeaudio.sources.file import FileSource
from edgeaudio.sources.microphone import Microphone
from edgeaudio.sources.network import NetworkSource
from edgeaudio.sources.stdin import StdinSource
from edgeaudio.sources.switch import SwitchSource

__all__ = [
    "ArraySource",
    "DeviceInfo",
    "FileSource",
    "Microphone",
    "NetworkSource",
    "Source",
    "StdinSource",
    "SwitchSource",
    "list_devices",
]

"""A real-time streaming audio engine for edge devices.

Importing this imports neither an audio library nor an inference runtime: each public name is loaded
when it is first used.
"""

from __future__ import annotations

from edgeaudio.errors import __all__ as _errors

# Little is loaded here: until the command catches Ctrl-C, each millisecond shows a traceback. So not
# even typing.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from edgeaudio.engine import Engine
    from edgeaudio.errors import (
        BackendError,
        BudgetError,
        ConfigError,
        DeviceError,
        EdgeAudioError,
        InputError,
        MissingDependencyError,
        ModelError,
        OutputError,
        UsageError,
    )
    from edgeaudio.events import (
        Caption,
        CaptionWord,
        Clipping,
        Detection,
        DeviceLost,
        DeviceRestored,
        DigitalSilence,
        Event,
        Gap,
        NearMiss,
        encode_event,
    )
    from edgeaudio.frontend import Frontend, FrontendSpec
    from edgeaudio.profiles import Profile, load_profile
    from edgeaudio.sources.array import ArraySource
    from edgeaudio.sources.file import FileSource
    from edgeaudio.sources.microphone import Microphone
    from edgeaudio.sources.network import NetworkSource
    from edgeaudio.sources.stdin import StdinSource
    from edgeaudio.stats import CaptureStats, EngineStats
    from edgeaudio.tasks.classifier import Classifier
    from edgeaudio.tasks.endpoint import Endpoint
    from edgeaudio.tasks.recognizer import Recognizer
    from edgeaudio.tasks.speaker import Speaker
    from edgeaudio.tasks.spotter import Spotter
    from edgeaudio.tasks.turns import SpeakerTask
    from edgeaudio.tasks.vad import Vad

__version__ = "0.1.0"

__all__ = [
    "ArraySource",
    "BackendError",
    "BudgetError",
    "Caption",
    "CaptionWord",
    "CaptureStats",
    "Classifier",
    "Clipping",
    "ConfigError",
    "Detection",
    "DeviceError",
    "DeviceLost",
    "DeviceRestored",
    "DigitalSilence",
    "EdgeAudioError",
    "Endpoint",
    "Engine",
    "EngineStats",
    "Event",
    "FileSource",
    "Frontend",
    "FrontendSpec",
    "Gap",
    "InputError",
    "Microphone",
    "MissingDependencyError",
    "ModelError",
    "NearMiss",
    "NetworkSource",
    "OutputError",
    "Profile",
    "Recognizer",
    "SoundEvent",
    "SoundStart",
    "Speaker",
    "SpeakerTask",
    "SpeakerTurn",
    "SpeechEnd",
    "SpeechStart",
    "Spotter",
    "StdinSource",
    "UsageError",
    "Vad",
    "encode_event",
    "load_profile",
]

_EVENTS = (
    "Caption",
    "CaptionWord",
    "Clipping",
    "Detection",
    "DeviceLost",
    "DeviceRestored",
    "DigitalSilence",
    "Event",
    "Gap",
    "NearMiss",
    "SoundEvent",
    "SoundStart",
    "SpeakerTurn",
    "SpeechEnd",
    "SpeechStart",
    "encode_event",
)
_HOME = {
    **dict.fromkeys(_errors, "errors"),
    **dict.fromkeys(_EVENTS, "events"),
    "ArraySource": "sources.array",
    "CaptureStats": "stats",
    "Classifier": "tasks.classifier",
    "Endpoint": "tasks.endpoint",
    "Engine": "engine",
    "EngineStats": "stats",
    "FileSource": "sources.file",
    "Frontend": "frontend",
    "FrontendSpec": "frontend",
    "Microphone": "sources.microphone",
    "NetworkSource": "sources.network",
    "Profile": "profiles",
    "Recognizer": "tasks.recognizer",
    "Speaker": "tasks.speaker",
    "SpeakerTask": "tasks.turns",
    "Spotter": "tasks.spotter",
    "StdinSource": "sources.stdin",
    "Vad": "tasks.vad",
    "load_profile": "profiles",
}


def __getattr__(name: str) -> Any:
    """Load a public name from where it lives."""
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module 'edgeaudio' has no attribute {name!r}")
    value = getattr(import_module(f"edgeaudio.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

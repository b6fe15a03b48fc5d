"""Firmware profiles: what hardware changes, and nothing else.

Thresholds and mel settings belong to models, never to a profile.
"""

from __future__ import annotations

from edgeaudio.profiles.choice import Choice, choose_profile, detect, list_profiles, load_profile
from edgeaudio.profiles.hardware import Hardware, pin, read_hardware
from edgeaudio.profiles.profile import (
    Budgets,
    Match,
    Measure,
    Measured,
    Precision,
    Profile,
    Provider,
    Runtime,
    dump_profile,
    json_schema,
)

__all__ = [
    "Budgets",
    "Choice",
    "Hardware",
    "Match",
    "Measure",
    "Measured",
    "Precision",
    "Profile",
    "Provider",
    "Runtime",
    "choose_profile",
    "detect",
    "dump_profile",
    "json_schema",
    "list_profiles",
    "load_profile",
    "pin",
    "read_hardware",
]

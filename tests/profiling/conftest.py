"""The virtual microphone, for every test here."""

from __future__ import annotations

from tests.pulse import pulse

__all__ = ["pulse"]

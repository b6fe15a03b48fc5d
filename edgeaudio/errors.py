"""Every error a user can meet, each with its own exit code.

A message says what was wrong, where (file and key, device, model) and what to do about it.
"""

from __future__ import annotations

__all__ = [
    "BackendError",
    "BudgetError",
    "ConfigError",
    "DeviceError",
    "EdgeAudioError",
    "InputError",
    "MissingDependencyError",
    "ModelError",
    "OutputError",
    "UsageError",
]


class EdgeAudioError(Exception):
    """Base of all errors that edgeaudio raises on purpose.

    Parameters
    ----------
    message : str
        What was wrong and where.
    hint : str, optional
        What to do about it: one sentence or one command.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class UsageError(EdgeAudioError):
    """An option or argument makes no sense: a threshold of 7, two sources at once."""

    exit_code = 2


class InputError(EdgeAudioError):
    """An audio file, stream or manifest cannot be read."""

    exit_code = 3


class DeviceError(EdgeAudioError):
    """No such audio device, or it went away and stayed away."""

    exit_code = 4


class ModelError(EdgeAudioError):
    """A model is unknown, broken, or made for something else."""

    exit_code = 5


class MissingDependencyError(EdgeAudioError):
    """An optional package or system library is not installed."""

    exit_code = 6


class BackendError(MissingDependencyError):
    """The inference runtime that was asked for is absent or failed to run the graph."""


class ConfigError(EdgeAudioError):
    """A configuration or profile file is wrong."""

    exit_code = 7


class OutputError(EdgeAudioError):
    """Something could not be written: clips, plots, a model bundle."""

    exit_code = 8


class BudgetError(EdgeAudioError):
    """What was measured breaks a budget, or is worse than it was before."""

    exit_code = 9

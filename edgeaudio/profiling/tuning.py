"""What a tuning found, as it is written to JSON; and the profile that comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import msgspec

from edgeaudio.profiles import Match, Measured, Profile
from edgeaudio.profiling.measurement import Machine
from edgeaudio.profiling.race import paired_interval
from edgeaudio.profiling.turns import Turn

__all__ = ["Comparison", "Tried", "Tuning", "cost", "tuned_profile"]

_MARGIN = 1.05
"""So much more than with the profile's settings a turn may cost by chance."""
_PENALTY = 10.0
_SUFFIX = "-tuned"
_LONGEST_NAME = 64
_TUNED = ", tuned on one device"


class Comparison(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The winner against the profile that was tuned, in turns."""

    turns: int
    """Of each."""
    cpu_share: float
    profile_cpu_share: float
    cpu_ratio: tuple[float, float, float]
    """The winner's / the profile's, and the ends of a 95 % interval."""
    p95_ms: float
    profile_p95_ms: float
    """From the capture of a model step's last sample until it was heard."""
    p95_ratio: tuple[float, float, float]
    lost_samples: int
    profile_lost_samples: int

    @classmethod
    def of(cls, mine: Sequence[Turn], theirs: Sequence[Turn]) -> Comparison:
        """Compare turns that were taken in pairs."""
        cpu, own_cpu = ([turn.cpu_share for turn in turns] for turns in (mine, theirs))
        late, own_late = ([turn.p95_ms for turn in turns] for turns in (mine, theirs))
        return cls(
            turns=len(mine),
            cpu_share=fmean(cpu),
            profile_cpu_share=fmean(own_cpu),
            cpu_ratio=paired_interval(cpu, own_cpu),
            p95_ms=fmean(late),
            profile_p95_ms=fmean(own_late),
            p95_ratio=paired_interval(late, own_late),
            lost_samples=sum(turn.lost_samples for turn in mine),
            profile_lost_samples=sum(turn.lost_samples for turn in theirs),
        )

    @property
    def is_worse(self) -> bool:
        """Whether the winner is measurably worse in anything, or not better on the whole."""
        measurably = self.cpu_ratio[1] > 1.0 or self.p95_ratio[1] > 1.0
        on_the_whole = self.cpu_ratio[0] * self.p95_ratio[0] >= 1.0
        return measurably or on_the_whole or self.lost_samples > self.profile_lost_samples

    def results(self, profile: str) -> dict[str, float | str]:
        """Return the figures as a profile file tells them."""

        def ratio(value: tuple[float, float, float]) -> str:
            return f"{value[0]:.3f} ({value[1]:.3f} to {value[2]:.3f})"

        return {
            "cpu share": round(self.cpu_share, 5),
            f"cpu share with {profile}": round(self.profile_cpu_share, 5),
            "cpu ratio": ratio(self.cpu_ratio),
            "p95 ms": round(self.p95_ms, 3),
            f"p95 ms with {profile}": round(self.profile_p95_ms, 3),
            "p95 ratio": ratio(self.p95_ratio),
            "measured in turns": self.turns,
        }


class Tried(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Something that took part in a race."""

    settings: str
    race: str
    """``unpaced`` on recordings, or ``real time``."""
    turns: int
    score: float
    """Cost / that of the profile's settings, median; unpaced it is CPU time, in real time that times p95."""
    winner: bool


class Tuning(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a tuning found."""

    made: str
    tuned: str
    """Name of the profile that was tuned."""
    profile: Profile
    """The new one."""
    better: bool
    """Whether anything better was found than the profile's settings."""
    complete: bool
    """False if somebody ended it early: then this is the best so far."""
    audio: str
    decisions: int
    """Events that were compared, of each way to compute."""
    left_out: dict[str, str]
    """Ways to compute that cannot be used, and why."""
    tried: list[Tried]
    comparison: Comparison | None
    """None if it did not come to that."""
    seconds: float
    machine: Machine


def tuned_profile(profile: Profile, settings: Profile, measured: Measured) -> Profile:
    """Return the profile with other settings, a name of its own and no match rules: it is for one device."""
    name = profile.name.removesuffix(_SUFFIX)[: _LONGEST_NAME - len(_SUFFIX)] + _SUFFIX
    description = f"{profile.description[:150].removesuffix(_TUNED)}{_TUNED}"
    return msgspec.structs.replace(
        settings, name=name, description=description, match=Match(), measured=measured
    )


def cost(turn: Turn, reference: Turn) -> float:
    """CPU time and lateness, both as ratios, multiplied: and dear where one alone becomes worse."""
    cpu = turn.cpu_share / max(reference.cpu_share, 1e-6)
    late = turn.p95_ms / max(reference.p95_ms, 1e-3)
    worse = max(0.0, cpu - _MARGIN) + max(0.0, late - _MARGIN)
    return cpu * late + _PENALTY * (worse + (turn.lost_samples > reference.lost_samples))

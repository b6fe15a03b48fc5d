"""At last, learning from the held-out people too, and still measuring on people unheard.

Where few recordings of a word by real people are at hand, those kept apart for measuring are missed. When all
has been chosen, the network goes on to learn from them; but what is counted on each half of these people is
what a network hears that went on with the other half alone (cross-validation with two folds).
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from edgeaudio.training.build import Reporter, SpotterJob
from edgeaudio.training.corpus import Clip, in_first_half
from edgeaudio.training.nets import SpotterNet
from edgeaudio.training.spotter import HELD_OUT_SPLITS, Material, SpotterPlan, fit, said_word
from edgeaudio.types import Samples

__all__ = ["Learned", "bundles_by_half", "by_half", "refitted"]

LEARNING_RATE = 1 / 3
"""Of that of the training."""
_Heard = TypeVar("_Heard")


@dataclass(frozen=True)
class Learned:
    """What a training ends with.

    Parameters
    ----------
    net : SpotterNet
        The network to ship; it learned from all of ``material``.
    for_half : tuple of SpotterNet
        Who never learned from the second half of the held-out people, and from the first half.
    late : int
        Recordings of held-out people that ``net`` learned from at last.
    """

    net: SpotterNet
    material: Material
    for_half: tuple[SpotterNet, SpotterNet]
    late: int = 0

    def facts(self, minutes: float | None) -> dict[str, Any]:
        """What the card says about it under "measured with"."""
        if not self.late:
            return {}
        return {
            "people": f"{self.late} recordings of held-out people were learned from at last, for "
            f"{minutes:g} minutes; each half of these people is measured with a network that learned from "
            "the other half alone then, and what is said of them is about these two networks"
        }


@contextmanager
def bundles_by_half(
    folder: Path, learned: Learned, write: Callable[[Path, SpotterNet], object]
) -> Iterator[tuple[Path, Path]]:
    """Yield bundles of ``learned.for_half``: the one in ``folder``, or passing ones."""
    if learned.for_half[0] is learned.net:
        yield folder, folder
        return
    with tempfile.TemporaryDirectory(prefix="edgeaudio-") as scratch:
        paths = Path(scratch, "first", folder.name), Path(scratch, "second", folder.name)
        for path, net in zip(paths, learned.for_half, strict=True):
            path.mkdir(parents=True)
            write(path, net)
        yield paths


def by_half(
    hear: Sequence[Callable[[list[Samples]], Sequence[_Heard]]],
    recordings: Sequence[Samples],
    in_first: Sequence[bool],
) -> list[_Heard]:
    """Let people be heard by the first of ``hear``, and who belongs to the first half by the second."""
    found: dict[int, _Heard] = {}
    for half, ear in enumerate(hear):
        own = [i for i, first in enumerate(in_first) if first == half]
        found.update(zip(own, ear([recordings[i] for i in own]), strict=True))
    return [found[i] for i in range(len(recordings))]


def refitted(
    job: SpotterJob, plan: SpotterPlan, material: Material, net: SpotterNet, reporter: Reporter
) -> Learned:
    """Go on for ``job.refit`` minutes with recordings of the words by held-out people, three times.

    Without such minutes the network stays as it is. What a corpus itself calls its test or development part
    is not learned from.
    """
    late = [clip for clip in material.development if _may_learn(clip, material)]
    if job.refit is None or not late:
        return Learned(net, material, (net, net))
    loop = replace(plan.loop, minutes=job.refit, learning_rate=plan.loop.learning_rate * LEARNING_RATE)
    # Nothing grows any more, and what is hard for the network is looked for after the first epoch.
    changed = replace(
        plan,
        loop=replace(loop, average_from=0.6),
        seed=plan.seed + 1,
        first_strength=plan.full_strength,
        mine_at=(0.0, 0.5),
    )
    # Who learns from the first half is measured on the second.
    halves = [[clip for clip in late if in_first_half(clip) != half] for half in (False, True)]
    names = ("the first half of the held-out people", "the second half", "all")
    nets = []
    for name, clips in zip(names, (*halves, late), strict=True):

        def progress(done: float, what: str = f"learning from {name}") -> None:
            reporter.progress(what, done)

        checkpoint = job.checkpoint.with_suffix(".refit.pt")
        nets.append(fit(changed, _with(material, clips), checkpoint, start=net, on_progress=progress))
    return Learned(nets[2], _with(material, late), (nets[0], nets[1]), len(late))


def _may_learn(clip: Clip, material: Material) -> bool:
    return clip.split not in HELD_OUT_SPLITS and said_word(clip, material.words) is not None


def _with(material: Material, clips: Sequence[Clip]) -> Material:
    real = [
        [*pool, *(clip for clip in clips if said_word(clip, material.words) == word)]
        for word, pool in enumerate(material.pools.real)
    ]
    used = Counter(material.used) + Counter(clip.corpus for clip in clips)
    return replace(material, pools=replace(material.pools, real=real), used=dict(used))

"""The variants: other networks on the same data, and the recipe without one of its parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgeaudio.errors import InputError
from edgeaudio.frontend import FrontendSpec
from edgeaudio.training.commands import bands_plan, waveform_plan
from edgeaudio.training.corpus import Clip
from edgeaudio.training.nets import NetSpec
from edgeaudio.training.spotter import Material, SpotterPlan

BASE = "mel"
"""The variant that the others are compared with: one network over time alone, and the whole recipe."""


@dataclass(frozen=True)
class Setup:
    """What a training begins with; ``made`` are the corpora of synthetic speech."""

    plan: SpotterPlan
    material: Material
    made: frozenset[str]


@dataclass(frozen=True)
class Variant:
    """One row of a table, and how its training differs from the base's."""

    name: str
    title: str
    change: Callable[[Setup], Setup]


def small_bands_plan(n_labels: int) -> tuple[FrontendSpec, NetSpec]:
    """Frontend and network of the 2-D variant: over time and bands until these are pooled, then over time.

    The shipped one is wider and sees 1.6 s; this one sees a second, as the others do.
    """
    spec, shipped = bands_plan(n_labels, width=48)
    return spec, replace(shipped, blocks=((5, 2), (5, 4)))


def _networks() -> Iterable[Variant]:
    def network(choose: Callable[[int], tuple[FrontendSpec, NetSpec]]) -> Callable[[Setup], Setup]:
        def change(setup: Setup) -> Setup:
            spec, net = choose(setup.plan.net.n_labels)
            return replace(setup, plan=replace(setup.plan, spec=spec, net=net))

        return change

    yield Variant(BASE, "1-D on mel frames", lambda setup: setup)
    yield Variant("raw", "1-D on the waveform", network(waveform_plan))
    yield Variant("bands", "2-D on mel frames, bands pooled", network(small_bands_plan))


def _parts() -> Iterable[Variant]:
    yield Variant("other-seed", "all of it, another seed", _reseeded)
    yield Variant("no-synthetic", "without synthetic speech", _without_synthetic)
    yield Variant("no-real", "without real recordings of the words", _without_real)
    yield Variant("no-noise", "without noise and rooms", _without_noise)
    yield Variant(
        "no-microphone",
        "without other microphones, lines and levels of clipping",
        _augmented(colour_share=0.0, band_share=0.0, clip_share=0.0, codec_share=0.0),
    )
    yield Variant("no-masks", "without hidden bands and times (SpecAugment)", _augmented(mask_share=0.0))
    yield Variant("no-talkers", "without changes of vocal tract, pitch and tempo", _without_talkers)
    yield Variant("no-mining", "without hard negatives", _planned(mine_at=()))
    yield Variant("no-streams", "single recordings instead of streams", _bare)
    yield Variant("no-peaks", "without the loss of each word's peak", _looped(peak_weight=0.0))
    yield Variant("no-average", "without averaged weights", _looped(average_from=1.0))
    yield Variant("mixup", "with half of the batches blended in pairs (mixup)", _looped(mixup=0.5))
    yield Variant("no-hints", "without the recogniser's hints", _looped(hint_weight=0.0))


def _planned(**changes: Any) -> Callable[[Setup], Setup]:
    return lambda setup: replace(setup, plan=replace(setup.plan, **changes))


def _augmented(**changes: Any) -> Callable[[Setup], Setup]:
    return lambda setup: _planned(augment=replace(setup.plan.augment, **changes))(setup)


def _looped(**changes: Any) -> Callable[[Setup], Setup]:
    return lambda setup: _planned(loop=replace(setup.plan.loop, **changes))(setup)


def _reseeded(setup: Setup) -> Setup:
    return _planned(seed=setup.plan.seed + 1000)(setup)


def _bare(setup: Setup) -> Setup:
    recipe = setup.plan.recipe
    return _planned(recipe=replace(recipe, bare=1.0 - recipe.empty))(setup)


def _without_noise(setup: Setup) -> Setup:
    quiet = replace(setup, material=replace(setup.material, noises=[], rooms=[]))
    return _augmented(noise_share=0.0, room_share=0.0)(quiet)


def _without_talkers(setup: Setup) -> Setup:
    plain = _planned(recipe=replace(setup.plan.recipe, speed=(1.0, 1.0)))(setup)
    return _augmented(tract_share=0.0, warp_share=0.0)(plain)


def _without_synthetic(setup: Setup) -> Setup:
    pools = setup.material.pools
    _check(pools.real, setup.material.words, "real")
    real = replace(
        pools,
        synthetic=[[] for _ in pools.synthetic],
        confusable=[group for group in pools.confusable if group[0].corpus not in setup.made],
        speech=[clip for clip in pools.speech if clip.corpus not in setup.made],
    )
    return replace(setup, material=replace(setup.material, pools=real))


def _without_real(setup: Setup) -> Setup:
    pools = setup.material.pools
    _check(pools.synthetic, setup.material.words, "synthetic")
    made = replace(pools, real=[[] for _ in pools.real])
    return replace(setup, material=replace(setup.material, pools=made))


def _check(recordings: Sequence[Sequence[Clip]], words: Sequence[str], kind: str) -> None:
    missing = [word for word, clips in zip(words, recordings, strict=True) if not clips]
    if missing:
        raise InputError(f"no {kind} recording of {', '.join(missing)} to learn from")


NETWORKS = tuple(_networks())
PARTS = tuple(_parts())
VARIANTS = {variant.name: variant for variant in (*NETWORKS, *PARTS)}

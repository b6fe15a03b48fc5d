"""What a profile holds. The description of each key is also what editors show, see `json_schema`."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

__all__ = [
    "Budgets",
    "Match",
    "Measure",
    "Measured",
    "Precision",
    "Profile",
    "Provider",
    "Runtime",
    "dump_profile",
    "json_schema",
]

Runtime: TypeAlias = Literal["litert", "onnx"]
"""The runtimes that can be asked for: LiteRT and onnxruntime."""
Provider: TypeAlias = Literal["cpu", "cuda", "tensorrt"]
"""What onnxruntime computes with."""
Precision: TypeAlias = Literal["int8", "float32"]
"""What a network counts in."""
Measure: TypeAlias = Literal["tentative_text", "search_width"]
"""Work that captions can do without."""

_Name = Annotated[str, Meta(min_length=1, max_length=200)]
_Limit = Annotated[float, Meta(gt=0.0, le=1e6)]
_Core = Annotated[int, Meta(ge=0, le=1023)]


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Match(_Strict, frozen=True, kw_only=True, omit_defaults=True):
    """Which machines the profile is for.

    Each rule lists alternatives. What a machine says must agree with every rule; a rule that it cannot
    answer, such as for a device tree in a container, is left out. The device tree counts most, then the
    CUDA device, the CPU part, the architecture.
    """

    device_tree: Annotated[
        tuple[_Name, ...],
        Meta(description="Words in the device tree's model, as in Raspberry Pi 4 Model B; in any case."),
    ] = ()
    cuda_device: Annotated[
        tuple[_Name, ...],
        Meta(description="Words in the name of an NVIDIA GPU, such as RTX 4090; the word any fits each."),
    ] = ()
    cpu_part: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^0x[0-9a-f]{3}$")], ...],
        Meta(description='ARM part numbers of its cores as in /proc/cpuinfo, such as "0xd08", in quotes.'),
    ] = ()
    architecture: Annotated[
        tuple[_Name, ...], Meta(description="What uname -m says, such as x86_64 or aarch64.")
    ] = ()


class Budgets(_Strict, frozen=True, kw_only=True, omit_defaults=True):
    """What `edgeaudio profile --gate` holds the engine to; what is left out is not checked."""

    p95_word_to_event_ms: Annotated[
        _Limit | None,
        Meta(
            description="From the capture of the last sample that a decision needed to its event,"
            " for 95 of 100 events."
        ),
    ] = None
    cpu_share: Annotated[
        _Limit | None, Meta(description="CPU time of the process / time; 1.0 is one core.")
    ] = None
    memory_mb: Annotated[_Limit | None, Meta(description="Most resident memory of the process.")] = None


class Measured(_Strict, frozen=True, kw_only=True, omit_defaults=True):
    """Where the settings come from, if they were measured."""

    made: Annotated[str, Meta(description="When: ISO 8601, UTC.", max_length=40)]
    device: Annotated[str, Meta(description="On what: the device's name.", max_length=200)]
    versions: Annotated[
        dict[str, str], Meta(description="Of edgeaudio and of the packages that do the work.")
    ] = {}
    results: Annotated[
        dict[str, float | str], Meta(description="What came out, by its name with the unit at its end.")
    ] = {}


class Profile(_Strict, frozen=True, kw_only=True):
    """How edgeaudio runs on one kind of machine. The defaults are those of the profile generic."""

    name: Annotated[
        str,
        Meta(
            description="Lower-case letters, digits and hyphens.",
            pattern=r"^[a-z0-9][a-z0-9-]*$",
            max_length=64,
        ),
    ] = "generic"
    description: Annotated[str, Meta(description="The machine in a few words.", max_length=200)] = (
        "Any 64-bit Linux machine"
    )
    match: Annotated[
        Match, Meta(description="Which machines it is for; none: it is only used when it is named.")
    ] = Match()
    block_ms: Annotated[
        int,
        Meta(
            description="Length of the blocks in which a microphone delivers. Shorter ones answer sooner,"
            " by half their length on average, and wake the processor more often.",
            ge=1,
            le=1000,
        ),
    ] = 40
    latency: Annotated[
        Literal["low", "high"] | int,
        Meta(
            description="Buffering that the audio system is asked for: low or high, which the device defines,"
            " or milliseconds, 1 to 1000."
        ),
    ] = "high"
    hop_ms: Annotated[
        int,
        Meta(
            description="How often models run. Longer costs less and answers later;"
            " a whole number of model steps, mostly 80, is best.",
            ge=10,
            le=500,
        ),
    ] = 80
    runtime: Annotated[
        tuple[Runtime, ...],
        Meta(
            description="Inference runtimes in the order in which they are tried: the first that is installed"
            " and for which a model has a graph.",
            min_length=1,
        ),
    ] = ("litert", "onnx")
    providers: Annotated[
        tuple[Provider, ...],
        Meta(
            description="What onnxruntime computes with, in this order. Each must be there. With cpu at the"
            " end, the CPU computes what the others cannot; without it, that is an error.",
            min_length=1,
        ),
    ] = ("cpu",)
    precision: Annotated[
        Precision,
        Meta(
            description="int8: quantized where the model is. float32: quantized weights in float arithmetic,"
            " which GPUs need; onnx only."
        ),
    ] = "int8"
    threads: Annotated[
        int,
        Meta(
            description="Threads for one inference step. Small networks are fastest with 1;"
            " at most as many as there are cores.",
            ge=1,
            le=1024,
        ),
    ] = 1
    affinity: Annotated[
        tuple[_Core, ...],
        Meta(description="Cores to run on, from 0; none: wherever the system wants."),
    ] = ()
    max_lag_ms: Annotated[
        int,
        Meta(
            description="How far the models may stay behind a live source before the engine jumps to the"
            " present.",
            ge=100,
            le=60_000,
        ),
    ] = 2000
    max_caption_lag_ms: Annotated[
        int,
        Meta(description="The same for captions, which may be late alone.", ge=1000, le=60_000),
    ] = 2500
    shed: Annotated[
        tuple[Measure, ...],
        Meta(
            description="What captions do without, in this order, before they jump: tentative_text is text"
            " that may still change, search_width how many readings are pursued. What is not named stays."
        ),
    ] = ("tentative_text", "search_width")
    budgets: Annotated[
        Budgets, Meta(description="What the engine is held to by edgeaudio profile --gate.")
    ] = Budgets()
    measured: Annotated[
        Measured | None, Meta(description="Where the settings come from; none: they were not measured.")
    ] = None

    def __post_init__(self) -> None:
        if isinstance(self.latency, int) and not 1 <= self.latency <= 1000:
            raise ValueError(f"latency is {self.latency} ms, not low, high or 1 to 1000")
        for key in ("runtime", "providers", "affinity", "shed"):
            values = getattr(self, key)
            if len(set(values)) != len(values):
                raise ValueError(f"{key} names something twice: {', '.join(map(str, values))}")
        if self.providers != ("cpu",) and "onnx" not in self.runtime:
            raise ValueError("providers are onnxruntime's: name onnx among runtime")
        if self.precision == "float32" and "onnx" not in self.runtime:
            raise ValueError("only onnx runs float32: name it among runtime")
        if self.precision == "int8" and self.providers[0] != "cpu":
            raise ValueError(f"{self.providers[0]} cannot run int8: write precision: float32")
        if "cpu" in self.providers[:-1]:
            raise ValueError("cpu can run everything, so that nothing behind it is used: name it last")

    @property
    def capture_latency(self) -> float | Literal["low", "high"]:
        """``latency`` as a `Microphone` takes it: seconds, or the word."""
        return self.latency / 1000 if isinstance(self.latency, int) else self.latency


def dump_profile(profile: Profile) -> str:
    """Return the profile as YAML that `load_profile` reads back, every key written out."""
    import yaml

    plain = {key: msgspec.to_builtins(getattr(profile, key)) for key in profile.__struct_fields__}
    plain = {key: value for key, value in plain.items() if value is not None}
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a profile file, for editors."""
    schema = msgspec.json.schema(Profile)
    for part in schema["$defs"].values():
        part["description"] = inspect.cleandoc(part["description"])
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "edgeaudio profile"}
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode({**head, **schema}))
    return plain

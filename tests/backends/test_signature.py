"""Graphs that no exporter of ours wrote, against what the manifest says of them."""

from __future__ import annotations

import pytest

from edgeaudio.backends.base import Signature, StateSpec, TensorFacts, check_tensors
from edgeaudio.errors import ModelError


def check(*, state: TensorFacts = ((1, 2, 24), "uint8"), fill: float = 128, step_frames: int = 8) -> None:
    signature = Signature(step_frames, 40, 4, 3, (StateSpec("state_a", fill),))
    frames: TensorFacts = ((1, step_frames, 40), "float32")
    logits: TensorFacts = ((1, 4, 3), "float32")
    check_tensors(
        "odd", signature, {"frames": frames, "state_a": state}, {"logits": logits, "next_state_a": state}
    )


def test_a_graph_as_it_should_be() -> None:
    check()
    check(state=((1, 2, 24), "int8"), fill=-128)
    check(state=((1, 2, 24), "float32"), fill=0.5)


def test_a_state_cannot_begin_with_what_its_type_cannot_hold() -> None:
    with pytest.raises(ModelError, match="'odd': state state_a cannot begin with 200, it is int8"):
        check(state=((1, 2, 24), "int8"), fill=200)


@pytest.mark.parametrize(
    "state",
    [((1, 2**13, 2**12), "int8"), ((1, "n", 24), "int8"), ((1, 0, 24), "int8"), ((1, 2, 24), "int64")],
)
def test_what_is_no_state(state: TensorFacts) -> None:
    with pytest.raises(ModelError, match="not a state"):
        check(state=state, fill=0)


@pytest.mark.parametrize("width", [0, 23])
def test_another_embedding_than_the_manifest_says(width: int) -> None:
    signature = Signature(8, 40, 4, 3, (), embedding_width=24)
    outputs: dict[str, TensorFacts] = {"logits": ((1, 4, 3), "float32")}
    if width:
        outputs["embedding"] = ((1, 4, width), "float32")
    with pytest.raises(ModelError, match="embedding"):
        check_tensors("odd", signature, {"frames": ((1, 8, 40), "float32")}, outputs)


def test_a_step_of_hours() -> None:
    with pytest.raises(ModelError, match="a step of 1000000 frames is too large"):
        check(step_frames=1_000_000)

"""Broken bundles: each says what is wrong, in which file, and ends with exit code 5."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml

from edgeaudio.backends import open_graph
from edgeaudio.errors import ModelError
from edgeaudio.models.bundle import load_bundle
from edgeaudio.models.manifest import dump_manifest, load_manifest


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "model.yaml"
    content = yaml.safe_load(path.read_text())
    change(content)
    path.write_text(yaml.safe_dump(content))


def rehash(folder: Path) -> None:
    """Make the manifest agree with exchanged graphs, as whoever exchanged them would."""

    def change(content: dict[str, Any]) -> None:
        for entry in content["graphs"].values():
            entry["sha256"] = hashlib.sha256((folder / entry["file"]).read_bytes()).hexdigest()

    edit(folder, change)


def test_a_good_bundle(folder: Path) -> None:
    bundle = load_bundle(folder)
    assert bundle.name == "random"
    golden = bundle.golden()
    assert golden.frames.shape == (400, 40)
    assert golden.logits.shape == (200, 4)
    assert load_bundle(Path(str(folder))).manifest == bundle.manifest


def test_the_manifest_survives_dumping(folder: Path) -> None:
    manifest = load_bundle(folder).manifest
    (folder / "model.yaml").write_text(dump_manifest(manifest))
    assert load_manifest(folder / "model.yaml") == manifest


def test_results_of_numpy_are_written_as_numbers(folder: Path) -> None:
    manifest = load_manifest(folder / "model.yaml")
    results = {"miss_rate": np.float64(0.05), "clips": np.int64(7), "interval": [np.float32(0.25), 0.5]}
    (folder / "model.yaml").write_text(dump_manifest(msgspec.structs.replace(manifest, results=results)))
    found = load_manifest(folder / "model.yaml").results
    assert found == {"miss_rate": 0.05, "clips": 7, "interval": [0.25, 0.5]}
    with pytest.raises(ModelError, match="cannot be written"):
        dump_manifest(msgspec.structs.replace(manifest, results={"where": folder}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(threshold=0.5), r"unknown field `threshold`"),
        (lambda m: m["decision"].update(thresold=0.5), r"(?s)`\$\.decision`.*Did you mean 'threshold'"),
        (lambda m: m["decision"].update(threshold=7), r"< 1\.0 - at `\$\.decision\.threshold`"),
        (lambda m: m.pop("labels"), r"missing required field `labels`"),
        (lambda m: m.update(kind="scenes"), r"Invalid enum value 'scenes' - at `\$\.kind`"),
        (lambda m: m.update(kind="captions"), r"of kind commands or wake, and no other, has"),
        (lambda m: m.update(captions={"units": "phones"}), r"of kind captions, and no other"),
        (lambda m: m.pop("decision"), r"of kind commands or wake, and no other, has a section decision"),
        (lambda m: m.update(step_frames=3), r"step_frames 3 is no multiple of stride 2"),
        (lambda m: m.update(labels=["yes", "yes", "a", "b"]), r"twice"),
        (lambda m: m["decision"].update(silent_labels=["noise"]), r"decision names noise"),
        (lambda m: m.update(graphs={}), r"graphs is empty"),
        (lambda m: m.update(frontend_fingerprint="0" * 64), r"frontend does not match"),
        (lambda m: m["frontend"].update(n_mels=64), r"frontend does not match"),
        (lambda m: m["frontend"].update(hop_ms=-1), r"model\.yaml: .*hop"),
        (lambda m: m["graphs"]["onnx"].update(file="../model.onnx"), r"`\$\.graphs\.onnx\.file`"),
        (lambda m: m["graphs"]["onnx"].update(file="/etc/passwd"), r"`\$\.graphs\.onnx\.file`"),
        (lambda m: m.update(golden="../golden.npz"), r"`\$\.golden`"),
        (lambda m: m["graphs"]["onnx"].update(file="nothing.onnx"), r"cannot read .*nothing\.onnx"),
        (lambda m: m["graphs"]["tflite"].update(sha256="0" * 64), r"model\.tflite: wrong checksum"),
        (lambda m: m["states"][0]["fill"].update(onnx=256), r"`\$\.states\[0\]\.fill\.onnx`"),
        (lambda m: m["states"][0].update(name="x"), r"`\$\.states\[0\]\.name`"),
    ],
)
def test_a_wrong_manifest(folder: Path, change: Callable[[dict[str, Any]], object], message: str) -> None:
    edit(folder, change)
    with pytest.raises(ModelError, match=message) as caught:
        load_bundle(folder)
    assert caught.value.exit_code == 5
    assert str(folder) in str(caught.value)


def test_no_folder_and_no_manifest(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model\.yaml"):
        load_bundle(tmp_path / "absent")
    (folder / "model.yaml").unlink()
    with pytest.raises(ModelError, match=r"no model\.yaml"):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["model.onnx", "model.tflite"])
def test_a_missing_or_damaged_graph(folder: Path, name: str) -> None:
    path = folder / name
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(ModelError, match=f"{name}: wrong checksum"):
        load_bundle(folder)
    path.unlink()
    with pytest.raises(ModelError, match=f"cannot read .*{name}"):
        load_bundle(folder)


@pytest.mark.parametrize(("name", "backend"), [("model.onnx", "onnx"), ("model.tflite", "litert")])
def test_a_truncated_graph_with_a_matching_checksum(folder: Path, name: str, backend: Any) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:3000])
    rehash(folder)
    with pytest.raises(ModelError, match="cannot read its graph"):
        open_graph(load_bundle(folder), backend)


@pytest.mark.parametrize("backend", ["onnx", "litert"])
def test_a_graph_for_another_frontend(folder: Path, backend: Any) -> None:
    """Frontend and fingerprint agree with each other, but the graph was made for 40 bands."""
    manifest = load_manifest(folder / "model.yaml")
    other = type(manifest.frontend)(n_mels=64)

    def change(content: dict[str, Any]) -> None:
        content["frontend"]["n_mels"] = 64
        content["frontend_fingerprint"] = other.fingerprint

    edit(folder, change)
    bundle = load_bundle(folder)
    with pytest.raises(ModelError, match=r"frames is float32 \[1, 4, 40\], the manifest wants .*64\]"):
        open_graph(bundle, backend)


@pytest.mark.parametrize("backend", ["onnx", "litert"])
def test_labels_that_the_graph_does_not_have(folder: Path, backend: Any) -> None:
    edit(folder, lambda m: m["labels"].append("more"))
    with pytest.raises(ModelError, match="logits is float32"):
        open_graph(load_bundle(folder), backend)


def test_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.onnx"
    (folder / "model.onnx").rename(outside)
    (folder / "model.onnx").symlink_to(outside)
    with pytest.raises(ModelError, match="leads out of the model's folder"):
        load_bundle(folder)


def test_a_linked_folder_is_fine(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    assert load_bundle(tmp_path / "link").name == "random"


def test_a_pipe_does_not_block(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    os.mkfifo(folder / "model.onnx")
    with pytest.raises(ModelError, match="not a regular file"):
        load_bundle(folder)


def test_a_graph_that_is_too_large(folder: Path) -> None:
    with (folder / "model.onnx").open("r+b") as file:
        file.truncate(128 * 2**20 + 1)
    with pytest.raises(ModelError, match="larger than"):
        load_bundle(folder)


def test_a_model_for_one_runtime_only(folder: Path) -> None:
    edit(folder, lambda m: m["graphs"].pop("tflite"))
    bundle = load_bundle(folder)
    assert open_graph(bundle).runtime == "onnx"
    with pytest.raises(ModelError, match="no graph for litert"):
        open_graph(bundle, "litert")


def arrays(**changes: Any) -> dict[str, Any]:
    good = {
        "frames": np.zeros((8, 40), np.float32),
        "logits": np.zeros((4, 4), np.float32),
        "tolerance": np.float64(0.1),
        "embedding": np.zeros((4, 24), np.float32),
        "embedding_tolerance": np.float64(0.1),
    }
    return {k: v for k, v in {**good, **changes}.items() if v is not None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"logits": None}, "does not hold"),
        ({"tolerance": None}, "does not hold"),
        ({"tolerance": np.zeros(3)}, "does not hold"),
        ({"frames": np.array([object()])}, "does not hold"),  # needs pickle
        ({"frames": np.zeros((8, 41), np.float32)}, "do not fit"),
        ({"frames": np.zeros((6, 40), np.float32)}, "do not fit"),
        ({"frames": np.float32(1.0)}, "do not fit"),
        ({"logits": np.zeros((8, 4), np.float32)}, "do not fit"),
        ({"frames": np.zeros((8, 40))}, "must be float32"),
        ({"embedding": None}, "does not hold"),
        ({"embedding": np.zeros((4, 25), np.float32)}, "does not fit"),
        ({"embedding": np.zeros((4, 24))}, "must be float32"),
    ],
)
def test_wrong_golden_arrays(folder: Path, changes: dict[str, Any], message: str) -> None:
    np.savez(folder / "golden.npz", **arrays(**changes))
    with pytest.raises(ModelError, match=message):
        load_bundle(folder).golden()


def test_golden_files_that_are_no_archives_or_unfold_without_end(folder: Path) -> None:
    bundle = load_bundle(folder)
    for content in (b"", b"nonsense", b"PK\x03\x04 cut"):
        (folder / "golden.npz").write_bytes(content)
        with pytest.raises(ModelError, match="does not hold"):
            bundle.golden()
    with zipfile.ZipFile(folder / "golden.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("frames.npy", bytes(20 * 2**20))
    assert (folder / "golden.npz").stat().st_size < 100_000
    with pytest.raises(ModelError, match="unfolds to more than 16 MB"):
        bundle.golden()


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (6, 1),  # encrypted
        (8, 99),  # compressed by a method that nobody knows
    ],
)
def test_golden_archives_of_odd_kinds(folder: Path, offset: int, value: int) -> None:
    """The offsets are those of a zip file's local header; the directory's are two further on."""
    path = folder / "golden.npz"
    content = bytearray(path.read_bytes())
    content[offset] = value
    content[content.index(b"PK\x01\x02") + offset + 2] = value
    path.write_bytes(content)
    with pytest.raises(ModelError, match="does not hold"):
        load_bundle(folder).golden()


def test_a_golden_array_that_claims_to_be_huge(folder: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (100000000000000, 40)}\n"
    with zipfile.ZipFile(folder / "golden.npz", "w") as archive:
        archive.writestr("frames.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(ModelError, match="does not hold"):
        load_bundle(folder).golden()

from __future__ import annotations

import argparse

import pytest

from tools.benchmarks import cgroup, slow_device
from tools.benchmarks.cgroup import CannotLimitError, SlowCore


def test_where_no_cgroups_can_be_made_nothing_is_measured_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(cgroup, "GROUPS", tmp_path / "none")
    with pytest.raises(CannotLimitError, match=r"can be made here: .*No such file"):
        SlowCore(0.25).__enter__()
    report = slow_device.run(argparse.Namespace(tasks=None, smoke=True))
    assert report.limits == report.tables == []
    assert "Not measured: no cgroup for CPU time can be made here" in report.markdown(["slow-device"])


def test_a_quota_as_either_version_of_cgroups_wants_it(tmp_path, monkeypatch):
    monkeypatch.setattr(cgroup, "GROUPS", tmp_path)
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory\n")
    SlowCore(0.25).__enter__()
    [group] = tmp_path.glob("edgeaudio-slow-*")
    assert (group / "cpu.max").read_text() == "2500 10000"

    (tmp_path / "cpu").mkdir()
    SlowCore(0.5).__enter__()
    [group] = tmp_path.glob("cpu/edgeaudio-slow-*")
    assert (group / "cpu.cfs_quota_us").read_text() == "5000"
    assert (group / "cpu.cfs_period_us").read_text() == "10000"

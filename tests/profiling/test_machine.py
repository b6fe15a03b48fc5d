from __future__ import annotations

import pytest

from edgeaudio import __version__
from edgeaudio.profiling.machine import cpu_group, machine
from tests.profiling.trees import tree


def test_a_board_is_named_by_its_device_tree(tmp_path):
    model = "Raspberry Pi 5 Model B Rev 1.0"
    files = {
        "proc/device-tree/model": f"{model}\0",
        "proc/cpuinfo": "model name : something else\n",
        "proc/meminfo": "MemTotal:        8257120 kB\nMemFree:  1 kB\n",
    }
    found = machine(tree(tmp_path, files))
    assert (found.model, found.memory_mb, found.quota_cores) == (model, 8063, None)
    assert found.versions["edgeaudio"] == __version__
    assert {"numpy", "numba"} <= set(found.versions)


def test_a_processor_where_there_is_no_device_tree(tmp_path):
    cpuinfo = (
        "processor\t: 0\nmodel name\t: A CPU @ 2.00GHz\n\nprocessor\t: 1\nmodel name\t: A CPU @ 2.00GHz\n"
    )
    assert machine(tree(tmp_path, {"proc/cpuinfo": cpuinfo})).model == "A CPU @ 2.00GHz"


def test_a_machine_that_tells_nothing_still_is_one(tmp_path):
    found = machine(tmp_path)
    assert found.model
    assert found.cores >= 1
    assert found.memory_mb > 0
    assert found.quota_cores is None


V1 = {"proc/self/cgroup": "3:cpu,cpuacct:/a/b\n0::/\n", "sys/fs/cgroup/cpu/cgroup.procs": ""}
V2 = {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/cgroup.procs": ""}


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        (V2 | {"sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, None),
        (V2 | {"sys/fs/cgroup/a/b/cpu.max": "2500 10000\n"}, 0.25),
        # The tightest of all groups around the process counts.
        (
            V2 | {"sys/fs/cgroup/a/b/cpu.max": "150000 100000\n", "sys/fs/cgroup/a/cpu.max": "50000 100000"},
            0.5,
        ),
        (V2 | {"sys/fs/cgroup/a/b/cpu.max": "nonsense\n"}, None),
        (V2 | {"sys/fs/cgroup/a/b/cpu.max": "1000 0\n"}, None),
        # In a container the group's path is one of the host, and the quota lies at the top.
        (V2 | {"sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2.0),
        (
            V1
            | {"sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "1000"},
            None,
        ),
        (
            V1
            | {
                "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "250",
                "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "1000",
            },
            0.25,
        ),
        ({"proc/self/cgroup": "nonsense\n:::\n\0"}, None),
    ],
)
def test_the_cpu_that_a_cgroup_allows(tmp_path, files, quota):
    found = cpu_group(tree(tmp_path, files))
    assert (found.quota_cores if found is not None else None) == quota

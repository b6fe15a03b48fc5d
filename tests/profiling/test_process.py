from __future__ import annotations

import mmap
import threading
import time
from dataclasses import replace

import pytest

from edgeaudio.profiling.process import Counters, cost, count

BEFORE = Counters(
    at_s=100.0,
    cpu_s=1.0,
    rss_mb=50.0,
    peak_rss_mb=90.0,
    minor_faults=10,
    major_faults=1,
    voluntary_switches=100,
    involuntary_switches=7,
    cores={0: (1000, 4000), 1: (500, 4000), 2: (1, 2)},
)


def test_a_cost_is_what_grew_between_two_moments():
    after = replace(
        BEFORE,
        at_s=110.0,
        cpu_s=3.0,
        rss_mb=55.0,
        minor_faults=15,
        major_faults=2,
        voluntary_switches=300,
        involuntary_switches=9,
        cores={0: (1250, 5000), 1: (1500, 5000), 2: (1, 2), 3: (5, 5)},  # 2 slept, 3 has come since
    )
    found = cost(BEFORE, after, computing_s=0.5, audio_s=10.0)
    assert found.cpu_share == pytest.approx(0.2)
    assert found.real_time_factor == pytest.approx(0.05)
    assert [(one.core, one.busy) for one in found.cores] == [(0, 0.25), (1, 1.0)]
    assert (found.rss_mb, found.peak_rss_mb) == (55.0, 90.0)
    assert (found.minor_faults, found.major_faults) == (5, 1)
    assert (found.voluntary_switches, found.involuntary_switches) == (200, 2)


def test_no_time_and_no_audio_cost_nothing():
    found = cost(BEFORE, BEFORE, computing_s=0.0, audio_s=0.0)
    assert (found.cpu_share, found.real_time_factor, found.cores) == (0.0, 0.0, [])


def test_work_memory_and_waiting_are_seen():
    before = count()
    until_s = time.process_time() + 0.1
    while time.process_time() < until_s:
        pass
    pages = 2048
    with mmap.mmap(-1, pages * mmap.PAGESIZE) as memory:
        for page in range(pages):
            memory[page * mmap.PAGESIZE] = 1
        after = count()
    for _ in range(20):
        threading.Event().wait(0.001)
    found = cost(before, after, computing_s=0.1, audio_s=1.0)
    assert found.cpu_share * (after.at_s - before.at_s) >= 0.1
    # Written pages are resident; large ones may cover many at a fault.
    assert found.rss_mb - before.rss_mb > 0.9 * pages * mmap.PAGESIZE / 2**20
    assert found.minor_faults >= 1
    assert found.peak_rss_mb >= found.rss_mb
    assert count().voluntary_switches - after.voluntary_switches >= 20
    assert all(0.0 <= core.busy <= 1.0 for core in found.cores)


STAT = """cpu  10 10 10 40 10 10 5 5 3 0
cpu0 5 5 5 20 5 5 2 3 3 0
cpu1 nonsense
intr 5 6 7
"""


def test_steal_is_busy_and_waiting_for_a_disk_is_not(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text(STAT)
    # 25 of 50; what guests used is in the first column already.
    assert count(tmp_path).cores == {0: (25, 50)}


@pytest.mark.parametrize("said", ["", "cpu0 a b c d e f g h i j\n", "cpu0 1 2 3 4 5 6 7 x\n", "\n\ncpu\n"])
def test_a_system_that_tells_nothing_of_its_cores_has_none(tmp_path, said):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text(said)
    found = count(tmp_path)
    assert found.cores == {}
    assert found.rss_mb > 0

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeaudio.profiling.wanted import Wanted
from tools.benchmarks import report, together
from tools.benchmarks.audio import RATE_HZ, daemon_audio
from tools.benchmarks.latency import Arrival, Word, _after_words
from tools.benchmarks.process import run_measured
from tools.benchmarks.report import Limit, Report, Table, write_section

BENCH = Path(__file__).resolve().parents[2] / "tools" / "bench"


def test_a_section_is_replaced_and_others_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "DOCUMENT", tmp_path / "docs" / "benchmarks.md")
    write_section("daemon", "old figures")
    write_section("startup", "other figures")
    write_section("daemon", "new figures")
    page = report.DOCUMENT.read_text()
    assert page.startswith("# Benchmarks\n")
    assert "old figures" not in page
    assert page.count("new figures") == page.count("other figures") == 1
    assert page.index("new figures") < page.index("other figures")


def test_a_section_says_where_when_and_how() -> None:
    found = Report("Title", [Table(["x", "y"], [["1", "2"]])], [Limit("ratio", 0.7, 0.6)], packages=["numpy"])
    text = found.markdown(["daemon", "--audio", "a b.tsv"])
    assert report.cpu_model() in text
    assert f"numpy {np.__version__}" in text
    assert "    tools/bench daemon --audio 'a b.tsv'\n" in text
    assert "| x | y |\n|---|---|\n| 1 | 2 |" in text
    assert "| ratio | 0.7 | 0.6 | **exceeded** |" in text


def test_a_smoke_run_has_a_limit_of_its_own() -> None:
    limit = Limit("ratio", 0.7, 0.6, smoke_limit=0.9)
    assert limit.holds(smoke=True)
    assert not limit.holds(smoke=False)
    assert Limit("noisy", 9.0, 0.6).holds(smoke=True)


def test_cpu_time_and_output_of_a_process_are_its_own() -> None:
    idle = run_measured([sys.executable, "-c", "import time; time.sleep(0.3); print('done')"])
    busy = run_measured([sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass"])
    assert idle.stdout == "done\n"
    assert idle.cpu_s < 0.3 <= busy.cpu_s
    assert busy.rss_mb > 3
    with pytest.raises(RuntimeError, match=r"ended with 3:\noh dear"):
        run_measured([sys.executable, "-c", "import sys; sys.stderr.write('oh dear'); sys.exit(3)"])


def test_audio_is_as_long_as_wanted_and_reproducible() -> None:
    audio = daemon_audio(None, 50)
    assert audio.dtype == np.int16
    assert len(audio) == 50 * RATE_HZ
    np.testing.assert_array_equal(audio, daemon_audio(None, 50))


def test_events_are_matched_with_the_words_of_their_name() -> None:
    def arrival(name: str, at_s: float) -> Arrival:
        return Arrival({"type": "detection", "name": name}, at_s)

    words = [Word("stop", 3.0), Word("go", 3.5), Word("stop", 8.0)]
    arrivals = [arrival("stop", 3.25), arrival("stop", 7.9), arrival("go", 9.0), arrival("left", 3.0)]
    assert _after_words([*arrivals, Arrival({"type": "gap"}, 3.1)], words) == pytest.approx([0.25, -0.1])


def test_what_a_task_costs_beside_others_is_told_turn_by_turn() -> None:
    captions, wake = Wanted.parse("captions"), Wanted.parse("wake")
    cpu_ms = {(captions,): [4.0, 9.0, 5.0], (wake,): [1.0] * 3, (captions, wake): [4.5, 9.4, 5.6]}
    found = together._report(cpu_ms, {(captions,): 190.0, (captions, wake): 200.0}, 60, 3)
    first, second = found.tables[0].rows
    assert first[:4] == ["captions-en-small", "5.00 (4.20 to 8.20)", "", "1"]
    assert second[0] == "wake-computer"
    assert second[2].startswith("0.50 (")  # of 0.5, 0.4 and 0.6; apart, their medians say 0.6
    assert second[3:] == ["2", "5.60 (4.72 to 8.64)", "0.0056", "200"]
    assert [limit.value for limit in found.limits] == [0.0056]


def test_an_unknown_benchmark_is_refused() -> None:
    done = subprocess.run([BENCH, "speed"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "invalid choice: 'speed'" in done.stderr

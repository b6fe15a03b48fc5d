"""What all tests share: where real recordings lie, and reproducible hypothesis runs."""

from __future__ import annotations

import functools
import os
import pwd
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
_DEVICE = re.compile(r"mark\.(pulse|browser|cgroup)\b")

# Numba compiles on first use, which no per-example deadline can foresee.
settings.register_profile(
    "edgeaudio", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("edgeaudio")


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Folder of real recordings and other projects' models; tests that ask for it skip without it."""
    if not SHARED.is_dir():
        pytest.skip(f"no recordings at {SHARED}")
    return SHARED


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's user: a number without a name, a home or settings."""

    def nobody(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)


@pytest.hookimpl(optionalhook=True)  # without pytest-xdist, tests run one after the other
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Side by side, keep a file's tests in one worker: they share what is slow to make.

    Those with devices are one after the other, too: what they measure is time.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "devices" if _wants_a_device(file) else file

    return ByFile(config, log)


@functools.cache
def _wants_a_device(file: str) -> bool:
    """Whether tests of a file want a sound server, a browser or a share of the processor."""
    return _DEVICE.search((ROOT / file).read_text(encoding="utf-8")) is not None


def _skipped_shared(reporter: pytest.TerminalReporter) -> list[str]:
    # Modules that skip as a whole are there, too, as reports without keywords.
    skipped = reporter.stats.get("skipped", [])
    return [report.nodeid for report in skipped if "shared" in getattr(report, "keywords", ())]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say, for .ci/run to fail on, when a `shared` test skipped although the recordings are there."""
    if not SHARED.is_dir():
        return
    for nodeid in _skipped_shared(terminalreporter):
        terminalreporter.write_line(f"SHARED TEST SKIPPED: {nodeid}", red=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run when a `shared` test skipped although the recordings are there and CI runs."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not SHARED.is_dir() or not os.environ.get("CI"):
        return
    if _skipped_shared(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED

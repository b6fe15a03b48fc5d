from __future__ import annotations

import sys

import pytest

from edgeaudio.cli import progress
from edgeaudio.cli.progress import progress_bar


@pytest.mark.parametrize("with_rich", [True, False])
def test_where_nobody_watches_there_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], with_rich: bool
) -> None:
    clock = iter(range(0, 100, 4))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    if not with_rich:
        monkeypatch.setitem(sys.modules, "rich.console", None)
    with progress_bar("evaluating") as tell:
        for done in range(1, 8):
            tell(done, 7)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "evaluating: 3 of 7\nevaluating: 6 of 7\n", "every ten seconds, at four a step"


def test_a_terminal_shows_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes any stream for a terminal
    with progress_bar("evaluating") as tell:
        tell(1, 2)
        tell(2, 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert "evaluating" in err
    assert "100%" in err

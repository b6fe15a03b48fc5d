from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeaudio.errors import OutputError
from edgeaudio.profiling.charts import histogram
from edgeaudio.profiling.gate import Verdict, check
from edgeaudio.profiling.html import page, write_page
from edgeaudio.profiling.measurement import Cost, Measurement, Sensor, Stage, Stall
from tests.profiling.synthetic import measurement

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
VOID = {"br", "meta"}
HOSTILE = "<script>alert(1)</script>\"'&</style></title>\u202e\x00"


class Reader(HTMLParser):
    """Checks that elements close in order, and collects them."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(markup)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def minute() -> Measurement:
    return measurement(60.0)


@pytest.fixture(scope="module")
def read(minute: Measurement) -> Reader:
    return Reader(page(minute, check(minute)))


def test_a_minute_is_written_in_three_seconds_and_below_a_megabyte(
    minute: Measurement, tmp_path: Path
) -> None:
    started = time.process_time()
    write_page(tmp_path / "run.html", minute, check(minute))
    assert time.process_time() - started < 3.0
    assert (tmp_path / "run.html").stat().st_size < 1_000_000


def test_a_day_makes_no_page_above_a_megabyte_either() -> None:
    # What a run keeps at most: some thousand passes of a stage. Stalls and sensors have no such limit.
    found = measurement(240.0, stalls=200)
    stalls = [Stall(at_s=2.0 + i / 10, duration_ms=60.0 + i, stage="wait") for i in range(2000)]
    times = [2.0 + i / 25 for i in range(5000)]
    many = [
        Sensor(
            name=f"cpu{i} frequency",
            unit="MHz",
            status="measured",
            source="x",
            samples=[(t, 800.0) for t in times],
        )
        for i in range(16)
    ]
    text = page(measurement(240.0, found_stalls=stalls, sensors=[*found.sensors, *many]))
    assert len(text.encode()) < 1_000_000


def test_the_page_needs_nothing_else(read: Reader, minute: Measurement) -> None:
    names = {name for name, _ in read.elements}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "image", "use", "base", "form"}
    for _, attributes in read.elements:
        assert not {"href", "src", "srcset", "action", "style"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
    text = page(minute)
    assert not re.search(r"url\(|@import|https?:", text)
    policy = next(a["content"] for n, a in read.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_every_section_is_there(read: Reader) -> None:
    text = " ".join(read.words)
    for words in (
        "Budgets",
        "Stages",
        "How often which duration came",
        "Over time",
        "A typical block",
        "The worst block",
        "CPU, temperature, power",
        "Start-up",
        "Lost and left out",
        "What was run",
        "Where it was run",
        "How to read this",
        "Raspberry Pi 4 Model B Rev 1.5",
    ):
        assert words in text


def test_every_picture_has_words_instead_of_it(read: Reader, minute: Measurement) -> None:
    pictures = [a for name, a in read.elements if name == "svg" and a.get("role") == "img"]
    # A histogram a stage; lag, computing and two of delays; at least three of sensors.
    assert len(pictures) >= len(minute.stages) + 4 + 3
    text = page(minute, check(minute))
    described = re.findall(
        r'<svg class="chart" role="img"[^>]*><title>([^<]+)</title><desc>([^<]+)</desc>', text
    )
    assert len(described) == len(pictures)
    hidden = [a for name, a in read.elements if name == "svg" and a.get("class") in {"track", "chart"}]
    assert all(a.get("role") == "img" or a.get("aria-hidden") == "true" for a in hidden)


def test_stalls_are_marked_and_told(minute: Measurement) -> None:
    text = page(minute)
    assert text.count('class="mark stall"') == len(minute.stalls) == 3
    for stall in minute.stalls:
        assert f'<td class="n">{stall.at_s:.2f} s</td>' in text


def test_budgets_are_told_with_words_not_only_with_colours() -> None:
    verdicts = [
        Verdict(name="memory", unit="MB", limit=300.0, value=188.0, kept=True, stage=None, detail="188 MB"),
        Verdict(
            name="CPU share", unit="%", limit=10.0, value=20.7, kept=False, stage="model", detail="too much"
        ),
        Verdict(name="p95", unit="ms", limit=10.0, value=None, kept=False, stage=None, detail="no event"),
    ]
    text = " ".join(Reader(page(measurement(5.0), verdicts)).words)
    assert "2 of 3 budgets broken: CPU share, p95." in text
    assert text.count("✓ kept") == 1
    assert text.count("✗ broken") == 2
    assert "not measured" in text
    assert "All 1" not in page(measurement(5.0), verdicts[:1])


def test_sensors_are_marked_measured_or_unavailable(read: Reader) -> None:
    text = " ".join(read.words)
    assert "this board has no power sensor" in text
    assert read.words.count("unavailable") == 1
    assert read.words.count("measured") >= 5


def test_words_from_outside_stay_words() -> None:
    found = measurement(
        5.0,
        audio=HOSTILE,
        profile=HOSTILE,
        made=HOSTILE,
        command=[HOSTILE],
        profile_settings={HOSTILE: [HOSTILE, {HOSTILE: None}], "hop_ms": HOSTILE, "budgets": HOSTILE},
    )
    found.machine.model = found.machine.system = HOSTILE
    found.machine.versions = {HOSTILE: HOSTILE}
    found.tasks[0].model = HOSTILE
    found.stalls[0].stage = HOSTILE
    for stage in found.stages:
        stage.name = HOSTILE + stage.name
        stage.task = HOSTILE
    for sensor in found.sensors:
        sensor.name = sensor.source = sensor.reason = HOSTILE
    found.sensors[0].unit = HOSTILE
    read = Reader(page(found, check(found)))
    assert "script" not in {name for name, _ in read.elements}
    assert "".join(read.words).count("<script>alert(1)</script>") > 20
    assert not re.search("[\u202e\x00]", "".join(read.words))


EMPTY = Cost(
    cpu_share=0.0,
    real_time_factor=0.0,
    cores=[],
    rss_mb=0.0,
    peak_rss_mb=0.0,
    minor_faults=0,
    major_faults=0,
    voluntary_switches=0,
    involuntary_switches=0,
)


@pytest.mark.parametrize(
    "changes",
    [
        {"stages": [], "sensors": [], "found_stalls": [], "tasks": [], "start_up": None, "cost": EMPTY},
        {"profile_settings": {}},
        {"seconds": 2.0},
        {"sensors": [Sensor(name="power", unit="W", status="measured", source="x", samples=[(3.0, 0.0)])]},
        {"sensors": [Sensor(name="odd", unit="rpm", status="measured", source="x", samples=[(3.0, -5.0)])]},
        {"sensors": [Sensor(name="late", unit="W", status="measured", source="x", samples=[(900.0, 1.0)])]},
    ],
    ids=["nothing", "no settings", "short", "zero", "unknown unit", "outside"],
)
def test_poor_measurements_make_pages_too(changes: dict[str, Any]) -> None:
    found = measurement(**({"seconds": 5.0} | changes))
    text = page(found, check(found))
    Reader(text)
    assert "nan" not in re.sub(r"<[^>]*>", "", text).split()
    assert not re.search(r'="(nan|inf|-inf)%?"', text)


@pytest.mark.parametrize("value", [0.0, 1e-7, 3.0, 1e7])
def test_passes_that_all_take_the_same_are_drawn(value: float) -> None:
    stage = Stage(
        name="ring",
        group="ring",
        count=3,
        mean_ms=value,
        p50_ms=value,
        p95_ms=value,
        p99_ms=value,
        max_ms=value,
        mean_interval_ms=(value, value),
        p95_interval_ms=(value, value),
        share=0.0,
        samples=[(2.0, value), (3.0, value), (4.0, value)],
    )
    text = page(measurement(5.0, stages=[stage], found_stalls=[]))
    Reader(text)
    assert not re.search(r"\bnan\b|\binf\b", re.sub(r"<style>.*?</style>", "", text, flags=re.S))


@pytest.mark.parametrize("values_ms", [[-2.0, -1.0], [-1.0, -1.0], [-0.1, 30.0], [0.0, 0.0], [0.5, 90.0]])
def test_no_duration_keeps_a_histogram_from_being_drawn(values_ms: list[float]) -> None:
    """Ages of samples by a clock that is estimated may lie a little below zero."""
    assert "<svg" in histogram(np.array(values_ms), "x", "y", {"p50": values_ms[0]})


def test_a_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="nowhere"):
        write_page(tmp_path / "nowhere" / "run.html", measurement(5.0))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


@pytest.mark.browser
# The event loop that playwright leaves behind when it is stopped.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_browser_shows_it_without_the_network_and_without_sideways_scrolling(
    browser: Any, minute: Measurement, tmp_path: Path
) -> None:
    path = tmp_path / "run.html"
    write_page(path, minute, check(minute))
    view = browser.new_page(viewport={"width": 1200, "height": 800})
    asked: list[str] = []
    said: list[str] = []
    view.on("request", lambda request: asked.append(request.url))
    view.on("console", lambda message: said.append(message.text))
    view.goto(path.as_uri())
    assert asked == [path.as_uri()]
    assert said == []
    for width in (1200, 360):
        view.set_viewport_size({"width": width, "height": 800})
        assert view.evaluate("document.documentElement.scrollWidth") <= width
    # Letters keep their size, whatever the width of their picture.
    size = view.evaluate("parseFloat(getComputedStyle(document.querySelector('.chart text.tick')).fontSize)")
    assert size >= 11
    # On paper: dark letters on white, whatever the screen is like.
    view.emulate_media(media="print", color_scheme="dark")
    assert view.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert view.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    view.close()

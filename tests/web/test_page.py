"""The page in Chromium: apt-get install chromium; pip install playwright."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeaudio.engine import Engine
from edgeaudio.frontend import FrontendSpec
from edgeaudio.sinks.clips import write_wav
from edgeaudio.sources.array import ArraySource
from edgeaudio.testing import scripted_recognizer
from edgeaudio.web import CaptionServer, FrameTap
from tests.pulse import until
from tests.sinks.samples import caption, spoken
from tests.web.conftest import authority

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium"),
    # The event loop that playwright leaves behind when it is stopped.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

SPEECH_S = 6.0
RATE_HZ = 16_000


def chirps() -> np.ndarray:
    """Half a second of silence, as Chromium loses the first 50 ms, then what is easy to find again."""
    t = np.arange(round((SPEECH_S - 0.5) * RATE_HZ)) / RATE_HZ
    sound = 0.3 * np.sin(2 * np.pi * (300 * t + 250 * t**2)) * (np.sin(2 * np.pi * 1.5 * t) > 0)
    return np.concatenate([np.zeros(RATE_HZ // 2), sound]).astype(np.float32)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    microphone = tmp_path_factory.mktemp("microphone") / "chirps.wav"
    write_wav(microphone, chirps())
    with playwright.sync_playwright() as driver:
        yield driver.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--no-first-run",
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-audio-capture={microphone}%noloop",
            ],
        )


@pytest.fixture
def visit(browser):
    """Open the page; in the end, nothing may have been written to its console or asked of anyone else."""
    contexts, complaints = [], []

    def opened(server: CaptionServer, path: str = "", **options: Any) -> Any:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        hosts = []
        page.on("request", lambda request: hosts.append(request.url.split("/")[2]))
        page.goto(f"{server.url.rstrip('/')}/{path}" if path else server.url)
        page.hosts = hosts
        page.wait_for_function("() => document.querySelector('#status').textContent !== 'Connecting …'")
        assert set(hosts) == {authority(server)}
        return page

    opened.complaints = complaints
    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def shows(page, selector, text):
    page.wait_for_function(
        "([selector, text]) => document.querySelector(selector)?.innerText.includes(text)",
        arg=[selector, text],
    )


def picture(page, name):
    """Keep a screenshot for people to look at, where EDGEAUDIO_PICTURES names a folder."""
    folder = os.environ.get("EDGEAUDIO_PICTURES")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", omit_background=True)


@contextlib.contextmanager
def engine_behind(server, words, *taps):
    """Run a recogniser that follows a script on what the page chooses."""
    engine = Engine(server.source, scripted_recognizer(words), *taps)
    server.watch_level(lambda: engine.stats().level_dbfs)

    def run():
        with engine:
            for event in engine:
                server.emit(event)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield engine
    finally:
        engine.stop()
        thread.join()


def test_committed_words_stay_where_they_are_and_only_they_are_spoken(serve, visit):
    server = serve()
    page = visit(server)
    server.emit(caption(*spoken("never gonna"), tentative="give you"))
    shows(page, "#captions .tentative", "give you")
    solid, dim = (
        page.evaluate(f"getComputedStyle(document.querySelector('{selector}')).color")
        for selector in ("#captions span:not(.tentative)", "#captions .tentative")
    )
    assert solid != dim
    page.evaluate("window.first = document.querySelector('#captions span').firstChild")
    box = "JSON.stringify(document.querySelector('#captions span').getClientRects()[0])"
    before = page.evaluate(box)
    for tail in ("a long tail that will be taken back again " * 3, "", "give"):
        server.emit(caption(*spoken("never gonna"), tentative=tail))
    shows(page, "#captions .tentative", "give")
    assert page.evaluate(box) == before
    server.emit(caption(*spoken("never gonna give you up")))
    shows(page, "#captions", "give you up")
    assert page.evaluate("window.first.isConnected && window.first.data") == "never gonna"
    server.emit(caption(*spoken("never gonna give you up"), final=True))
    shows(page, "#spoken", "give you up")
    said = " ".join(page.inner_text("#spoken").split())
    assert said == "never gonna give you up"
    assert page.get_attribute("#spoken", "aria-live") == "polite"
    assert page.query_selector("#captions .tentative") is None


def test_the_text_scrolls_forwards_only(serve, visit):
    server = serve()
    page = visit(server, viewport={"width": 400, "height": 500}, reduced_motion="reduce")
    page.evaluate(
        """() => {
            const view = document.querySelector("#captions");
            window.places = [];
            view.addEventListener("scroll", () => places.push(view.scrollTop));
        }"""
    )
    for i in range(30):
        text = spoken(f"caption number {i} says something")
        server.emit(caption(*text, tentative="and perhaps some more words, which come and go", caption_id=i))
        server.emit(caption(*text, caption_id=i))
        server.emit(caption(*text, caption_id=i, final=True))
        shows(page, "#captions", f"number {i} ")
    page.wait_for_function("() => places.length > 5")
    places = page.evaluate("places")
    assert places == sorted(places)
    last = page.evaluate("document.querySelector('#captions p:last-of-type').getBoundingClientRect().bottom")
    assert last <= page.evaluate("document.querySelector('#captions').getBoundingClientRect().bottom")


def test_who_scrolls_back_is_left_there_until_they_ask_for_the_newest(serve, visit):
    server = serve()
    for i in range(40):
        server.emit(caption(*spoken(f"caption number {i}"), caption_id=i, final=True))
    page = visit(server, viewport={"width": 400, "height": 500}, reduced_motion="reduce")
    shows(page, "#captions", "number 39")
    page.hover("#captions")
    page.mouse.wheel(0, -3000)
    page.wait_for_selector("#newest:not([hidden])")
    place = page.evaluate("document.querySelector('#captions').scrollTop")
    server.emit(caption(*spoken("something new"), caption_id=99, final=True))
    shows(page, "#captions", "something new")
    assert page.evaluate("document.querySelector('#captions').scrollTop") == place
    page.click("#newest")
    page.wait_for_selector("#newest", state="hidden")
    page.wait_for_function(f"() => document.querySelector('#captions').scrollTop > {place}")


def test_the_browser_s_microphone_is_heard_drawn_and_captioned(serve, visit):
    heard = []
    words = [(1.0, 1.4, "one"), (1.4, 1.8, "two")]
    tap = FrameTap(scripted_recognizer(words).spec)
    server = serve(switchable=True, tap=tap)
    with engine_behind(server, words, tap, _Recorder(heard)):
        page = visit(server)
        shows(page, "#status", "Not listening")
        page.click("#toggle")
        shows(page, "#status", "Listening to this browser's microphone")
        shows(page, "#captions", "one two")
        page.wait_for_function("() => document.querySelector('#level').getAttribute('aria-valuenow') > -60")
        until(lambda: sum(map(len, heard)) > 4 * RATE_HZ, 20.0, "four seconds are heard")
        colours = page.evaluate(
            """() => {
                const canvas = document.querySelector("#spectrum");
                const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
                return new Set(Array.from(new Uint32Array(data.buffer))).size;
            }"""
        )
        assert colours > 50  # a picture, not a surface
        picture(page, "microphone")
        page.click("#toggle")
        shows(page, "#status", "Not listening")
        assert page.inner_text("#toggle") == "Start"
    sound = np.concatenate(heard)[: 4 * RATE_HZ]
    wanted = chirps()[RATE_HZ // 2 : 3 * RATE_HZ]
    spectra = np.fft.rfft(sound, 2**18) * np.conj(np.fft.rfft(wanted, 2**18))
    at = int(np.fft.irfft(spectra)[: len(sound)].argmax())
    part = sound[at : at + len(wanted)]
    correlation = (
        np.dot(part, wanted[: len(part)]) / np.linalg.norm(part) / np.linalg.norm(wanted[: len(part)])
    )
    # Chromium resamples and adjusts the gain: 0.96 and more, never exactly 1.
    assert len(part) > RATE_HZ
    assert correlation > 0.9


class _Recorder:
    """A task that keeps the audio, by way of frames that are samples."""

    name = "recorder"
    spec = FrontendSpec(features="waveform", preemphasis=0.0, remove_dc=False)

    def __init__(self, kept):
        self._kept = kept

    def process(self, frames):
        self._kept.append(frames.reshape(-1).copy())
        return []

    def flush(self):
        return []

    def reset(self, at_sample=0):
        pass


def test_stop_and_start_with_the_keyboard(serve, visit):
    noise = np.random.default_rng(1).normal(0, 0.1, 60 * RATE_HZ).astype(np.float32)
    server = serve(switchable=True, opener=lambda: ArraySource(noise, paced=True), input_name="noise")
    with engine_behind(server, [(0.4, 0.8, "one")]):
        page = visit(server)
        shows(page, "#status", "Listening to")
        reached = []
        for _ in range(6):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
        assert reached == ["captions", "toggle", "input", "SRT", "VTT", "Text"]
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        page.focus("#toggle")
        page.keyboard.press("Enter")
        shows(page, "#status", "Not listening")
        page.keyboard.press("Space")
        shows(page, "#status", "Listening to")


def test_every_control_has_a_name(serve, visit):
    page = visit(serve(switchable=True))
    for role, name in [
        ("button", "Start"),
        ("combobox", "Listen to"),
        ("link", "Save as SRT subtitles"),
        ("link", "Save as VTT subtitles"),
        ("link", "Save as text"),
        ("meter", "Input level"),
        ("region", "Captions"),
        ("log", "New captions"),
        ("status", ""),
    ]:
        assert page.get_by_role(role, name=name).count() == 1, (role, name)


def test_downloads_carry_the_token(serve, visit):
    server = serve(token="a-token-of-24-characters")  # noqa: S106 - of this test
    server.emit(caption(*spoken("hello world"), final=True))
    page = visit(server)
    with page.expect_download() as download:
        page.click("text=SRT")
    assert download.value.suggested_filename == "captions.srt"
    assert "hello world" in Path(download.value.path()).read_text()


def test_the_overlay_is_two_lines_on_nothing(serve, visit):
    server = serve(tap=FrameTap(FrontendSpec(n_mels=80)))
    page = visit(server, "?overlay", viewport={"width": 1280, "height": 360}, reduced_motion="reduce")
    for i in range(5):
        server.emit(caption(*spoken(f"this is line {i}"), caption_id=i, final=True))
    shows(page, "#captions", "line 4")
    assert not page.is_visible("header")
    assert not page.is_visible("footer")
    assert not page.is_visible("button")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgba(0, 0, 0, 0)"
    lines = page.evaluate(
        """() => {
            const view = document.querySelector("#captions").getBoundingClientRect();
            return [...document.querySelectorAll("#captions p")].filter(line => {
                const box = line.getBoundingClientRect();
                return box.top > view.top - 5 && box.bottom < view.bottom + 5;
            }).map(line => line.innerText);
        }"""
    )
    assert lines == [f"this is line {i}" for i in (3, 4)]
    picture(page, "overlay-test")


@pytest.mark.parametrize(("width", "height"), [(320, 568), (390, 844), (844, 390)])
def test_a_phone_shows_all_of_it(serve, visit, width, height):
    server = serve(switchable=True, tap=FrameTap(FrontendSpec(n_mels=80)))
    page = visit(server, viewport={"width": width, "height": height}, is_mobile=True, has_touch=True)
    server.emit(
        caption(*spoken("a few words and onewordthatismuchlongerthananyscreenofaphoneiswideandthensome"))
    )
    shows(page, "#captions", "a few words")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelector('#captions').clientHeight") > 0.25 * height
    for selector in ("#toggle", "#input", ".save"):
        assert page.locator(selector).first.bounding_box()["height"] >= 44  # what a thumb can hit


def test_it_comes_back_when_the_server_does(serve, visit):
    server = serve()
    server.emit(caption(*spoken("before"), final=True))
    page = visit(server)
    shows(page, "#captions", "before")
    where = authority(server)
    server.close()
    shows(page, "#status", "Not connected")
    assert "before" in page.inner_text("#captions")
    again = serve(where)
    again.emit(caption(*spoken("afterwards"), final=True))
    shows(page, "#captions", "afterwards")
    assert "before" not in page.inner_text("#captions")
    # The browser itself writes to the console that nobody answered.
    assert all("ERR_CONNECTION_REFUSED" in text or "WebSocket" in text for text in visit.complaints)
    visit.complaints.clear()

import numpy as np
import pytest

pytest.importorskip("torch", reason="tools/test --train installs PyTorch")

from pathlib import Path
from xml.etree import ElementTree

import msgspec

from edgeaudio.models.manifest import Decision
from edgeaudio.tasks.trigger import Trigger
from edgeaudio.training.card_results import result_lines
from edgeaudio.training.corpus import Clip
from edgeaudio.training.det import write_det
from edgeaudio.training.own import POSITIVES
from edgeaudio.training.spotter import Material
from edgeaudio.training.streams import Pools
from edgeaudio.training.wake_tests import NOISY, REAL, SYNTHETIC, YOURS, Heard, WakeTests, condensed

RATE = 16_000
LABELS = ("lamp", "unknown", "silence")
DECISION = Decision(threshold=0.5, smoothing_ms=20, refractory_ms=400, silent_labels=LABELS[1:])
HOUR = 180_000  # frames of 20 ms


def stream(*peaks: tuple[int, float], n: int = HOUR) -> np.ndarray:
    p = np.zeros((n, len(LABELS)), np.float32)
    for at, height in peaks:
        p[at, 0] = height
    return p


def heard(first: np.ndarray, second: np.ndarray, *, least: float = 0.0) -> Heard:
    peaks = {"a": np.array([0.95, 0.9, 0.6, 0.2])}
    streams = condensed(first, DECISION), condensed(second, DECISION)
    return Heard(LABELS, DECISION, peaks, streams, (1.0, 1.0), np.array([0.3, 0.8]), least)


def test_a_condensed_stream_fires_as_the_whole() -> None:
    rng = np.random.default_rng(0)
    whole = stream(n=3000)
    for at in rng.integers(0, 2900, 60):
        whole[at : at + int(rng.integers(1, 40)), 0] = rng.uniform(0.01, 1.0)
    decision = Decision(threshold=0.5, smoothing_ms=100, refractory_ms=1000, silent_labels=LABELS[1:])
    sparse = np.concatenate([whole[:1000], stream(n=5000), whole[1000:]])
    short = condensed(sparse, decision)
    assert len(short) < 3300
    for threshold in (0.02, 0.1, 0.5, 0.9):
        at = Decision(**{**msgspec.structs.asdict(decision), "threshold": threshold})
        fired = [len(Trigger(LABELS, at, frame_ms=20.0).process(part)) for part in (sparse, short)]
        assert fired[0] == fired[1] > 0


@pytest.mark.parametrize(("wanted", "alarms"), [(0.0, 0), (0.5, 1), (1.0, 2), (100.0, 4)])
def test_the_lowest_threshold_for_a_rate(wanted: float, alarms: int) -> None:
    # Two hours with peaks at four heights.
    h = heard(stream((10, 0.9), (1000, 0.7)), stream((10, 0.52), (1000, 0.3)))
    threshold = h.threshold_for(wanted)
    assert h.hours == 2.0
    assert h.false_alarms(threshold) == alarms
    next_lower = [0.9, 0.7, 0.52, 0.0][alarms] if alarms < 4 else 0.0
    # A step of the grid is 0.1 in log odds, at most 0.025 in probability; it begins at 0.018.
    assert next_lower < threshold <= next_lower + 0.026


def test_each_half_is_judged_with_the_threshold_of_the_other() -> None:
    # What is heard in the first half is louder than anything in the second.
    h = heard(stream((10, 0.9), (1000, 0.9)), stream((10, 0.5)))
    assert h.false_alarms(h.threshold_for(0.0)) == 0
    assert h.crosswise(0.0) == 2


def test_made_sentences_alone_choose_no_low_threshold() -> None:
    quiet = stream((10, 0.1))
    assert heard(quiet, quiet).threshold_for(0.0) < 0.2
    assert heard(quiet, quiet, least=0.5).threshold_for(0.0) == pytest.approx(0.5, abs=0.026)


def test_misses_and_near_words_follow_from_peaks() -> None:
    h = heard(stream(), stream())
    assert h.missed(0.7) == {"a": 2}
    assert h.woken(0.7) == 1
    point = h.operating_point(0.5)
    assert point["missed"]["a"]["of"] == 4
    assert point["false alarms per hour"]["hours"] == 2.0
    # Garwood's upper end for no event in two hours is 3.689 / 2.
    assert point["false alarms per hour"]["interval"] == [0.0, 1.84]


def clip(label: str, corpus: str = "words", seconds: float = 1.0, **fields: str) -> Clip:
    pcm = np.random.default_rng(len(label)).normal(0, 1000, round(seconds * RATE)).astype(np.int16)
    key = fields.pop("key", f"{label}{seconds}")
    return Clip(corpus, key, pcm, label, **fields)


def material(*development: Clip) -> Material:
    return Material(("lamp",), Pools([[]], [[]], [], []), [], [], list(development))


def test_recordings_are_sorted_by_who_speaks() -> None:
    clips = [
        clip("lamp"),
        clip("lamp", POSITIVES),
        clip("lamp", split="held_out", speaker="pico/en-GB/w1"),
        clip("lamb", split="held_out", speaker="pico/en-GB/w1"),
        clip("", "talk", 5.0, text="other things"),
        clip("silence", "noise", 3.0),
    ]
    made = [clip("", "sentences", 5.0, key=str(i), split="held_out", speaker=str(i)) for i in range(40)]
    tests = WakeTests.of(material(*clips, *made), ["lamp"])
    assert {name: len(audio) for name, audio in tests.positives.items()} == {
        name + noise: 1 for name in (YOURS, REAL, SYNTHETIC) for noise in ("", NOISY)
    }
    clean, noisy = tests.positives[REAL][0], tests.positives[REAL + NOISY][0]
    assert clean.shape == noisy.shape == (2 * RATE,)
    # Noise 10 dB below the speech, which is half of the padded recording.
    ratio_db = 10 * np.log10(np.sum(clean**2) / (np.sum((noisy - clean) ** 2) / 2))
    assert ratio_db == pytest.approx(10.0, abs=2.0)  # what the noise's level differs over its length
    assert tests.voices == ["pico/en-GB"]
    assert len(tests.confusable) == 1
    # Five seconds of real speech decide little: made sentences help.
    assert tests.hours == pytest.approx((41 * 5 + 3) / 3600)
    assert tests.least == 0.5
    assert "made sentences" in tests.negatives_are
    silent = np.zeros(600 * RATE, np.int16)
    half_an_hour = [Clip("talk", str(i), silent, text="talk") for i in range(3)]
    enough = WakeTests.of(material(*clips, *made, *half_an_hour), ["lamp"])
    assert enough.least == 0.0
    assert enough.negatives_are == "30 minutes of held-out recordings"


def test_the_picture_and_the_table_show_every_group(tmp_path: Path) -> None:
    h = heard(stream((10, 0.9), (1000, 0.7)), stream((10, 0.52), (1000, 0.3)))
    write_det(h.curve(), h.hours, tmp_path / "det.svg", title='"<lamp>"')
    root = ElementTree.parse(tmp_path / "det.svg").getroot()  # noqa: S314 - written a line above
    (line,) = root.iter("{http://www.w3.org/2000/svg}polyline")
    points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    assert len(points) == len(h.curve())
    # Higher thresholds: fewer false alarms, to the left, more misses, upwards.
    assert points == sorted(points, key=lambda p: (-p[0], -p[1]))
    lines = result_lines({"operating points": [h.operating_point(rate) for rate in (0.5, 1.0)]})
    table = [line for line in lines if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert table[2].startswith("| 0.5/h | 0.7")
    assert "![Misses against false alarms](det.svg)" in lines

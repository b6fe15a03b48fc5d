"""Which device is meant, and that it stays the same one."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from edgeaudio.errors import DeviceError, MissingDependencyError
from edgeaudio.sources.devices import DeviceInfo, Pin, find_device, list_devices, list_loudspeakers


def device(index: int, name: str, *, default: bool = False, api: str = "ALSA") -> DeviceInfo:
    return DeviceInfo(
        index=index, name=name, host_api=api, channels=2, default_rate_hz=48000, is_default=default
    )


DEVICES = [
    device(0, "HDA Intel PCH: ALC257 Analog (hw:0,0)"),
    device(3, "ReSpeaker 4 Mic Array: USB Audio (hw:1,0)"),
    device(4, "USB PnP Sound Device: Audio (hw:2,0)"),
    device(7, "pulse"),
    device(8, "default", default=True),
    device(9, "pulse monitor"),
]


@pytest.mark.parametrize(
    ("wanted", "index"),
    [(None, 8), (3, 3), ("3", 3), ("respeaker", 3), ("PnP", 4), ("pulse", 7), ("PULSE M", 9)],
)
def test_devices_are_found_by_index_and_part_of_name(wanted: int | str | None, index: int) -> None:
    assert find_device(wanted, DEVICES).index == index


def test_an_ambiguous_name_lists_its_matches() -> None:
    with pytest.raises(DeviceError, match="'usb' fits 2 microphones") as error:
        find_device("usb", DEVICES)
    assert "3: ReSpeaker" in str(error.value)
    assert "4: USB PnP" in str(error.value)
    assert "HDA" not in str(error.value)
    assert error.value.exit_code == 4


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("blue yeti", "no microphone's name contains 'blue yeti'"),
        (5, "no microphone with index 5"),
        ("5", "index 5"),
    ],
)
def test_an_unknown_device_lists_what_there_is(wanted: int | str, message: str) -> None:
    with pytest.raises(DeviceError, match=message) as error:
        find_device(wanted, DEVICES)
    assert all(str(device) in str(error.value) for device in DEVICES)
    assert "edgeaudio devices" in str(error.value)


def test_no_default_and_no_device_at_all() -> None:
    with pytest.raises(DeviceError, match="no default microphone"):
        find_device(None, DEVICES[:2])
    with pytest.raises(DeviceError, match="no microphone on this machine") as error:
        find_device(None, [])
    assert "edgeaudio devices" in str(error.value)


def test_a_device_that_comes_back_under_another_card_number_is_the_same() -> None:
    pin = Pin(DEVICES[1], DEVICES)
    assert pin.find(DEVICES) is DEVICES[1]
    back = device(5, "ReSpeaker 4 Mic Array: USB Audio (hw:3,0)")
    assert pin.find([DEVICES[0], back]) is back


def test_a_twin_is_another_device() -> None:
    twins = [device(1, "Mic: USB Audio (hw:1,0)"), device(2, "Mic: USB Audio (hw:2,0)")]
    pin = Pin(twins[0], twins)
    with pytest.raises(DeviceError, match=r"'Mic: USB Audio \(hw:1,0\)' is not there"):
        pin.find(twins[1:])
    assert pin.find(twins) is twins[0]


def test_no_other_device_takes_its_place() -> None:
    pin = Pin(DEVICES[1], DEVICES)
    with pytest.raises(DeviceError, match="is not there"):
        pin.find([DEVICES[0], *DEVICES[2:]])
    with pytest.raises(DeviceError, match="is not there"):
        pin.find([device(3, DEVICES[1].name, api="JACK Audio Connection Kit")])


def test_only_devices_that_record_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    def query(index: int, name: str, channels: int) -> dict[str, object]:
        facts = {"index": index, "name": name, "hostapi": 1, "max_input_channels": channels}
        return {**facts, "default_samplerate": 44100.0}

    fake = SimpleNamespace(
        query_hostapis=lambda: ({"name": "OSS"}, {"name": "ALSA"}),
        query_devices=lambda: [query(0, "HDMI", 0), query(1, "Mic", 2), query(2, "Line", 1)],
        default=SimpleNamespace(device=[2, 0]),
    )
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    mic, line = list_devices()
    assert (mic.index, mic.name, mic.host_api, mic.channels) == (1, "Mic", "ALSA", 2)
    assert (mic.default_rate_hz, mic.is_default, line.is_default) == (44100.0, False, True)


class _WithoutLibrary:
    """What sounddevice does where PortAudio is not installed."""

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name == "sounddevice":
            raise OSError("PortAudio library not found")


def test_without_the_package_or_the_library_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingDependencyError, match="sounddevice") as error:
        list_devices()
    assert "edgeaudio[mic]" in str(error.value)
    assert error.value.exit_code == 6

    monkeypatch.delitem(sys.modules, "sounddevice")
    monkeypatch.setattr(sys, "meta_path", [_WithoutLibrary(), *sys.meta_path])
    with pytest.raises(MissingDependencyError, match="PortAudio library not found") as error:
        list_devices()
    assert "sudo apt-get install libportaudio2" in str(error.value)


def test_loudspeakers_are_found_as_microphones_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def query(index: int, name: str, recorded: int, played: int) -> dict[str, object]:
        channels = {"max_input_channels": recorded, "max_output_channels": played}
        return {"index": index, "name": name, "hostapi": 0, "default_samplerate": 48000.0, **channels}

    fake = SimpleNamespace(
        query_hostapis=lambda: ({"name": "ALSA"},),
        query_devices=lambda: [query(0, "Mic", 2, 0), query(1, "HDMI", 0, 8), query(2, "USB", 1, 2)],
        default=SimpleNamespace(device=[0, 2]),
    )
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    found = list_loudspeakers()
    assert [(speaker.name, speaker.channels) for speaker in found] == [("HDMI", 8), ("USB", 2)]
    assert find_device(None, found, "loudspeaker").name == "USB"
    with pytest.raises(DeviceError, match=r"no loudspeaker's name contains 'Mic'; there is 1: HDMI"):
        find_device("Mic", found, "loudspeaker")
    with pytest.raises(DeviceError, match="there is no loudspeaker on this machine") as error:
        find_device(None, [], "loudspeaker")
    assert "aplay -l" in str(error.value)

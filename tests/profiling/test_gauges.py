"""Devices as trees of files and programs, as the kernel and the firmware of each lay them out."""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.profiling import nvml, sensors
from edgeaudio.profiling.gauges import find_gauges
from edgeaudio.profiling.sensors import Sampler, Unavailable
from tests.profiling.trees import tree

CPU = "sys/devices/system/cpu"
THERMAL = "sys/class/thermal"
ORIN = "sys/class/hwmon/hwmon3"
NANO = "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0"
RAPL = "sys/class/powercap"

PI = {
    f"{CPU}/cpufreq/policy0/scaling_cur_freq": "1800000\n",
    f"{CPU}/cpufreq/policy0/affected_cpus": "0 1 2 3\n",
    f"{THERMAL}/thermal_zone0/temp": "48686\n",
    f"{THERMAL}/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/hwmon/hwmon1/name": "rpi_volt\n",
    "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "1\n",
}
DESKTOP = {
    f"{CPU}/cpufreq/policy0/scaling_cur_freq": "4200000\n",
    f"{CPU}/cpufreq/policy0/affected_cpus": "0\n",
    f"{CPU}/cpufreq/policy1/scaling_cur_freq": "800000\n",
    f"{CPU}/cpufreq/policy1/affected_cpus": "1\n",
    f"{CPU}/cpu0/thermal_throttle/core_throttle_count": "3\n",
    f"{CPU}/cpu0/thermal_throttle/package_throttle_count": "5\n",
    f"{THERMAL}/thermal_zone0/temp": "27800\n",
    f"{THERMAL}/thermal_zone0/type": "acpitz\n",
    f"{THERMAL}/thermal_zone1/temp": "61000\n",
    f"{THERMAL}/thermal_zone1/type": "x86_pkg_temp\n",
    f"{RAPL}/intel-rapl:0/energy_uj": "1000000\n",
    f"{RAPL}/intel-rapl:0/max_energy_range_uj": "262143328850\n",
    f"{RAPL}/intel-rapl:0/name": "package-0\n",
    f"{RAPL}/intel-rapl:0:0/energy_uj": "400000\n",
    f"{RAPL}/intel-rapl:0:0/name": "core\n",
}
JETSON_ORIN = {
    f"{ORIN}/name": "ina3221\n",
    f"{ORIN}/in1_label": "VDD_IN\n",
    f"{ORIN}/in1_input": "5064\n",
    f"{ORIN}/curr1_input": "1200\n",
    f"{ORIN}/in2_label": "VDD_CPU_GPU_CV\n",
    f"{ORIN}/in2_input": "5056\n",
    f"{ORIN}/curr2_input": "300\n",
    f"{ORIN}/in7_label": "sum of shunt voltages\n",
    f"{ORIN}/curr7_input": "1500\n",
    f"{THERMAL}/thermal_zone0/temp": "45000\n",
    f"{THERMAL}/thermal_zone0/type": "cpu-thermal\n",
    f"{THERMAL}/cooling_device0/type": "thermal-cpufreq-0\n",
    f"{THERMAL}/cooling_device0/cur_state": "0\n",
    f"{THERMAL}/cooling_device1/type": "pwm-fan\n",
    f"{THERMAL}/cooling_device1/cur_state": "2\n",
}
JETSON_NANO = {f"{NANO}/rail_name_0": "POM_5V_IN\n", f"{NANO}/in_power0_input": "2340\n"}

PMIC = """ 3V7_WL_SW_A current(0)=0.10000000A
   VDD_CORE_A current(7)=0.80000000A
 3V7_WL_SW_V volt(8)=3.70000000V
   VDD_CORE_V volt(15)=0.75000000V
      EXT5V_V volt(24)=5.16020000V
"""


@pytest.fixture(autouse=True)
def no_programs_and_no_driver(monkeypatch, tmp_path_factory):
    """What the machine that runs the tests has itself."""
    monkeypatch.setenv("PATH", str(tmp_path_factory.mktemp("bin")))
    monkeypatch.setattr(nvml, "_LIBRARY", "libno-such-library.so.1")


def vcgencmd(script: str) -> None:
    program = Path(os.environ["PATH"]) / "vcgencmd"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def read(root: Path) -> dict[str, float | str]:
    """Each gauge's value at its second reading, a rate's first one, or why there is none."""
    found: dict[str, float | str] = {}
    for gauge in find_gauges(root):
        try:
            first = gauge.read()
            again = gauge.read()
            found[gauge.name] = again if again is not None else first if first is not None else "nothing yet"
        except (Unavailable, OSError, ValueError) as why:
            found[gauge.name] = str(why)
    return found


def test_a_raspberry_pi(tmp_path):
    vcgencmd(
        'case "$*" in "measure_clock arm") echo "frequency(48)=1500345728";;'
        " get_throttled) echo throttled=0x50004;;"
        " *) echo 'error=1 error_msg=\"Command not registered\"';; esac"
    )
    found = read(tree(tmp_path, PI))
    assert found["cpu0-3 frequency"] == 1800.0
    # The firmware has lowered it, and cpufreq does not know.
    assert found["cpu frequency (firmware)"] == pytest.approx(1500.345728)
    assert found["cpu temperature"] == pytest.approx(48.686)
    assert found["throttled (firmware)"] == found["under-voltage"] == 1.0
    assert found["power (PMIC)"] == 'it refuses: error=1 error_msg="Command not registered"'


@pytest.mark.parametrize(("said", "now"), [("0x0", 0.0), ("0x50000", 0.0), ("0x1", 1.0), ("0x80008", 1.0)])
def test_throttling_of_the_past_is_not_of_now(tmp_path, said, now):
    vcgencmd(f"echo throttled={said}")
    assert read(tmp_path)["throttled (firmware)"] == now


def test_a_raspberry_pi_5_measures_its_rails(tmp_path):
    vcgencmd(f"cat <<'END'\n{PMIC}END")
    os.environ["PATH"] += ":/usr/bin:/bin"  # cat
    assert read(tmp_path)["power (PMIC)"] == pytest.approx(0.1 * 3.7 + 0.8 * 0.75)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo garbage", "it says 'garbage'"),
        ("exit 3", "it refuses: exit status 3"),
        ("echo 'VCHI initialization failed' >&2; exit 255", "it refuses: VCHI initialization failed"),
        ("printf '\\377\\376'", "it says '\ufffd\ufffd'"),
        ("exec /bin/sleep 60", "it did not answer within 0.05 s"),
    ],
)
def test_a_program_that_fails_or_hangs_says_why(tmp_path, monkeypatch, script, why):
    monkeypatch.setattr("edgeaudio.profiling.raspberry._TIMEOUT_S", 0.05 if "sleep" in script else 30.0)
    vcgencmd(script)
    assert read(tmp_path)["throttled (firmware)"] == why


def test_a_program_that_cannot_be_run_says_why(tmp_path):
    vcgencmd("")
    Path(os.environ["PATH"], "vcgencmd").write_bytes(b"\x7fELF for another processor")
    assert read(tmp_path)["power (PMIC)"] == "it cannot be run: Exec format error"


def test_a_desktop(tmp_path):
    found = read(tree(tmp_path, DESKTOP))
    assert found["cpu0 frequency"] == 4200.0
    assert found["cpu1 frequency"] == 800.0
    assert found["cpu temperature"] == 61.0
    assert found["temperature acpitz"] == pytest.approx(27.8)
    assert found["throttled (heat)"] == 0.0
    assert [name for name in found if "RAPL" in name] == ["power package-0 (RAPL)"]


def test_joules_become_watts_over_the_counters_wrap(tmp_path, monkeypatch):
    tree(tmp_path, DESKTOP)
    counter = tmp_path / RAPL / "intel-rapl:0" / "energy_uj"
    now_s = [100.0]
    monkeypatch.setattr("edgeaudio.profiling.sysfs.time.monotonic", lambda: now_s[0])
    [power] = [gauge for gauge in find_gauges(tmp_path) if "RAPL" in gauge.name]
    watts = []
    for at_s, microjoules in ((100.0, 262_143_000_000), (100.5, 262_143_328_850), (101.0, 8_000_000)):
        now_s[0] = at_s
        counter.write_text(f"{microjoules}\n")
        watts.append(power.read())
    assert watts == [None, pytest.approx(0.32885 / 0.5), pytest.approx(8.0 / 0.5)]


def test_a_heat_counter_that_rises_is_throttling(tmp_path):
    tree(tmp_path, DESKTOP)
    [throttled] = [gauge for gauge in find_gauges(tmp_path) if gauge.name == "throttled (heat)"]
    said = [throttled.read(), throttled.read()]
    (tmp_path / CPU / "cpu0/thermal_throttle/core_throttle_count").write_text("4\n")
    assert [*said, throttled.read(), throttled.read()] == [None, 0.0, 1.0, 0.0]


def test_a_jetson_orin(tmp_path):
    found = read(tree(tmp_path, JETSON_ORIN))
    assert found["power VDD_IN (INA3221)"] == pytest.approx(5.064 * 1.2)
    assert found["power VDD_CPU_GPU_CV (INA3221)"] == pytest.approx(5.056 * 0.3)
    assert len([name for name in found if "INA3221" in name]) == 2  # the sum of currents has no voltage
    assert found["throttled (heat)"] == 0.0  # a fan that turns slows nothing
    (tmp_path / THERMAL / "cooling_device0/cur_state").write_text("1\n")
    assert read(tmp_path)["throttled (heat)"] == 1.0


def test_a_jetson_nano(tmp_path):
    assert read(tree(tmp_path, JETSON_NANO))["power POM_5V_IN (INA3221)"] == pytest.approx(2.34)


def test_a_chip_that_measures_power(tmp_path):
    chip = "sys/class/hwmon/hwmon0"
    found = read(tree(tmp_path, {f"{chip}/name": "amdgpu", f"{chip}/power1_average": "35000000"}))
    assert found["power amdgpu power1 (hwmon)"] == 35.0


def test_an_amd_processor_tells_its_temperature_in_hwmon(tmp_path):
    chip = "sys/class/hwmon/hwmon2"
    assert read(tree(tmp_path, {f"{chip}/name": "k10temp", f"{chip}/temp1_input": "55125"}))[
        "cpu temperature"
    ] == pytest.approx(55.125)


def test_a_device_that_tells_nothing_says_so_of_everything(tmp_path):
    sampler = Sampler(find_gauges(tmp_path), interval_s=0.001)
    sampler.start()
    told = {sensor.name: sensor for sensor in sampler.stop() if sensor.name != "process busy"}
    assert {sensor.status for sensor in told.values()} == {"unavailable"}
    assert all(sensor.reason and sensor.source for sensor in told.values())
    assert set(told) >= {
        "cpu frequency",
        "cpu temperature",
        "throttled (firmware)",
        "throttled (heat)",
        "throttled (quota)",
        "power (PMIC)",
        "power (hwmon)",
        "power (INA3221)",
        "power (RAPL)",
        "power (NVML)",
    }


@settings(max_examples=15)
@given(said=st.one_of(st.binary(max_size=64), st.integers().map(lambda n: str(n).encode())))
def test_whatever_files_say_the_sampler_goes_on(said, tmp_path_factory):
    root = tmp_path_factory.mktemp("device")
    for name in tree(root, PI | DESKTOP | JETSON_ORIN | JETSON_NANO).rglob("*"):
        if name.is_file():
            name.write_bytes(said)
    for sensor in _short(root):
        assert all(abs(value) <= 1e5 for _, value in sensor.samples)
        assert (sensor.status == "measured") == bool(sensor.samples)
        assert sensor.samples or sensor.reason


def _short(root):
    over = threading.Event()
    gauges = find_gauges(root)
    rounds = []

    def last():
        rounds.append(1)
        if len(rounds) > 4:
            over.set()

    sampler = Sampler([*gauges, sensors.Gauge("last", "", "", last)], interval_s=0.0005)
    sampler.start()
    assert over.wait(30)
    return [sensor for sensor in sampler.stop() if sensor.name not in ("process busy", "last")]


def test_a_file_that_vanishes_between_search_and_reading(tmp_path):
    gauges = find_gauges(tree(tmp_path, PI))
    (tmp_path / THERMAL / "thermal_zone0/temp").unlink()
    sampler = Sampler([gauge for gauge in gauges if gauge.name == "cpu temperature"], interval_s=0.001)
    sampler.start()
    [sensor] = sampler.stop()
    assert (sensor.status, sensor.reason) == ("unavailable", "No such file or directory")


def test_a_file_whose_reading_hangs_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(sensors, "_JOIN_S", 0.2)
    tree(tmp_path, PI)
    stuck = tmp_path / THERMAL / "thermal_zone0/temp"
    stuck.unlink()
    os.mkfifo(stuck)  # opening it waits for a writer
    gauges = [gauge for gauge in find_gauges(tmp_path) if gauge.name == "cpu temperature"]
    sampler = Sampler(gauges)
    sampler.start()
    [sensor] = sampler.stop()
    with stuck.open("w"):  # lets the thread go
        assert (sensor.status, sensor.reason) == ("unavailable", "it does not answer")


QUOTA_2 = {
    "proc/self/cgroup": "0::/slow/inner\n",
    "sys/fs/cgroup/cgroup.procs": "",
    "sys/fs/cgroup/slow/cpu.max": "25000 100000\n",
    "sys/fs/cgroup/slow/cpu.stat": "usage_usec 10\nnr_periods 100\nnr_throttled 20\nthrottled_usec 5\n",
    "sys/fs/cgroup/slow/inner/cpu.max": "max 100000\n",
}
QUOTA_1 = {
    "proc/self/cgroup": "5:memory:/m\n3:cpu,cpuacct:/slow\n0::/\n",
    "sys/fs/cgroup/cpu,cpuacct/cgroup.procs": "",
    "sys/fs/cgroup/cpu,cpuacct/slow/cpu.cfs_quota_us": "25000\n",
    "sys/fs/cgroup/cpu,cpuacct/slow/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/cpu,cpuacct/slow/cpu.stat": "nr_periods 100\nnr_throttled 20\nthrottled_time 5\n",
}


@pytest.mark.parametrize("files", [QUOTA_1, QUOTA_2], ids=["version 1", "version 2"])
def test_how_often_a_quota_holds_the_process_up(tmp_path, files):
    tree(tmp_path, files)
    [throttled] = [gauge for gauge in find_gauges(tmp_path) if gauge.name == "throttled (quota)"]
    assert throttled.read() is None
    stat = next(tmp_path.rglob("slow/cpu.stat"))
    stat.write_text(stat.read_text().replace("100", "140").replace(" 20\n", " 50\n"))
    assert throttled.read() == pytest.approx(100 * 30 / 40)
    assert throttled.read() is None  # nothing ran


def fake_driver(**changes):
    """NVML as C functions, so that arguments pass as they do to the real one."""
    unsigned, wide = ctypes.POINTER(ctypes.c_uint), ctypes.POINTER(ctypes.c_ulonglong)
    structure = ctypes.c_void_p

    def function(result, *arguments):
        return ctypes.CFUNCTYPE(result, *arguments)

    def fill(value):
        def call(*arguments):
            arguments[-1][0] = value
            return 0

        return call

    def fill_all(field, *values):
        def call(_device, result):
            ctypes.memmove(result, (field * len(values))(*values), ctypes.sizeof(field) * len(values))
            return 0

        return call

    uint, device = ctypes.c_uint, ctypes.c_void_p
    library = {
        "nvmlInit_v2": function(ctypes.c_int)(lambda: 0),
        "nvmlDeviceGetCount_v2": function(ctypes.c_int, unsigned)(fill(1)),
        "nvmlDeviceGetHandleByIndex_v2": function(ctypes.c_int, uint, ctypes.POINTER(device))(fill(0x1234)),
        "nvmlDeviceGetTemperature": function(ctypes.c_int, device, uint, unsigned)(fill(41)),
        "nvmlDeviceGetClockInfo": function(ctypes.c_int, device, uint, unsigned)(fill(1980)),
        "nvmlDeviceGetUtilizationRates": function(ctypes.c_int, device, structure)(fill_all(uint, 37, 5)),
        "nvmlDeviceGetMemoryInfo": function(ctypes.c_int, device, structure)(
            fill_all(ctypes.c_ulonglong, 2**37, 2**36, 3 * 2**30)
        ),
        "nvmlDeviceGetCurrentClocksThrottleReasons": function(ctypes.c_int, device, wide)(fill(0x1)),
        "nvmlDeviceGetPowerUsage": function(ctypes.c_int, device, unsigned)(fill(75_500)),
        "nvmlErrorString": _Describing({3: b"Not Supported", 9: b"Driver Not Loaded"}),
    }
    return SimpleNamespace(**(library | changes))


class _Describing:
    restype: object = ctypes.c_int

    def __init__(self, names):
        self._names = names

    def __call__(self, status):
        return self._names.get(status)


def failing(status):
    return lambda *_: status


def values(library):
    found = {}
    for gauge in nvml.nvml_gauges(lambda name: library):
        try:
            found[gauge.name] = gauge.read()
        except Unavailable as why:
            found[gauge.name] = str(why)
    return found


def test_a_gpu():
    assert values(fake_driver()) == {
        "gpu0 temperature": 41.0,
        "gpu0 frequency": 1980.0,
        "gpu0 busy": 37.0,
        "gpu0 memory": 3072.0,
        "throttled gpu0": 0.0,  # idle is no distress
        "power gpu0 (NVML)": 75.5,
    }


def test_a_gpu_without_some_sensors_as_of_a_jetson():
    found = values(fake_driver(nvmlDeviceGetPowerUsage=failing(3), nvmlDeviceGetClockInfo=failing(77)))
    assert found["power gpu0 (NVML)"] == "Not Supported"
    assert found["gpu0 frequency"] == "error 77"
    assert found["gpu0 temperature"] == 41.0


def test_a_driver_that_does_not_work_says_why():
    assert values(fake_driver(nvmlInit_v2=failing(9))) == {"power (NVML)": "Driver Not Loaded"}
    assert values(SimpleNamespace()) == {"power (NVML)": "this driver has no nvmlInit_v2"}


def test_a_driver_that_hangs_is_left_behind(monkeypatch):
    monkeypatch.setattr(nvml, "_INIT_S", 0.05)
    let_go = threading.Event()
    assert values(fake_driver(nvmlInit_v2=lambda: 0 if let_go.wait() else 1)) == {
        "power (NVML)": "it did not answer"
    }
    let_go.set()

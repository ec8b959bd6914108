"""The driver on a real pseudo-terminal: what it emits, how it ends, how it fails."""

from __future__ import annotations

import errno
import gzip
import os
import pty
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import serial

from agent.sdk import Commandable, DeviceUnavailable, Kind, State, boottime_ms
from drivers.gnss_nmea0183 import baud
from drivers.gnss_nmea0183 import driver as module
from drivers.gnss_nmea0183.driver import Config, GnssNmea0183
from drivers.gnss_nmea0183.port import Port
from drivers.gnss_nmea0183.signals import (
    ACCURACY,
    ANTENNA,
    FIX_TYPE,
    FUSION,
    IN_VIEW,
    JAMMING,
    JAMMING_LEVEL,
    LATITUDE,
    PLAUSIBLE,
    RECKONED,
    ROLLOVER,
    SATELLITES,
    SENTENCES_READ,
    SENTENCES_REJECTED,
    SPEED,
    STRENGTH,
    UTC,
    UTC_UNCERTAINTY,
)
from tests.drivers.gnss_nmea0183.frames import esf_status, mon_hw, nav_sat, pvt
from tests.drivers.gnss_nmea0183.uart import heard

Nmea = Callable[..., bytes]


class Receiver:
    """The far end of a port."""

    def __init__(self) -> None:
        self._far, near = pty.openpty()
        tty.setraw(near)
        self.port = os.ttyname(near)
        self._near: int | None = near
        self._open = True

    def send(self, data: bytes) -> None:
        os.write(self._far, data)

    def unplug(self) -> None:
        if self._near is not None:
            os.close(self._near)
            self._near = None
        if self._open:
            os.close(self._far)
            self._open = False


class Running:
    """A driver in its thread, and what it ended with."""

    def __init__(self, driver: GnssNmea0183, context: Any) -> None:
        self.driver = driver
        self.ended_with: BaseException | None = None
        self._context = context
        self._thread = threading.Thread(target=self._run, name="driver under test")
        self._thread.start()

    def _run(self) -> None:
        try:
            self.driver.run(self._context)
        except BaseException as error:
            self.ended_with = error

    def join(self, within_s: float) -> BaseException | None:
        self._thread.join(within_s)
        assert not self._thread.is_alive(), "the driver did not end in time"
        return self.ended_with

    def stop(self, within_s: float = 2.0) -> BaseException | None:
        self._context.stop()
        return self.join(within_s)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    far = Receiver()
    yield far
    far.unplug()


@pytest.fixture
def start(receiver: Receiver, context: Any) -> Iterator[Callable[..., Running]]:
    """Start the driver and return once it has opened the port, so that nothing is flushed."""
    running: list[Running] = []

    def started(**options: Any) -> Running:
        opened = threading.Event()
        ask = context.running

        def running_after_open() -> bool:
            opened.set()
            return bool(ask())

        context.running = running_after_open
        running.append(Running(GnssNmea0183(Config(port=receiver.port, **options)), context))
        assert opened.wait(2)
        return running[-1]

    yield started
    for one in running:
        one.stop()


def burst(nmea: Nmea, second: int, knots: str = "10.00") -> bytes:
    place, used = "4404.10000,N,12118.80000,W", 9 + second % 4
    return nmea(
        f"GNRMC,1200{second:02d}.00,A,{place},{knots},90.0,010127,,,A,V",
        f"GNGGA,1200{second:02d}.00,{place},1,{used:02d},0.80,11.5,M,2.0,M,,",
    )


def test_a_fix_is_emitted_when_the_line_is_quiet(
    nmea: Nmea, receiver: Receiver, context: Any, start: Callable[[], Running]
) -> None:
    start()
    before = boottime_ms()
    data = burst(nmea, 1)
    for at in range(0, len(data), 7):
        receiver.send(data[at : at + 7])
    (record,) = context.wait("fix", 1, within_s=2)
    assert record.values[LATITUDE] == 44.0683333
    assert record.values[SPEED] == round(10.0 * 1.852, 3)
    assert record.values[FIX_TYPE] == "THREE_D"
    assert before <= record.boottime_ms <= boottime_ms() - 200
    (time,) = context.wait("time", 1, within_s=2)
    assert time.values == {UTC: 1_798_804_801_000}
    (quality,) = context.wait("quality", 1, within_s=2)
    # A second less 147 bytes at 9600 baud: so much may the receiver have taken for the fix.
    assert quality.values == {
        **{PLAUSIBLE: True, RECKONED: False},
        **{UTC_UNCERTAINTY: 1000 - len(data) * 10_000 // 9600, ROLLOVER: False},
    }
    assert before <= time.boottime_ms <= record.boottime_ms


def test_back_to_back_bursts_are_emitted_by_their_times(
    nmea: Nmea, receiver: Receiver, context: Any, start: Callable[[], Running]
) -> None:
    start()
    receiver.send(b"".join(burst(nmea, second) for second in range(4)))
    records = context.wait("fix", 4, within_s=2)
    assert [record.values[SATELLITES] for record in records] == [9, 10, 11, 12]


def test_what_was_heard_is_emitted_on_stop(
    nmea: Nmea, receiver: Receiver, context: Any, start: Callable[[], Running]
) -> None:
    running = start()
    decoder = running.driver._decoder
    context.running = lambda: decoder.sentences_read < 2
    receiver.send(burst(nmea, 1))
    assert running.join(within_s=2) is None
    assert [name for name, _ in context.records] == ["fix", "time", "quality"]


def test_stop_takes_less_than_two_seconds_on_a_silent_line(start: Callable[[], Running]) -> None:
    assert start().stop(within_s=2) is None


def test_counters_are_reported_and_repeated_until_thinning_cannot_hold_them(
    nmea: Nmea,
    receiver: Receiver,
    context: Any,
    start: Callable[[], Running],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "RECEIVER_EVERY_MS", 100)
    start()
    receiver.send(burst(nmea, 1) + b"$GNRMC,cut\r\n")
    records = context.wait("receiver", 4, within_s=4)
    assert {record.kind for record in records} == {Kind.STATUS}
    final = [r for r in records if r.values[SENTENCES_READ] == 2]
    assert len(final) >= 3
    assert all(r.values[SENTENCES_REJECTED] == 1 for r in final[1:])


def test_unplugging_is_device_unavailable(
    nmea: Nmea, receiver: Receiver, context: Any, start: Callable[[], Running]
) -> None:
    running = start()
    receiver.send(burst(nmea, 1))
    context.wait("fix", 1, within_s=2)
    receiver.unplug()
    error = running.join(within_s=2)
    assert isinstance(error, DeviceUnavailable)
    assert receiver.port in str(error)
    assert "unplugged" in str(error)
    assert error.path == receiver.port


def test_stale_input_is_flushed(
    nmea: Nmea, receiver: Receiver, context: Any, start: Callable[[], Running]
) -> None:
    receiver.send(burst(nmea, 1))
    start()
    receiver.send(burst(nmea, 2))
    (record,) = context.wait("fix", 1, within_s=2)
    assert record.values[SATELLITES] == 11


def test_a_second_reader_is_refused(receiver: Receiver, context: Any) -> None:
    with (
        Port(receiver.port, 9600, 0.1),
        pytest.raises(DeviceUnavailable, match="in use by another program"),
    ):
        GnssNmea0183(Config(port=receiver.port)).run(context)


@pytest.mark.parametrize(
    ("name", "text"),
    [("absent", "no such port"), ("plain", "not a serial port"), (".", "not a serial port")],
)
def test_what_is_no_port(tmp_path: Path, context: Any, name: str, text: str) -> None:
    (tmp_path / "plain").write_bytes(b"")
    driver = GnssNmea0183(Config(port=str(tmp_path / name)))
    for attempt in (driver.probe, lambda: driver.run(context)):
        with pytest.raises(DeviceUnavailable, match=text) as raised:
            attempt()
        assert str(tmp_path / name) in str(raised.value)


def test_a_port_without_permission(monkeypatch: pytest.MonkeyPatch, context: Any) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise serial.SerialException(errno.EACCES, "could not open port /dev/gnss")  # as pyserial

    monkeypatch.setattr(serial, "Serial", refuse)
    with pytest.raises(DeviceUnavailable, match=r"/dev/gnss: no permission.*dialout"):
        GnssNmea0183(Config(port="/dev/gnss")).run(context)


def test_the_wrong_baud_rate_is_guessed(
    receiver: Receiver,
    start: Callable[..., Running],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "NOISE_MS", 300)
    running = start(baud=9600)
    receiver.send(bytes(range(128, 256)) * 4)
    error = running.join(within_s=3)
    assert isinstance(error, DeviceUnavailable)
    assert "is the baud rate right?" in str(error)
    assert "9600" in str(error)


def test_noise_on_a_line_that_was_good_is_borne(
    nmea: Nmea,
    receiver: Receiver,
    context: Any,
    start: Callable[[], Running],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "NOISE_MS", 100)
    start()
    receiver.send(burst(nmea, 1))
    context.wait("fix", 1, within_s=2)
    for _ in range(4):
        receiver.send(bytes(range(128, 256)) * 4)
        threading.Event().wait(0.1)
    receiver.send(burst(nmea, 2))
    assert context.wait("fix", 2, within_s=2)[1].values[SATELLITES] == 11


def test_a_silent_port_is_opened_anew_without_a_pause(
    nmea: Nmea,
    receiver: Receiver,
    context: Any,
    start: Callable[[], Running],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SILENT_MS", 300)
    opened: list[str] = []

    def open_port(*arguments: Any) -> Port:
        port = Port(*arguments)
        opened.append(port.name)
        return port

    monkeypatch.setattr(module, "Port", open_port)
    running = start()
    tick, deadline = threading.Event(), time.monotonic() + 10
    while len(opened) < 3:
        assert running.ended_with is None and time.monotonic() < deadline
        tick.wait(0.01)
    assert "nothing received for 0 s; has the receiver power" in running.driver.device
    while not context.records:  # what comes while it opens the port is flushed
        assert time.monotonic() < deadline
        receiver.send(burst(nmea, 1))
        tick.wait(0.3)
    assert running.driver.device == "ok"
    assert running.stop() is None


def test_probe_says_what_it_hears(nmea: Nmea, receiver: Receiver) -> None:
    said: list[str] = []
    driver = GnssNmea0183(Config(port=receiver.port))
    thread = threading.Thread(target=lambda: said.append(driver.probe()), name="probe")
    thread.start()
    while thread.is_alive():  # whatever comes before the port is open is flushed
        receiver.send(burst(nmea, 1))
        thread.join(0.4)
    assert said == [f"{receiver.port}: 9600 baud, fix THREE_D, satellites 10"]


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"", "nothing received"), (b"\x80\x91garbage" * 40, "is the baud rate right")],
)
def test_probe_of_a_useless_line(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, data: bytes, text: str
) -> None:
    monkeypatch.setattr(module, "PROBE_MS", 400)
    monkeypatch.setattr(module, "Port", lambda *args: _sent_after(Port(*args), receiver, data))
    with pytest.raises(DeviceUnavailable, match=text):
        GnssNmea0183(Config(port=receiver.port)).probe()


def _sent_after(port: Port, receiver: Receiver, data: bytes) -> Port:
    receiver.send(data)
    return port


def test_ubx_and_the_state_of_the_receiver(
    receiver: Receiver, context: Any, start: Callable[..., Running]
) -> None:
    start()
    sky = nav_sat((0, 5, 40), (2, 7, 44), (6, 3, 36), (3, 9, 20), (3, 10, 0))
    data = pvt(1, (44.0683333, -121.3133333)) + sky + mon_hw(4, 2, 51) + esf_status(1)
    receiver.send(data[:50])
    receiver.send(data[50:])
    (fix,) = context.wait("fix", 1, within_s=2)
    assert (fix.values[LATITUDE], fix.values[FIX_TYPE]) == (44.0683333, "THREE_D")
    assert fix.values[ACCURACY] == 0.9
    assert context.wait("time", 1, within_s=2)[0].values[UTC] == 1_798_804_801_000
    assert context.wait("sky", 1, within_s=2)[0].values == {IN_VIEW: 5, STRENGTH: 35.0}
    told: dict[str, Any] = {}
    for record in context.wait("condition", 1, within_s=2):
        told |= record.values
    assert told == {
        **{ANTENNA: "open", JAMMING: "warning", JAMMING_LEVEL: 20.0, FUSION: "fusion"},
    }


def test_accuracy_is_lost_with_the_fix_where_it_was_told(
    nmea: Nmea, receiver: Receiver, context: Any, start: Callable[..., Running]
) -> None:
    start()
    lost = pvt(2, (44.0, -121.0), fix=0)
    receiver.send(nmea("GNRMC,120000.00,V,,,,,,,010127,,,N"))
    receiver.send(pvt(1, (44.0, -121.0)) + lost)
    before, held, after = context.wait("fix", 3, within_s=2)
    assert ACCURACY not in before.values and ACCURACY not in before.states
    assert held.values[ACCURACY] == 0.9
    assert after.states[ACCURACY] is State.NOT_AVAILABLE


def test_a_receiver_that_tells_nothing_of_its_antenna_states_nothing(
    nmea: Nmea, receiver: Receiver, context: Any, start: Callable[..., Running]
) -> None:
    start()
    receiver.send(burst(nmea, 1))
    context.wait("quality", 1, within_s=2)
    assert {name for name, _ in context.records} == {"fix", "time", "quality"}


def test_a_jump_is_emitted_as_it_is_and_marked(
    nmea: Nmea, receiver: Receiver, context: Any, start: Callable[..., Running]
) -> None:
    start()
    away = nmea("GNRMC,120002.00,A,4904.10000,N,12118.80000,W,10.0,90.0,010127,,,A,V")
    receiver.send(burst(nmea, 1) + away + burst(nmea, 3))
    fixes = context.wait("fix", 3, within_s=2)
    assert [record.values[LATITUDE] for record in fixes] == [44.0683333, 49.0683333, 44.0683333]
    quality = context.wait("quality", 3, within_s=2)
    assert [record.values[PLAUSIBLE] for record in quality] == [True, False, True]


def test_a_week_rollover_is_undone_and_marked(
    nmea: Nmea, receiver: Receiver, context: Any, start: Callable[..., Running]
) -> None:
    start()
    # 1024 weeks before 2027-01-01
    receiver.send(burst(nmea, 1).split(b"\r\n")[1] + b"\r\n")
    receiver.send(nmea("GNRMC,120001.00,A,4404.10000,N,12118.80000,W,10.0,90.0,180507,,,A,V"))
    (time,) = context.wait("time", 1, within_s=2)
    assert time.values == {UTC: 1_798_804_801_000}
    assert context.wait("quality", 1, within_s=2)[0].values[ROLLOVER] is True


def test_the_baud_rate_is_found_and_kept(
    nmea: Nmea, receiver: Receiver, context: Any, start: Callable[..., Running]
) -> None:
    """A PTY has no rate: the far end speaks as a UART at the driver's rate would hear 38400."""
    running = start()
    deadline, tick = time.monotonic() + 10, threading.Event()
    while not any(name == "fix" for name, _ in context.records):
        assert time.monotonic() < deadline and running.ended_with is None
        receiver.send(heard(burst(nmea, 1), 38400, running.driver._baud.rate))
        tick.wait(0.4)
    assert running.driver._baud.rate == 38400
    assert running.driver.device == "ok"
    assert running.stop() is None
    assert (context.workdir / "baud").read_text() == "38400\n"
    again = GnssNmea0183(Config(port=receiver.port))
    again._recall(context.workdir / "baud")
    assert again._baud.rate == 38400


@pytest.mark.parametrize("kept", [b"", b"9601\n", b"\xff\xff", b"38400000000", b"-1", b"\xb2"])
def test_a_kept_rate_that_is_none_does_no_harm(
    receiver: Receiver, context: Any, kept: bytes
) -> None:
    (context.workdir / "baud").write_bytes(kept)
    driver = GnssNmea0183(Config(port=receiver.port))
    driver._recall(context.workdir / "baud")
    assert driver._baud.rate == 9600


def test_noise_at_all_rates_is_told(
    receiver: Receiver, start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baud, "DWELL_MS", 1)
    running = start()
    tick, deadline = threading.Event(), time.monotonic() + 10
    while running.ended_with is None:
        assert time.monotonic() < deadline
        receiver.send(bytes(range(128, 256)) * 2)
        tick.wait(0.02)
    assert isinstance(running.ended_with, DeviceUnavailable)
    assert "(baud = 9600/38400/115200/4800/" in str(running.ended_with)


def test_verbs_write_what_came(
    nmea: Nmea, receiver: Receiver, context: Any, start: Callable[..., Running]
) -> None:
    idle = GnssNmea0183(Config(port=receiver.port))
    with pytest.raises(ValueError, match="has not begun to run"):
        idle.command("dump", {})
    running = start()
    receiver.send(burst(nmea, 1))
    context.wait("fix", 1, within_s=2)
    assert isinstance(running.driver, Commandable)
    assert running.driver.verbs == {"dump", "record"}
    result = running.driver.command("dump", {"seconds": 60, "mask": False})
    path = Path(str(result["path"]))
    assert path.parent == context.workdir / "captures"
    assert path.read_bytes().partition(b"\n")[2] == burst(nmea, 1)
    assert len(list(GnssNmea0183.decode(path))) == 1


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ({}, "port is missing"),
        ({"port": "/dev/gnss", "baud": 9601}, "baud"),
        ({"port": "/dev/gnss", "baud": "fast"}, "baud"),
        ({"port": "/dev/gnss", "source": "bluetooth"}, "source"),
        ({"port": "/dev/gnss", "protocol": "sirf"}, "protocol"),
        ({"source": "gpsd", "address": ""}, "address"),
    ],
)
def test_what_cannot_be_configured(section: dict[str, object], text: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=text):
        msgspec.convert(section, Config)


def test_decode_reads_plain_and_packed_files(nmea: Nmea, tmp_path: Path) -> None:
    data = b"# a comment\r\n" + burst(nmea, 1) + burst(nmea, 2)
    (tmp_path / "plain.log").write_bytes(data)
    (tmp_path / "packed.log.gz").write_bytes(gzip.compress(data))
    fixes = list(GnssNmea0183.decode(tmp_path / "plain.log"))
    assert fixes == list(GnssNmea0183.decode(tmp_path / "packed.log.gz"))
    assert fixes[0] == {
        "time": "2027-01-01T12:00:01.000Z",
        "lat": 44.0683333,
        "lon": -121.3133333,
        "alt": 11.5,
        "speed_kmh": 18.52,
        "heading": 90.0,
        "mode": 3,
        "satellites": 10,
        "hdop": 0.8,
    }
    assert len(fixes) == 2


def test_decode_names_a_file_that_it_cannot_use(nmea: Nmea, tmp_path: Path) -> None:
    broken = tmp_path / "cut.gz"
    broken.write_bytes(gzip.compress(burst(nmea, 1) * 100)[:-20])
    with pytest.raises(ValueError, match=r"cut\.gz: broken gzip"):
        list(GnssNmea0183.decode(broken))
    (tmp_path / "ubx").write_bytes(b"\xb5\x62\x01\x07$nothing")
    with pytest.raises(ValueError, match="ubx: no NMEA 0183 sentence"):
        list(GnssNmea0183.decode(tmp_path / "ubx"))

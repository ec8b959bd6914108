"""The driver on a real pseudo-terminal: what it emits, how it ends, how it fails."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import serial

from agent.sdk import DeviceUnavailable, Kind, boottime_ms
from drivers.gnss_nmea0183 import driver as module
from drivers.gnss_nmea0183.driver import Config, GnssNmea0183
from drivers.gnss_nmea0183.port import Port
from drivers.gnss_nmea0183.signals import (
    FIX_TYPE,
    LATITUDE,
    PLAUSIBLE,
    RECKONED,
    ROLLOVER,
    SATELLITES,
    SENTENCES_READ,
    SENTENCES_REJECTED,
    SPEED,
    UTC,
    UTC_UNCERTAINTY,
)
from tests.drivers.gnss_nmea0183.serial_line import Nmea, Receiver, Running, burst


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

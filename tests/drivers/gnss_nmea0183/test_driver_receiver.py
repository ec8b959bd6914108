"""The driver on a real pseudo-terminal: what receivers tell beyond a fix, rates, files, verbs."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.sdk import Commandable, DeviceUnavailable, State
from drivers.gnss_nmea0183 import baud
from drivers.gnss_nmea0183.driver import Config, GnssNmea0183
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
    ROLLOVER,
    STRENGTH,
    UTC,
)
from tests.drivers.gnss_nmea0183.frames import esf_status, mon_hw, nav_sat, pvt
from tests.drivers.gnss_nmea0183.serial_line import Nmea, Receiver, Running, burst
from tests.drivers.gnss_nmea0183.uart import heard


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

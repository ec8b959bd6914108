"""gpsd: its reports, and the connection on real sockets."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sdk import DeviceUnavailable
from drivers.gnss_nmea0183 import driver as module
from drivers.gnss_nmea0183.config import Config, host_and_port
from drivers.gnss_nmea0183.driver import GnssNmea0183
from drivers.gnss_nmea0183.epoch import Fix
from drivers.gnss_nmea0183.gpsd import MAX_LINE, GpsdDecoder
from drivers.gnss_nmea0183.signals import (
    ACCURACY,
    FIX_TYPE,
    IN_VIEW,
    JAMMING_LEVEL,
    LATITUDE,
    SPEED,
    STRENGTH,
    UTC,
)

MS_2027 = 1_798_804_800_000  # 2027-01-01T12:00:00Z


def tpv(**changes: object) -> dict[str, Any]:
    told: dict[str, Any] = {
        **{"class": "TPV", "device": "/dev/ttyUSB0", "mode": 3, "time": "2027-01-01T12:00:00.000Z"},
        **{"lat": 44.068333333, "lon": -121.313333333, "altHAE": 1080.0, "altMSL": 1100.5},
        **{"speed": 5.144, "track": 90.0, "eph": 4.1},
    }
    return {key: value for key, value in (told | changes).items() if value is not None}


def line(report: object) -> bytes:
    return json.dumps(report).encode() + b"\r\n"


def fixes(*reports: object) -> list[Fix]:
    return GpsdDecoder().feed(b"".join(line(report) for report in reports), 7)


def test_a_report_is_a_fix() -> None:
    sky = {"class": "SKY", "hdop": 0.8, "uSat": 11}
    assert fixes({"class": "VERSION"}, sky, tpv()) == [
        Fix(
            7,
            3,
            utc_ms=MS_2027,
            utc_proven=True,
            latitude=44.0683333,
            longitude=-121.3133333,
            altitude_m=1100.5,
            speed_kmh=18.518,
            heading=90.0,
            satellites=11,
            hdop=0.8,
            accuracy_m=4.1,
        )
    ]


@pytest.mark.parametrize(
    ("changes", "want"),
    [
        ({"mode": 2}, {"mode": 2}),
        ({"mode": 1}, {"mode": 1, "latitude": None}),
        ({"mode": 0}, {"mode": 1, "latitude": None}),
        ({"mode": 4}, {"mode": 1, "latitude": None}),
        ({"mode": "3"}, {"mode": 1, "latitude": None}),
        ({"mode": True}, {"mode": 1, "latitude": None}),
        ({"lat": None}, {"mode": 1, "latitude": None, "longitude": None}),
        ({"lat": 90.1}, {"mode": 1, "latitude": None}),
        ({"lon": "12"}, {"mode": 1, "longitude": None}),
        ({"status": 3}, {"rtk": True}),
        ({"status": 5}, {"reckoned": True}),
        ({"altMSL": None, "alt": 9.5}, {"altitude_m": 9.5}),  # gpsd before 3.20
        ({"altMSL": None}, {"altitude_m": None}),
        ({"speed": -1.0}, {"speed_kmh": None}),
        ({"time": "2027-01-01T12:00:00Z"}, {"utc_ms": MS_2027}),
        ({"time": 1798804800.25}, {"utc_ms": MS_2027 + 250}),  # gpsd before 2.90
        ({"time": "2026-12-31T23:59:60.500Z"}, {"utc_ms": MS_2027 - 43_200_000 + 500}),
        ({"time": "2027-02-30T12:00:00Z"}, {"utc_ms": None, "utc_proven": False}),
        ({"time": "yesterday"}, {"utc_ms": None}),
        ({"time": 1e300}, {"utc_ms": None}),
        ({"time": None}, {"utc_ms": None, "utc_proven": False}),
    ],
)
def test_reports(changes: dict[str, object], want: dict[str, object]) -> None:
    (fix,) = fixes(tpv(**changes))
    assert {name: getattr(fix, name) for name in want} == want


def test_what_is_said_again_is_not_news() -> None:
    assert len(fixes(tpv(), tpv(epv=3.0), tpv(mode=1), tpv(lat=44.1), tpv(lat=44.1))) == 2


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"{",
        b"{}\n",
        b"[]\n",
        b"null\n",
        b'{"class":3}\n',
        b'{"class":"TPV"\n',
        b'{"class":"SKY","satellites":[1,{"PRN":"x"},null]}\n',
        b'{"class":"DEVICES","devices":7}\n',
        b'{"class":"TPV","mode":3,"lat":NaN,"lon":1}\n',
        b"[" * 5_000 + b"\n",
        b'{"a":' * 5_000 + b"\n",
        b"\xff\xfe{\x00\n",
        b'# {"class":"TPV","mode":3,"lat":1.0,"lon":1.0}\n',
    ],
)
def test_what_is_no_report(text: bytes) -> None:
    decoder = GpsdDecoder()
    assert [fix for fix in decoder.feed(text, 0) if fix.mode > 1] == []
    assert len(decoder.feed(line(tpv()), 0)) == 1 or not text.endswith(b"\n")


def test_an_endless_line_is_dropped_and_the_next_one_is_read() -> None:
    decoder = GpsdDecoder()
    for _ in range(10):
        assert decoder.feed(b"x" * 50_000, 0) == []
        assert len(decoder._held) <= MAX_LINE
    assert decoder.sentences_rejected == 1
    assert len(decoder.feed(b"\n" + line(tpv()), 0)) == 1


def test_sky_and_jamming() -> None:
    decoder = GpsdDecoder()
    seen = [{"PRN": n, "gnssid": 0, "ss": 40.0 + n, "used": n < 4} for n in range(1, 7)]
    decoder.feed(line({"class": "SKY", "satellites": seen}) + line(tpv(jam=51)), 0)
    assert (decoder.sky.in_view(), decoder.sky.strength()) == (6, 44.5)
    assert decoder.condition.jamming_percent == 20.0


@given(st.lists(st.sampled_from([tpv(), tpv(mode=1), {"class": "SKY"}, 3]), max_size=6), st.data())
def test_any_split_gives_the_same(reports: list[object], data: st.DataObject) -> None:
    text = b"".join(line(report) for report in reports)
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=8).map(sorted))
    decoder = GpsdDecoder()
    got = [f for a, b in pairwise([0, *cuts, len(text)]) for f in decoder.feed(text[a:b], 7)]
    assert got == GpsdDecoder().feed(text, 7)


VALUE = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5)


@given(st.dictionaries(st.sampled_from(list(tpv())), VALUE))
def test_any_fields_give_a_plausible_fix(report: dict[str, object]) -> None:
    for fix in fixes(report | {"class": "TPV"}):
        assert fix.latitude is None or -90 <= fix.latitude <= 90
        assert fix.speed_kmh is None or fix.speed_kmh >= 0


@pytest.mark.parametrize(
    ("address", "want"),
    [
        ("localhost", ("localhost", 2947)),
        ("10.0.0.1:2948", ("10.0.0.1", 2948)),
        ("[::1]:2948", ("::1", 2948)),
        ("[::1]", ("::1", 2947)),
        ("::1", ("::1", 2947)),
    ],
)
def test_addresses(address: str, want: tuple[str, int]) -> None:
    assert host_and_port(address) == want


@pytest.mark.parametrize("address", ["localhost:", "localhost:x", "localhost:0", "h:65536", "h:٣"])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"port 1\.\.65535"):
        msgspec.convert({"source": "gpsd", "address": address}, Config)


class Gpsd:
    """A gpsd with one client at a time."""

    def __init__(self, listener: socket.socket, address: str) -> None:
        self.address = address
        self._listener = listener
        self._client: socket.socket | None = None
        self.asked = b""

    def accept(self) -> None:
        self._listener.settimeout(3)
        self._client, _ = self._listener.accept()
        self._client.settimeout(3)
        self._client.sendall(line({"class": "VERSION", "release": "3.25"}))
        while not self.asked.endswith(b"\n"):
            self.asked += self._client.recv(100)
        self.say({"class": "DEVICES", "devices": []}, {"class": "WATCH", "enable": True})

    def say(self, *reports: object) -> None:
        assert self._client is not None
        self._client.sendall(b"".join(line(report) for report in reports))

    def hang_up(self) -> None:
        assert self._client is not None
        self._client.close()

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._listener.close()


@pytest.fixture(params=["tcp", "unix"])
def gpsd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gpsd]:
    if request.param == "tcp":
        listener = socket.create_server(("127.0.0.1", 0))
        server = Gpsd(listener, f"127.0.0.1:{listener.getsockname()[1]}")
    else:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(tmp_path / "gpsd.sock"))
        listener.listen()
        server = Gpsd(listener, str(tmp_path / "gpsd.sock"))
    yield server
    server.close()


class Running:
    def __init__(self, address: str, context: Any) -> None:
        self.driver = GnssNmea0183(Config(source="gpsd", address=address))
        self.ended_with: BaseException | None = None
        self._context = context
        self._thread = threading.Thread(target=self._run, name="driver under test")
        self._thread.start()

    def _run(self) -> None:
        try:
            self.driver.run(self._context)
        except BaseException as error:
            self.ended_with = error

    def join(self) -> BaseException | None:
        self._thread.join(3)
        assert not self._thread.is_alive()
        return self.ended_with


def test_fixes_come_from_gpsd(gpsd: Gpsd, context: Any) -> None:
    running = Running(gpsd.address, context)
    gpsd.accept()
    seen = [{"PRN": n, "gnssid": 0, "ss": 40.0, "used": True} for n in range(1, 7)]
    gpsd.say({"class": "SKY", "hdop": 0.8, "satellites": seen}, tpv(jam=51))
    (fix,) = context.wait("fix", 1, within_s=3)
    assert fix.values[LATITUDE] == 44.0683333
    assert (fix.values[SPEED], fix.values[FIX_TYPE]) == (18.518, "THREE_D")
    assert fix.values[ACCURACY] == 4.1
    assert context.wait("time", 1, within_s=3)[0].values == {UTC: MS_2027}
    assert context.wait("sky", 1, within_s=3)[0].values == {IN_VIEW: 6, STRENGTH: 40.0}
    assert context.wait("condition", 1, within_s=3)[0].values == {JAMMING_LEVEL: 20.0}
    assert gpsd.asked == b'?WATCH={"enable":true,"json":true};\n'
    context.stop()
    assert running.join() is None


def test_a_gpsd_that_ends_is_unavailable_and_found_again(gpsd: Gpsd, context: Any) -> None:
    running = Running(gpsd.address, context)
    gpsd.accept()
    gpsd.hang_up()
    error = running.join()
    assert isinstance(error, DeviceUnavailable)
    assert "has closed the connection" in str(error) and gpsd.address in str(error)
    again = Running(gpsd.address, context)
    gpsd.accept()
    gpsd.say(tpv())
    context.wait("fix", 1, within_s=3)
    context.stop()
    assert again.join() is None


def test_no_gpsd_says_what_to_do(tmp_path: Path, context: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        unused = f"127.0.0.1:{listener.getsockname()[1]}"
    for address in (unused, str(tmp_path / "absent.sock")):
        driver = GnssNmea0183(Config(source="gpsd", address=address))
        for attempt in (driver.probe, lambda driver=driver: driver.run(context)):
            with pytest.raises(DeviceUnavailable, match="Is gpsd running") as raised:
                attempt()
            assert address in str(raised.value)
            assert raised.value.path == (address if address.startswith("/") else None)


def test_another_service_at_that_port(
    gpsd: Gpsd, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NOISE_MS", 200)
    running = Running(gpsd.address, context)
    gpsd.accept = lambda: None  # type: ignore[method-assign]
    client, _ = gpsd._listener.accept()
    with client:
        while running.ended_with is None:
            try:
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n" * 20)
            except OSError:
                break
        error = running.join()
    assert isinstance(error, DeviceUnavailable)
    assert "no JSON report" in str(error)


def test_probe(gpsd: Gpsd) -> None:
    said: list[str] = []
    driver = GnssNmea0183(Config(source="gpsd", address=gpsd.address))
    thread = threading.Thread(target=lambda: said.append(driver.probe()), name="probe")
    thread.start()
    gpsd.accept()
    gpsd.say(tpv())
    thread.join(4)
    assert said == [f"{gpsd.address}: gpsd, fix THREE_D, satellites unknown"]

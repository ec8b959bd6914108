"""The door: real sockets, honest and hostile drivers."""

from __future__ import annotations

import logging
import os
import queue
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from agent.clock import boottime_ms
from agent.ingest import Arrival, Inbound, Ingest, Joined, Left, Reported
from agent.ingest_check import decode_groups
from agent.protocol import (
    MAX_DATAGRAM,
    Command,
    Downward,
    Durable,
    Hello,
    Records,
    Refused,
    Report,
    Skipped,
    Welcome,
    WireRecord,
    declare,
    decode_downward,
    encode,
)
from agent.record import Kind
from agent.signals import Datatype, Group, Signal
from agent.store.rows import Mark

FIX = Group(
    "fix",
    (
        Signal("Vehicle.Speed", Datatype.FLOAT, "km/h", "Speed."),
        Signal("Vehicle.Bus.Count", Datatype.UINT8, "", "A count."),
    ),
)
STREAM = "0123456789abcdef" * 2
DEADLINE_S = 5.0
T = TypeVar("T")


class Door:
    """An Ingest with everything around it, and drivers by hand."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.path = directory / "ingest.sock"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(str(self.path))
        listener.listen(16)
        self.beats = 0
        self.out: queue.Queue[Inbound] = queue.Queue(options.pop("room", 1_000))
        marks = options.pop("marks", {})
        self.ingest = Ingest(listener, marks, self.out, self._beat, **options)
        self.ingest.start()
        self._clients: list[socket.socket] = []

    def _beat(self) -> None:
        self.beats += 1

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        client.settimeout(DEADLINE_S)
        client.connect(str(self.path))
        self._clients.append(client)
        return client

    def join(self, name: str = "gnss", stream: str = STREAM) -> socket.socket:
        client = self.connect()
        client.send(encode(hello(name, stream)))
        assert isinstance(receive(client), Welcome)
        self.next(Joined)
        return client

    def next(self, kind: type[T]) -> T:
        """The next item of that kind, others are passed over."""
        until = time.monotonic() + DEADLINE_S
        while True:
            item = self.out.get(timeout=max(0.0, until - time.monotonic()))
            if isinstance(item, kind):
                return item

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.ingest.stop()


def hello(name: str = "gnss", stream: str = STREAM, groups: tuple[Group, ...] = (FIX,)) -> Hello:
    return Hello(name, "gnss_nmea0183", "1", stream, [declare(g) for g in groups], os.getpid())


def receive(client: socket.socket) -> Downward | None:
    """The next message, None at the end."""
    while True:
        try:
            datagram = client.recv(MAX_DATAGRAM)
        except ConnectionResetError:
            continue
        return decode_downward(datagram) if datagram else None


def records(first: int, *values: object, at_ms: int = 1) -> bytes:
    rows = [WireRecord(0, at_ms, [value, None]) for value in values]  # type: ignore[list-item]
    return encode(Records(first, rows))


def speeds(arrival: Arrival) -> list[object]:
    return [record.values.get("Vehicle.Speed") for record in arrival.records]


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    made = Door(tmp_path)
    yield made
    made.close()


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[Callable[..., Door]]:
    made: list[Door] = []

    def make(**options: Any) -> Door:
        made.append(Door(tmp_path, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_driver_joins_and_its_records_pass(door: Door) -> None:
    client = door.connect()
    client.send(encode(hello()))
    joined = door.next(Joined)
    assert (joined.source, joined.type, joined.stream) == ("gnss", "gnss_nmea0183", STREAM)
    assert joined.pid == os.getpid()
    assert joined.groups == (FIX,) == decode_groups(joined.encoded)
    assert receive(client) == Welcome(0)
    client.send(records(1, 50.5, 51))
    arrival = door.next(Arrival)
    assert (arrival.source, arrival.stream, arrival.upto) == ("gnss", STREAM, 2)
    assert speeds(arrival) == [50.5, 51.0]
    assert type(arrival.records[1].values["Vehicle.Speed"]) is float
    door.ingest.durable("gnss", Mark(STREAM, 2))
    assert receive(client) == Durable(2)
    client.close()
    assert door.next(Left).source == "gnss"


def test_welcome_says_what_is_durable_of_that_stream_only(doors: Callable[..., Door]) -> None:
    door = doors(marks={"gnss": Mark(STREAM, 7)})
    client = door.connect()
    client.send(encode(hello()))
    assert receive(client) == Welcome(7)
    client.send(records(6, 1, 2, 3))  # 6 and 7 are on flash
    assert speeds(door.next(Arrival)) == [3.0]
    other = door.connect()
    other.send(encode(hello(stream="f" * 32)))
    assert receive(other) == Welcome(0)


def test_what_was_passed_on_is_not_taken_again_after_a_reconnect(door: Door) -> None:
    client = door.join()
    client.send(records(1, 1, 2))
    door.next(Arrival)
    client.close()
    client = door.connect()
    client.send(encode(hello()))
    assert receive(client) == Welcome(0)  # nothing is durable yet
    client.send(records(1, 1, 2))
    client.send(records(2, 2, 3))
    arrival = door.next(Arrival)
    assert (arrival.upto, speeds(arrival)) == (3, [3.0])
    door.ingest.durable("gnss", Mark("a" * 32, 99))  # of another stream: not ours
    door.ingest.durable("gnss", Mark(STREAM, 3))
    assert receive(client) == Durable(3)


def test_a_gap_ends_the_connection_and_a_skip_does_not(door: Door) -> None:
    client = door.join()
    client.send(records(1, 1))
    client.send(encode(Skipped(2, 10, 9)))
    client.send(records(11, 11))
    assert [door.next(Arrival).upto for _ in range(3)] == [1, 10, 11]
    client.send(records(13, 13))
    refused = receive(client)
    assert isinstance(refused, Refused)
    assert "13 after 11" in refused.reason
    assert receive(client) is None


@pytest.mark.parametrize(
    "bad",
    [
        WireRecord(9, 1, [1.0, None]),
        WireRecord(-1, 1, [1.0, None]),
        WireRecord(0, 1, [1.0]),
        WireRecord(0, 1, [1.0, None, None]),
        WireRecord(0, 1, ["fast", None]),
        WireRecord(0, 1, [True, None]),
        WireRecord(0, 1, [float("nan"), None]),
        WireRecord(0, 1, [float("inf"), None]),
        WireRecord(0, 1, [1 << 63, None]),
        WireRecord(0, 1, [None, 256]),
        WireRecord(0, 1, [None, True]),
        WireRecord(0, 1, [None, 1.0]),
        WireRecord(0, 1, [None, None]),
        WireRecord(0, -1, [1.0, None]),
        WireRecord(0, 1, [1.0, None], {0: "error"}),
        WireRecord(0, 1, [None, None], {0: "tired"}),
        WireRecord(0, 1, [None, None], {2: "error"}),
        WireRecord(0, 1, [None, None], {-1: "error"}),
        WireRecord(0, 1, [1.0, None], None, "gossip"),
        WireRecord(0, 1, [None, None], None, "file", ("", "image/jpeg", 1, "a" * 64)),
        WireRecord(0, 1, [None, None], None, "file", ("/a", "image/jpeg", -1, "a" * 64)),
        WireRecord(0, 1, [None, None], None, "file", ("/a", "image/jpeg", 1, "../../etc")),
        WireRecord(0, 1, [None, None], None, "file", ("/" * 5_000, "image/jpeg", 1, "a" * 64)),
    ],
    ids=repr,
)
def test_a_bad_record_costs_itself_only(door: Door, bad: WireRecord) -> None:
    client = door.join()
    good = WireRecord(0, 1, [1.0, None])
    client.send(encode(Records(1, [good, bad, good])))
    arrival = door.next(Arrival)
    assert (arrival.upto, speeds(arrival)) == (3, [1.0, 1.0])
    client.send(encode(Report({"records": 3}, "ok")))
    assert door.next(Reported).counters == {"records": 3, "rejected_records": 1}


def test_states_kinds_files_and_capture_times(door: Door) -> None:
    client = door.join()
    now = boottime_ms()
    client.send(
        encode(
            Records(
                1,
                [
                    WireRecord(0, now + 500, [1.0, None], {1: "not_available"}, "event"),
                    WireRecord(0, now + 3_600_000, [1.0, None]),
                    WireRecord(
                        0, now, [None, None], None, "file", ("/a", "image/jpeg", 1, "a" * 64)
                    ),
                ],
            )
        )
    )
    event, late, file = door.next(Arrival).records
    assert event.kind is Kind.EVENT
    assert event.states == {"Vehicle.Bus.Count": "not_available"}
    assert event.boottime_ms == now + 500
    assert now <= late.boottime_ms <= now + 5_000
    assert file.blob is not None
    assert file.blob.path == "/a"


def raw(**fields: object) -> bytes:
    return msgspec.msgpack.encode(fields)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b"\xc1 nonsense", "malformed"),
        (raw(message="hello"), "missing"),
        (raw(message="riot"), "Invalid value"),
        (records(1, 1), "before Hello"),
        (b"x" * (MAX_DATAGRAM + 1), "more than 65536"),
        (encode(hello("../../etc")), "1-64"),
        (encode(hello(stream="short")), "32 hex"),
        (encode(hello(groups=(FIX, FIX))), "two groups"),
        (encode(hello(groups=(Group("a", (Signal("x y", Datatype.FLOAT, "", ""),)),))), "VSS"),
        (
            encode(
                hello(
                    groups=(
                        Group("a", (Signal("X.Y", Datatype.FLOAT, "", "", minimum=float("nan")),)),
                    )
                )
            ),
            "finite",
        ),
        (encode(hello(groups=tuple(Group(str(i), ()) for i in range(1_001)))), "groups"),
        (encode(Hello("gnss", "t", "1", STREAM, [], 1, protocol=9)), "protocol 9"),
    ],
)
def test_a_bad_first_message_is_refused_and_costs_nobody_else(
    door: Door, bad: bytes, why: str
) -> None:
    honest = door.join("fms")
    client = door.connect()
    client.send(bad)
    refused = receive(client)
    assert isinstance(refused, Refused)
    assert why in refused.reason
    assert receive(client) is None
    honest.send(records(1, 1))
    assert door.next(Arrival).source == "fms"


@pytest.mark.parametrize(
    "bad",
    [
        encode(Records(1, [])),
        encode(Records(0, [WireRecord(0, 1, [1.0, None])])),
        encode(Records(1, [WireRecord(0, 1, [1.0, None])] * 51)),
        encode(Skipped(5, 1, 0)),
        encode(Skipped(1, 1 << 63, 0)),
        encode(hello()),
        encode(Report({str(i): i for i in range(300)}, "ok")),
        encode(Report({"a": 1 << 63}, "ok")),
        raw(message="records", first=1, records=[[0, 1, [[[[]]], None]]]),
        raw(message="records", first="1", records=[]),
    ],
)
def test_a_bad_later_message_is_refused(door: Door, bad: bytes) -> None:
    client = door.join()
    client.send(bad)
    assert isinstance(receive(client), Refused)
    assert door.next(Left).source == "gnss"


def test_an_empty_datagram_is_the_end(door: Door) -> None:
    client = door.join()
    client.send(b"")
    assert receive(client) is None
    assert door.next(Left).source == "gnss"


def test_a_source_that_is_not_configured_learns_so(
    doors: Callable[..., Door], caplog: pytest.LogCaptureFixture
) -> None:
    door = doors(sources={"gnss", "fms"})
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            client = door.connect()
            client.send(encode(hello("gps")))
            refused = receive(client)
            assert isinstance(refused, Refused)
            assert "'gps' is not configured (configured: fms, gnss)" in refused.reason
    assert len(caplog.records) == 1  # once, not at each attempt


def test_a_user_speaks_under_its_own_name_only(doors: Callable[..., Door]) -> None:
    door = doors(names=lambda uid, name: uid == os.getuid() and name == "fms")
    client = door.connect()
    client.send(encode(hello("gnss")))
    refused = receive(client)
    assert isinstance(refused, Refused)
    assert f"user id {os.getuid()} may not speak as 'gnss'" in refused.reason
    door.join("fms")


def test_a_successor_takes_over_and_nothing_of_the_old_one_is_lost(door: Door) -> None:
    old = door.join()
    successor = door.connect()
    old.send(records(1, 1, 2))
    successor.send(encode(hello(stream="f" * 32)))
    assert receive(successor) == Welcome(0)
    arrival = door.next(Arrival)
    assert (arrival.stream, arrival.upto) == (STREAM, 2)
    assert "replaced" in door.next(Left).reason
    assert door.next(Joined).stream == "f" * 32
    assert isinstance(receive(old), Refused)
    successor.send(records(1, 9))
    assert door.next(Arrival).stream == "f" * 32


def test_a_throttled_connection_is_read_to_its_end_when_a_successor_comes(door: Door) -> None:
    old = door.join()
    for i in range(95):  # the burst is 80 datagrams, the rest waits in the socket
        old.send(records(1 + 50 * i, *range(50)))
    successor = door.connect()
    successor.send(encode(hello(stream="f" * 32)))
    upto = 0
    while isinstance(item := door.out.get(timeout=DEADLINE_S), Arrival):
        upto = item.upto
    assert isinstance(item, Left)
    assert upto == 95 * 50


def test_what_a_dead_driver_sent_is_taken_though_it_read_nothing(door: Door) -> None:
    """Closing with unread messages makes the kernel report ECONNRESET before the data."""
    client = door.join()
    door.ingest.durable("gnss", Mark(STREAM, 0))
    assert door.ingest.send("gnss", Command("1", "reset", {}, 0))
    assert client.recv(MAX_DATAGRAM, socket.MSG_PEEK)
    client.send(records(1, 1, 2))
    client.close()
    assert door.next(Arrival).upto == 2
    assert door.next(Left).reason == "the driver closed the connection"


def test_a_full_pipeline_stops_the_reading_and_loses_nothing(doors: Callable[..., Door]) -> None:
    door = doors(room=2)
    client = door.join()
    client.settimeout(0.2)
    sent = 0
    with pytest.raises(TimeoutError):
        while True:
            client.send(records(sent + 1, *range(50)))
            sent += 50
    assert door.out.full()
    beats = door.beats
    with pytest.raises(TimeoutError):
        client.recv(1)
    assert 0 < door.beats - beats < 50  # it waits, it does not spin
    beats = door.beats
    upto = 0
    while upto < sent:
        arrival = door.next(Arrival)
        assert arrival.upto == upto + len(arrival.records)
        upto = arrival.upto
    assert door.beats > beats


def test_a_flood_leaves_room_for_the_others(door: Door) -> None:
    flooding = door.join("fms")
    flooding.setblocking(False)
    calm = door.join("gnss")
    flood = msgspec.msgpack.Encoder()
    sent = 0
    began = time.monotonic()
    arrived: dict[int, float] = {}
    sent_at: dict[int, float] = {}
    counts = {"fms": 0, "gnss": 0}
    while time.monotonic() - began < 2.0:
        try:
            for _ in range(40):
                rows = [WireRecord(0, 1, [1.0, None])] * 50
                flooding.send(flood.encode(Records(sent + 1, rows)))
                sent += 50
        except BlockingIOError:
            pass
        if len(sent_at) < (time.monotonic() - began) * 10:
            number = len(sent_at) + 1
            calm.send(records(number, float(number)))
            sent_at[number] = time.monotonic()
        try:
            while True:
                item = door.out.get(timeout=0.005)
                if isinstance(item, Arrival):
                    counts[item.source] += len(item.records)
                    if item.source == "gnss":
                        arrived[item.upto] = time.monotonic()
        except queue.Empty:
            pass
    assert counts["gnss"] >= 18
    assert max(arrived[n] - sent_at[n] for n in arrived) < 1.0
    # The burst and 2 s of the rate; the rest waits in the flooding driver's socket and ring.
    assert 4_000 <= counts["fms"] <= 4_000 + 3 * 4_000


def test_only_the_newest_mark_goes_to_a_driver_that_does_not_read(door: Door) -> None:
    client = door.join()
    marks = 100_000
    for upto in range(1, marks + 1):
        door.ingest.durable("gnss", Mark(STREAM, upto))
    client.settimeout(1.0)
    newest = 0
    received = 0
    while newest < marks:
        message = receive(client)
        assert isinstance(message, Durable)
        assert message.upto > newest
        newest = message.upto
        received += 1
    assert received < marks


def test_commands_reach_the_driver_they_are_for(door: Door) -> None:
    assert not door.ingest.send("gnss", Command("1", "reset", {}, 0))
    client = door.join()
    assert door.ingest.send("gnss", Command("1", "reset", {"hard": True}, 5))
    assert receive(client) == Command("1", "reset", {"hard": True}, 5)
    sent = 0
    while door.ingest.send("gnss", Command("1", "x" * 50_000, {}, 0)):
        sent += 1
        assert sent < 1_000  # it does not read: bounded


def test_stop_ends_thread_and_connections(tmp_path: Path) -> None:
    door = Door(tmp_path)
    client = door.join()
    door.ingest.stop()
    assert receive(client) is None
    door.ingest.durable("gnss", Mark(STREAM, 1))  # late, harmless
    door.close()

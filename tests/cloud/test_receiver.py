"""From an MQTT message to an ack: judged, booked, then acknowledged, never before."""

from __future__ import annotations

import json
import queue
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cloud_payloads import BOOT, EPOCH, VEHICLE, as_json, batch, telemetry
from hypothesis import given
from hypothesis import strategies as st

from cloud import topics
from cloud.acks import MAX_RANGES, acknowledgements, carried
from cloud.batch import Drop
from cloud.intake import Delivery, Received, Rejection, Status, judge
from cloud.ledger import Ledger
from cloud.receiver import MAX_GROUP, Receiver

STATUS = {"online": True, "vehicle": VEHICLE, "epoch": EPOCH, "boot": BOOT}


def received(leaf: str, payload: bytes, vehicle: str = VEHICLE, at: int = 5) -> Received:
    return Received(f"brain/v1/{vehicle}/up/{leaf}", payload, at, 1_000 + at)


@pytest.mark.parametrize(
    ("prefix", "topic", "want"),
    [
        ("brain", "brain/v1/bus-1/up/telemetry", ("bus-1", "telemetry")),
        ("$aws/rules/x", "$aws/rules/x/v1/b/up/files/ab/3", ("b", "files/ab/3")),
        ("brain", "brain/v1/bus-1/dn/acks", None),
        ("brain", "brain/v1/bus 1/up/telemetry", None),
        ("brain", "brain/v2/bus-1/up/telemetry", None),
        ("brain", "other/v1/bus-1/up/telemetry", None),
        ("brain", "brain/v1/bus-1", None),
        ("brain", "", None),
    ],
)
def test_topics(prefix: str, topic: str, want: tuple[str, str] | None) -> None:
    if want is not None:
        assert topics.parse(prefix, topic) == want
        return
    with pytest.raises(ValueError, match="topic"):
        topics.parse(prefix, topic)


@pytest.mark.parametrize(
    ("message", "kind", "text"),
    [
        (received("telemetry", telemetry([1])), Delivery, ""),
        (received("events", as_json()), Delivery, ""),
        (received("status", json.dumps(STATUS).encode()), Status, ""),
        (received("status", b""), type(None), ""),
        (received("telemetry", b""), Rejection, "empty"),
        (received("elsewhere", telemetry([1])), Rejection, "up/elsewhere"),
        (received("status", json.dumps(STATUS).encode(), "bus-2"), Rejection, "sent as bus-2"),
        (received("telemetry", telemetry([1]), "bus-2"), Rejection, "sent as bus-2"),
        (received("events", as_json(), "bus-2"), Rejection, "sent as bus-2"),
        (received("status", b'{"online": 1}'), Rejection, "status"),
        (received("status", b"{" * 5_000), Rejection, "5000 bytes"),
        (received("status", json.dumps({**STATUS, "boot": "x"}).encode()), Rejection, "boot"),
    ],
)
def test_what_a_message_is(message: Received, kind: type, text: str) -> None:
    found = judge("brain", message)
    assert type(found) is kind
    if isinstance(found, Rejection):
        assert text in found.reason


@given(st.binary(max_size=60), st.sampled_from(["telemetry", "status", "events", "x"]))
def test_any_payload_is_judged(payload: bytes, leaf: str) -> None:
    judge("brain", received(leaf, payload))


def test_an_ack_says_what_its_messages_carried() -> None:
    one = batch([1, 2, 5], drops=[Drop("history", 3, 3, 1, "quota")])
    assert carried(one) == [(1, 3), (5, 5)]
    found = acknowledgements([one, batch([4, 9]), batch([7], vehicle="bus-2"), one])
    assert [(vehicle, json.loads(text)) for vehicle, text in found] == [
        (VEHICLE, {"epoch": EPOCH, "ranges": [[1, 5], [9, 9]]}),
        ("bus-2", {"epoch": EPOCH, "ranges": [[7, 7]]}),
    ]


def test_acks_of_many_ranges_are_split() -> None:
    found = acknowledgements([batch(range(1, 5_000, 2))])
    ranges = [json.loads(text)["ranges"] for _, text in found]
    assert [len(part) for part in ranges] == [MAX_RANGES, MAX_RANGES, 500]
    assert [one for part in ranges for one in part] == [[n, n] for n in range(1, 5_000, 2)]


class Bench:
    """A receiver without a broker: what is put in `inbox`, what comes out in `sent`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.inbox: queue.Queue[Received] = queue.Queue()
        self.sent: list[tuple[str, Any]] = []
        self.points: list[str] = []
        self.broken = False
        self.up = True
        self.ledger = Ledger(path, failpoint=self._failpoint)
        self.receiver = Receiver(
            self.inbox, self.ledger, self._publish, "brain", failpoint=self._failpoint
        )

    def _failpoint(self, point: str) -> None:
        self.points.append(point)
        if self.broken and point == "before-commit":
            raise sqlite3.OperationalError("database or disk is full")

    def _publish(self, topic: str, payload: bytes) -> bool:
        self.points.append("publish")
        if self.up:
            self.sent.append((topic, json.loads(payload)))
        return self.up

    def take(self, *messages: Received) -> int:
        for message in messages:
            self.inbox.put(message)
        return self.receiver.step(0.0)

    def rows(self, sql: str) -> list[Any]:
        db = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)
        try:
            return db.execute(sql).fetchall()
        finally:
            db.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "ledger.db")
    yield made
    made.ledger.close()


def ack(*ranges: list[int]) -> tuple[str, Any]:
    return f"brain/v1/{VEHICLE}/dn/acks", {"epoch": EPOCH, "ranges": list(ranges)}


def test_a_group_is_one_commit_and_then_one_ack(bench: Bench) -> None:
    first, again = received("telemetry", telemetry([1, 2])), received("events", telemetry([3]))
    assert bench.take(first, again) == 2
    assert bench.sent == [ack([1, 3])]
    commit, acks = (
        ["begin", "before-commit", "after-commit"],
        ["before-ack", "publish", "after-ack"],
    )
    assert bench.points == [*commit, *acks]
    assert bench.rows("SELECT received_boottime_ms FROM record") == [(5,), (5,), (5,)]
    bench.take(first)
    assert bench.sent[1:] == [ack([1, 2])]  # duplicates are acknowledged again
    bench.take()
    counted = bench.ledger.counters()
    assert counted == {
        "messages": 3,
        "bytes": 2 * len(first.payload) + len(again.payload),
        "duplicates_received": 2,
        "rejected": 0,
        "acks_sent": 2,
        "conflicts": 0,
    }


def test_a_group_has_a_bound(bench: Bench) -> None:
    many = [received("telemetry", telemetry([n])) for n in range(1, MAX_GROUP + 3)]
    assert bench.take(*many) == MAX_GROUP
    assert bench.take() == 2


def test_a_damaged_message_is_kept_and_not_acknowledged(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "cloud")
    bad = received("telemetry", b"\x01junk")
    bench.take(bad, bad, received("telemetry", telemetry([1])))
    bench.take(bad)
    assert bench.sent == [ack([1, 1])]
    assert bench.ledger.counters()["rejected"] == 3
    assert bench.rows("SELECT DISTINCT topic, payload FROM rejected") == [(bad.topic, b"\x01junk")]
    assert len(caplog.records) == 1
    bench.take(received("telemetry", telemetry([2])))
    bench.take(bad)
    assert len(caplog.records) == 2  # good in between: said again


def test_another_vehicles_books_cannot_be_written(bench: Bench) -> None:
    bench.take(received("telemetry", telemetry([1], vehicle="victim"), "attacker"))
    assert bench.sent == []
    assert bench.rows("SELECT * FROM record UNION SELECT * FROM record") == []
    assert "victim" in bench.rows("SELECT reason FROM rejected")[0][0]


def test_what_cannot_be_written_is_not_acknowledged(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "cloud")
    bench.broken = True
    one = received("telemetry", telemetry([1]))
    bench.take(one)
    bench.take(one)
    assert bench.sent == []
    assert [r.message for r in caplog.records] == [
        "the ledger cannot be written (database or disk is full); nothing is acknowledged until "
        "it can, free space or repair the disk"
    ]
    bench.broken = False
    bench.take(one)
    assert bench.sent == [ack([1, 1])]
    assert "written again" in caplog.records[-1].message


def test_acks_without_a_link_are_not_counted(bench: Bench) -> None:
    bench.up = False
    bench.take(received("telemetry", telemetry([1])))
    bench.take()
    assert bench.ledger.counters()["acks_sent"] == 0


def test_status_is_stored(bench: Bench) -> None:
    bench.take(received("status", json.dumps(STATUS).encode()))
    bench.take(received("status", json.dumps({**STATUS, "online": False}).encode(), at=9))
    assert bench.sent == []
    assert bench.rows("SELECT vehicle, online, since_utc_ms FROM vehicle") == [(VEHICLE, 0, 1_009)]

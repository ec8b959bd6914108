"""Catalogues at the far end: read, kept, asked for; what refers to a missing one waits."""

from __future__ import annotations

import contextlib
import hashlib
import json
import queue
import sqlite3
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import pytest
from cloud_payloads import BOOT, EPOCH, SPEED, VEHICLE, books, message, packed, telemetry
from hypothesis import given
from hypothesis import strategies as st

import cloud
from cloud import telemetry_pb2 as pb
from cloud.catalogue import MAX_BODY, MAX_KEPT
from cloud.intake import Announced, Delivery, Needed, Received, Rejection, judge
from cloud.ledger import Ledger
from cloud.receiver import Receiver
from cloud.schema import open_writer


def catalogue(*paths: str, source: str = "fms", name: str = "ccvs1", unit: str = "km/h") -> bytes:
    leaves = [pb.Leaf(path=path, unit=unit) for path in paths]
    whole = pb.Catalogue(shapes=[pb.Shape(source=source, name=name, leaves=leaves)])
    return b"\x01" + zlib.compress(whole.SerializeToString())


KNOWN = catalogue(SPEED)


def referring(known: bytes = KNOWN, *, shape: int = 1, leaf: int = 1) -> pb.Batch:
    """Seq 1 to 3 of `cloud_payloads.message`, their names in a catalogue."""
    batch = message([1, 2, 3])
    (group,) = batch.groups
    group.source = group.name = group.columns[0].path = group.columns[0].unit = ""
    group.shape, group.columns[0].leaf = shape, leaf
    batch.catalogue = hashlib.sha256(known).digest()[:16]
    return batch


def known(*messages: bytes) -> cloud.Catalogues:
    catalogues = cloud.Catalogues()
    for one in messages:
        catalogues.add(one)
    return catalogues


def test_a_batch_that_refers_says_the_same_as_one_that_names() -> None:
    assert cloud.decode(packed(referring()), known(KNOWN)) == cloud.decode(telemetry([1, 2, 3]))


def test_without_the_catalogue_it_is_known_which_one_is_missing() -> None:
    for catalogues in (known(), known(catalogue("Other"))):
        with pytest.raises(cloud.CatalogueUnknown) as unknown:
            cloud.decode(packed(referring()), catalogues)
        assert unknown.value.hash == cloud.hash_of(KNOWN)


@pytest.mark.parametrize(
    ("batch", "text"),
    [
        (referring(shape=2), "shape 2 of 1"),
        (referring(leaf=2), "leaf 2 of 1"),
    ],
)
def test_what_the_catalogue_does_not_hold_is_refused(batch: pb.Batch, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        cloud.decode(packed(batch), known(KNOWN))


def test_a_reference_without_a_catalogue_is_refused() -> None:
    batch = referring()
    batch.catalogue = b""
    with pytest.raises(ValueError, match="shape 1 of 0"):
        cloud.decode(packed(batch), known(KNOWN))


def test_shapes_and_names_may_stand_side_by_side() -> None:
    """A source that appeared since, and a signal that a driver's newer version added."""
    batch = referring()
    batch.groups[0].columns.add(path="Vehicle.New", integer=True, steps_per_unit=1, delta=[7, 0, 0])
    other = pb.Group(source="thermo", name="air", kind="sample", columns=[pb.Column(path="T")])
    other.columns[0].real.append(21.5)
    batch.groups.append(other)
    batch.order.append(1)
    batch.runs[1] = batch.boot_runs[1] = 4
    batch.boottime_delta_ms.append(1)
    records = cloud.decode(packed(batch), known(KNOWN)).records
    assert records[0].values == {SPEED: 1 / 256, "Vehicle.New": 7}
    assert (records[3].source, records[3].values) == ("thermo", {"T": 21.5})


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"", "format"),
        (b"\x02", "format"),
        (b"\x01x", "zlib"),
        (KNOWN[:-2], "cut short"),
        (b"\x01" + zlib.compress(b"\xff\xff"), "cut short"),
        (b"\x01" + zlib.compress(bytes(MAX_BODY + 1)), "more than"),
        (catalogue(""), "path"),
        (catalogue("x", source=""), "source"),
        (catalogue("x", unit="u" * 65), "unit"),
    ],
)
def test_what_is_no_catalogue(payload: bytes, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        cloud.decode_catalogue(payload)


@given(st.binary(max_size=100), st.booleans())
def test_any_bytes_are_a_catalogue_or_a_value_error(data: bytes, framed: bool) -> None:
    with contextlib.suppress(ValueError):
        cloud.decode_catalogue(b"\x01" + zlib.compress(data) if framed else data)


def test_a_catalogue_that_claims_to_be_huge_costs_little() -> None:
    empty = b"\x0a\x00" * (MAX_BODY // 2)
    tracemalloc.start()
    with pytest.raises(ValueError, match="nested messages"):
        cloud.decode_catalogue(b"\x01" + zlib.compress(empty))
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


# --- the receiver -------------------------------------------------------------------------------


class FarEnd:
    def __init__(self, path: Path) -> None:
        self.inbox: queue.Queue[Received] = queue.Queue()
        self.ledger = Ledger(path)
        self.said: list[dict[str, Any]] = []
        self.receiver = Receiver(self.inbox, self.ledger, self._publish, "brain")

    def _publish(self, topic: str, payload: bytes) -> bool:
        assert topic == f"brain/v1/{VEHICLE}/dn/acks"
        self.said.append(json.loads(payload))
        return True

    def take(self, *messages: tuple[str, bytes]) -> list[dict[str, Any]]:
        """One group; what is said about it."""
        for leaf, payload in messages:
            self.inbox.put(Received(f"brain/v1/{VEHICLE}/up/{leaf}", payload, 5, 6))
        self.said = []
        self.receiver.step(0.0)
        return self.said


ANNOUNCED = (f"catalogue/{cloud.hash_of(KNOWN)}", KNOWN)
BATCH = ("telemetry", packed(referring()))
HASH = cloud.hash_of(KNOWN)
ACK = {"epoch": EPOCH, "ranges": [[1, 3]]}


def test_the_ack_is_withheld_until_the_catalogue_is_there(tmp_path: Path) -> None:
    far = FarEnd(tmp_path / "ledger.db")
    assert far.take(BATCH) == [{"have": [], "need": [HASH]}]
    assert books(tmp_path / "ledger.db").seqs == {}
    assert far.take(ANNOUNCED) == [{"have": [HASH], "need": []}]
    assert far.take(BATCH) == [ACK]
    assert books(tmp_path / "ledger.db").seqs == {(VEHICLE, EPOCH): {1, 2, 3}}
    assert far.ledger.counters()["rejected"] == 0


def test_both_may_come_together(tmp_path: Path) -> None:
    far = FarEnd(tmp_path / "ledger.db")
    assert far.take(ANNOUNCED, BATCH) == [ACK, {"have": [HASH], "need": []}]


def test_it_is_durable_before_the_vehicle_hears_that_it_is(tmp_path: Path) -> None:
    far = FarEnd(tmp_path / "ledger.db")
    assert far.take(ANNOUNCED)
    far.ledger.close()
    again = FarEnd(tmp_path / "ledger.db")
    assert again.take(BATCH) == [ACK]


def test_nothing_is_said_of_what_could_not_be_written(tmp_path: Path) -> None:
    far = FarEnd(tmp_path / "ledger.db")
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        db.execute("CREATE TRIGGER no BEFORE INSERT ON catalogue BEGIN SELECT RAISE(FAIL,'x'); END")
    assert far.take(ANNOUNCED) == []


def test_only_the_newest_of_a_vehicle_are_kept_and_the_others_asked_for(tmp_path: Path) -> None:
    far = FarEnd(tmp_path / "ledger.db")
    far.take(ANNOUNCED)
    for n in range(MAX_KEPT):
        other = catalogue(f"p{n}")
        far.take((f"catalogue/{cloud.hash_of(other)}", other))
    far.ledger.close()
    again = FarEnd(tmp_path / "ledger.db")
    assert again.take(BATCH) == [{"have": [], "need": [HASH]}]


def test_a_vehicle_reads_its_own_catalogues_only(tmp_path: Path) -> None:
    far = FarEnd(tmp_path / "ledger.db")
    far.take(ANNOUNCED)
    assert far.ledger.shelf.find(VEHICLE, HASH) is not None
    assert far.ledger.shelf.find("bus-2", HASH) is None


def test_an_older_ledger_is_completed(tmp_path: Path) -> None:
    open_writer(tmp_path / "ledger.db").close()
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        db.execute("DROP TABLE catalogue")
    assert FarEnd(tmp_path / "ledger.db").take(ANNOUNCED) == [{"have": [HASH], "need": []}]


@pytest.mark.parametrize(
    ("leaf", "payload", "kind"),
    [
        (*ANNOUNCED, Announced),
        (*BATCH, Needed),
        ("telemetry", telemetry([1]), Delivery),
        ("catalogue/" + "0" * 32, KNOWN, Rejection),
        ("catalogue/", KNOWN, Rejection),
        ("catalogue/" + cloud.hash_of(b"x"), b"x", Rejection),
    ],
)
def test_what_a_message_is(leaf: str, payload: bytes, kind: type) -> None:
    found = judge("brain", Received(f"brain/v1/{VEHICLE}/up/{leaf}", payload, 5, 6))
    assert type(found) is kind


def test_the_library_as_its_page_shows_it() -> None:
    """cloud/README.md: names and the two calls of its example."""
    page = (Path(cloud.__file__).parent / "README.md").read_text()
    assert [name for name in cloud.__all__ if f"`{name}" not in page and name not in page] == []
    batch = cloud.decode(telemetry([1], offsets=[(0, 1_000_000, 3)]), cloud.Catalogues())
    (record,) = batch.records
    assert cloud.utc_ms(record.boottime_ms, cloud.pieces(batch.boots[BOOT])) == 1_001_100

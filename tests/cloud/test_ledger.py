"""The books: each identity once, whatever comes however often, and never overwritten."""

from __future__ import annotations

import itertools
import json
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from cloud_payloads import (
    BOOT,
    EPOCH,
    SPEED,
    VEHICLE,
    WHOLE_BOOKS,
    as_json,
    batch,
    books,
    document,
    intake,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.batch import Batch, Drop, Offset
from cloud.decoder import decode
from cloud.intake import Delivery, Intake, Received, Rejection, Status
from cloud.intervals import IntervalSet, Range
from cloud.ledger import Ledger
from cloud.notes import MAX_REJECTED, MAX_REJECTED_BYTES
from cloud.schema import LedgerUnusable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def rows(path: Path, sql: str) -> list[Any]:
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def test_a_record_as_a_row(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.commit(Intake([Delivery(decode(as_json()), 77)]))
    first, second = rows(path, "SELECT * FROM record ORDER BY seq")
    assert first == (
        *(VEHICLE, EPOCH, 1, "gnss", "fix", "sample", BOOT, 5, 1_800_000_000_005, 77),
        *('{"a":1.5,"b":true}', '{"c":"error"}', None),
    )
    assert json.loads(second[-1]) == document()["records"][1][8]
    assert rows(path, "SELECT * FROM span") == [(VEHICLE, EPOCH, 1, 4)]
    assert rows(path, "SELECT * FROM dropped") == [(VEHICLE, EPOCH, "history", 3, 4, 2, "quota")]


def test_gaps_are_what_neither_came_nor_was_dropped(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.commit(intake(batch([3, 4, 9]), batch([], drops=[Drop("bulk", 6, 6, 1, "x")])))
        assert ledger.gaps(VEHICLE, EPOCH) == [(1, 2), (5, 5), (7, 8)]
        ledger.commit(intake(batch([1, 2, 5])))
        assert ledger.gaps(VEHICLE, EPOCH) == [(7, 8)]
    with Ledger(path) as ledger:
        assert ledger.gaps(VEHICLE, EPOCH) == [(7, 8)]
        assert rows(path, "SELECT first, last FROM span") == [(1, 6), (9, 9)]


def test_the_same_record_again_is_a_duplicate_in_whatever_form(path: Path) -> None:
    once = batch([1, 2])
    turned = decode(as_json(vehicle=VEHICLE))
    with Ledger(path) as ledger:
        assert ledger.commit(intake(once, once)).duplicates == {VEHICLE: 2}
        assert ledger.commit(intake(batch([2, 3]))).duplicates == {VEHICLE: 1}
        other = Batch("bus-2", EPOCH, turned.boots, [], turned.records, turned.runs)
        ledger.commit(intake(other))
        swapped = [r._replace(values=dict(reversed(r.values.items()))) for r in turned.records]
        nudged = [
            r._replace(values={**r.values, "a": 1.5000000000000002}) if "a" in r.values else r
            for r in swapped
        ]
        again = ledger.commit(intake(Batch("bus-2", EPOCH, turned.boots, [], nudged, turned.runs)))
        assert (again.records, again.duplicates, again.conflicts) == (0, {"bus-2": 2}, {})
        assert ledger.counters()["duplicates_received"] == 5
    assert rows(path, "SELECT vehicle, duplicates_received FROM vehicle") == [
        (VEHICLE, 3),
        ("bus-2", 2),
    ]


def test_a_taken_identity_is_never_overwritten(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.commit(intake(batch([1, 2])))
        found = ledger.commit(intake(batch([2, 3], value=99.0)))
        assert (found.records, found.duplicates, found.conflicts) == (1, {VEHICLE: 1}, {VEHICLE: 1})
        assert ledger.commit(intake(batch([2], value=99.0))).conflicts == {VEHICLE: 0}
        assert ledger.commit(intake(batch([3], value=99), batch([3], value=7))).conflicts == {
            VEHICLE: 1
        }
        assert ledger.counters()["conflicts"] == 2
    assert [json.loads(v)[SPEED] for (v,) in rows(path, "SELECT vals FROM record")] == [1, 2, 99]
    kept = [json.loads(c) for (c,) in rows(path, "SELECT content FROM conflict ORDER BY seq")]
    assert [one["vals"][SPEED] for one in kept] == [99.0, 7]
    assert kept[0]["boottime_ms"] == 200


def test_a_record_that_was_dropped_is_taken_if_it_comes_after_all(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.commit(intake(batch([1], drops=[Drop("history", 2, 3, 2, "quota")])))
        assert ledger.commit(intake(batch([2]))).records == 1
        assert ledger.gaps(VEHICLE, EPOCH) == []


def test_a_drop_account_that_grew_replaces_what_it_contains(path: Path) -> None:
    accounts = [
        Drop("history", 4, 6, 3, "quota"),
        Drop("history", 4, 9, 6, "quota"),
        Drop("history", 5, 6, 2, "quota"),
        Drop("history", 1, 9, 9, "quota"),
        Drop("history", 12, 12, 1, "damaged"),
        Drop("alarm", 5, 5, 1, "quota"),
    ]
    with Ledger(path) as ledger:
        for drop in accounts:
            ledger.commit(intake(batch([], drops=[drop])))
        ledger.commit(intake(batch([], drops=accounts)))
    assert sorted(rows(path, "SELECT class, first, last, count FROM dropped")) == [
        ("alarm", 5, 5, 1),
        ("history", 1, 9, 9),
        ("history", 12, 12, 1),
    ]


MISSING = [
    # (already here, accounts in one message, records of that message, what is booked)
    ([], [("history", 1, 9, 9)], [], [("history", 1, 9, 9)]),
    ([2, 3], [("history", 1, 5, 1)], [], [("history", 1, 1, 1), ("history", 4, 5, 2)]),
    ([2, 3], [("history", 1, 5, 5)], [5], [("history", 1, 1, 1), ("history", 4, 4, 1)]),
    ([1, 2], [("history", 1, 2, 2)], [], []),
    ([2], [("alarm", 1, 4, 1), ("history", 1, 4, 0)], [], [("alarm", 1, 1, 1), ("alarm", 3, 4, 2)]),
    (
        [2],
        [("alarm", 1, 4, 1), ("history", 1, 4, 2)],
        [],
        [("alarm", 1, 1, 1), ("history", 3, 4, 2)],
    ),
    (
        [],
        [("alarm", 1, 4, 1), ("history", 1, 4, 3)],
        [],
        [("alarm", 1, 4, 1), ("history", 1, 4, 3)],
    ),
]


@pytest.mark.parametrize(("here", "accounts", "seqs", "booked"), MISSING)
def test_of_what_a_vehicle_lost_the_books_that_counts_which_never_came(
    path: Path, here: list[int], accounts: list[Any], seqs: list[int], booked: list[Any]
) -> None:
    drops = [Drop(*account, "missing") for account in accounts]
    with Ledger(path) as ledger:
        ledger.commit(intake(batch(here)))
        for _ in range(2):
            ledger.commit(intake(batch(seqs, drops=drops)))
        assert ledger.gaps(VEHICLE, EPOCH) == []
    assert sorted(rows(path, "SELECT class, first, last, count FROM dropped")) == booked


def test_what_is_missing_takes_no_place_of_what_was_dropped(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.commit(intake(batch([], drops=[Drop("history", 1, 9, 9, "quota")])))
        ledger.commit(intake(batch([], drops=[Drop("history", 1, 12, 2, "missing")])))
        ledger.commit(intake(batch([], drops=[Drop("history", 1, 20, 17, "quota")])))
        ledger.commit(intake(batch([], drops=[Drop("history", 10, 22, 2, "refused")])))
    found = sorted(rows(path, "SELECT first, last, count, reason FROM dropped"))
    assert found == [(1, 20, 17, "quota"), (10, 22, 5, "refused")]


def test_better_knowledge_of_a_boot_dates_its_earlier_records(path: Path) -> None:
    other = "ee" * 16
    with Ledger(path) as ledger:
        ledger.commit(intake(batch([1, 2])))
        ledger.commit(intake(batch([3], boot=other)))
        assert rows(path, "SELECT utc_ms FROM record") == [(None,)] * 3
        ledger.commit(intake(batch([4], offsets=[Offset(0, 1_000, "rtc")])))
        dated = "SELECT seq, utc_ms FROM record ORDER BY seq"
        assert rows(path, dated) == [(1, 1_100), (2, 1_200), (3, None), (4, 1_400)]
        fixes = [Offset(50, 5_000, "gnss"), Offset(200, 6_000, "gnss")]
        ledger.commit(intake(batch([5], offsets=fixes)))
        want = [(1, 5_100), (2, 6_200), (3, None), (4, 6_400), (5, 6_500)]
        assert rows(path, dated) == want
        # A message that was encoded before the fix changes nothing back.
        ledger.commit(intake(batch([6], offsets=[Offset(0, 1_000, "rtc")])))
        assert rows(path, dated) == [*want, (6, 6_600)]


def test_online_is_since_the_change(path: Path) -> None:
    def said(online: bool, wall_ms: int) -> Intake:
        return Intake(statuses=[Status(VEHICLE, online, EPOCH, BOOT, wall_ms)])

    asked = "SELECT online, since_utc_ms, epoch FROM vehicle"
    with Ledger(path) as ledger:
        ledger.commit(intake(batch([1])))
        assert rows(path, asked) == [(None, None, None)]
        ledger.commit(said(True, 10))
        ledger.commit(said(True, 20))
        assert rows(path, asked) == [(1, 10, EPOCH)]
        ledger.commit(said(False, 30))
        assert rows(path, asked) == [(0, 30, EPOCH)]


def test_refused_messages_are_kept_within_bounds(path: Path) -> None:
    long = Received("t", b"x" * (MAX_REJECTED_BYTES + 9), 1, 1)
    with Ledger(path) as ledger:
        for at in range(3):
            kept = [Rejection(long, f"{at}-{n}") for n in range(60)]
            ledger.commit(Intake(rejections=kept, messages=60))
        assert ledger.counters()["rejected"] == 180
    found = rows(path, "SELECT reason, nbytes, length(payload) FROM rejected ORDER BY id")
    assert len(found) == MAX_REJECTED
    assert found[-1] == ("2-59", MAX_REJECTED_BYTES + 9, MAX_REJECTED_BYTES)
    assert found[0][0] == "1-20"


def test_a_commit_that_fails_leaves_nothing(path: Path) -> None:
    full = False

    def failpoint(point: str) -> None:
        if full and point == "before-commit":
            raise sqlite3.OperationalError("database or disk is full")

    with Ledger(path, failpoint=failpoint) as ledger:
        ledger.commit(intake(batch([1])))
        full = True
        with pytest.raises(sqlite3.OperationalError):
            ledger.commit(intake(batch([2, 3])))
        full = False
        assert ledger.gaps(VEHICLE, EPOCH) == []
        assert ledger.commit(intake(batch([3]))).records == 1
        assert ledger.gaps(VEHICLE, EPOCH) == [Range(2, 2)]


def test_a_ledger_has_one_writer(path: Path) -> None:
    with Ledger(path), pytest.raises(LedgerUnusable, match="in use by another"):
        Ledger(path)
    Ledger(path).close()


@pytest.mark.parametrize("content", [b"not a database, but long enough " * 40, b"\0" * 4096])
def test_a_file_that_is_no_ledger_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(LedgerUnusable, match=str(path)):
        Ledger(path)


def test_a_ledger_of_another_format_is_refused(path: Path) -> None:
    Ledger(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 9")
    with pytest.raises(LedgerUnusable, match="format 9"):
        Ledger(path)


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnusable, match="--ledger"):
        Ledger(tmp_path / "none" / "ledger.db")


@st.composite
def _sendings(draw: st.DrawFn) -> list[list[Batch]]:
    """Commits of messages that together carry seq 1 to 12, in any cut, order and repetition."""
    messages = []
    for vehicle in (VEHICLE, "bus-2"):
        for epoch in (EPOCH, "00" * 16):
            for seqs in draw(st.lists(st.sets(st.integers(1, 12), min_size=1), max_size=4)):
                messages.append(batch(sorted(seqs), vehicle=vehicle, epoch=epoch))
            for first in draw(st.lists(st.integers(1, 12), max_size=1)):
                drop = Drop("bulk", first, first + 1, 1, "quota")
                messages.append(batch([], vehicle=vehicle, epoch=epoch, drops=[drop]))
    order = draw(st.lists(st.sampled_from(messages), max_size=20)) if messages else []
    order = draw(st.permutations([*messages, *order]))
    cuts = draw(st.lists(st.integers(0, len(order)), max_size=4))
    edges = sorted({0, *cuts, len(order)})
    return [order[a:b] for a, b in itertools.pairwise(edges)]


@settings(max_examples=60, deadline=None)
@given(_sendings())
def test_any_order_and_repetition_gives_the_same_books(commits: list[list[Batch]]) -> None:
    sent = [one for commit in commits for one in commit]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        with Ledger(path) as ledger:
            found = [ledger.commit(intake(*commit)) for commit in commits]
        booked = books(path)
    want: dict[tuple[str, str], set[int]] = {}
    for one in sent:
        want.setdefault((one.vehicle, one.epoch), set()).update(r.seq for r in one.records)
    assert booked.seqs == {key: seqs for key, seqs in want.items() if seqs}
    assert sum(outcome.records for outcome in found) == sum(map(len, want.values()))
    assert booked.duplicates == sum(len(one.records) for one in sent) - sum(map(len, want.values()))
    assert booked.conflicts == 0
    for key, spans in booked.spans.items():
        assert spans == list(IntervalSet(_carried(sent, key)))


def _carried(sent: Iterable[Batch], key: tuple[str, str]) -> list[tuple[int, int]]:
    mine = [one for one in sent if (one.vehicle, one.epoch) == key]
    records = [(r.seq, r.seq) for one in mine for r in one.records]
    return records + [(d.first, d.last) for one in mine for d in one.drops]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_whatever_decodes_can_be_booked(data: st.DataObject) -> None:
    """A message that decodes but cannot be written would stop everybody's books."""
    body = bytearray(WHOLE_BOOKS)
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = decode(bytes(body))
    except ValueError:
        return
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "l.db") as ledger:
        ledger.commit(intake(found))


def test_the_extremes_can_be_booked(path: Path) -> None:
    most, least = 2**63 - 1, -(2**63)
    record = [most, "s\0", "g", 0, 2**53, "event", {"a": most, "b": least, "\0": "\0"}, {}, None]
    payload = as_json(
        boots=[{"boot": BOOT, "offsets": [[0, -(2**53), "ntp"], [2**53, 2**53, "ntp"]]}],
        drops=[["alarm", 1, most, most, ""]],
        records=[record],
    )
    with Ledger(path) as ledger:
        ledger.commit(intake(decode(payload)))
        ledger.commit(intake(decode(payload)))
        assert ledger.gaps(VEHICLE, EPOCH) == []
    assert rows(path, "SELECT seq, utc_ms FROM record") == [(most, 2**54)]


def test_a_lock_ends_with_its_process(path: Path) -> None:
    code = "import sys; from pathlib import Path; from cloud.ledger import Ledger\n"
    code += (
        f"Ledger(Path({str(path)!r})); sys.stdout.write('x'); sys.stdout.flush(); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert other.stdout is not None
        assert other.stdout.read(1) == b"x"
        with pytest.raises(LedgerUnusable):
            Ledger(path)
    finally:
        other.kill()
        other.communicate()
    Ledger(path).close()

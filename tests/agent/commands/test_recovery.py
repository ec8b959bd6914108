"""After a kill, a power cut or a full disk: what is begun anew, and what never is."""

from __future__ import annotations

import dataclasses
import errno
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from command_rig import Vehicle
from hypothesis import given, settings
from hypothesis import strategies as st
from signing import NOW_S, OPS, TRUST

from agent.commands.gate import Trust
from agent.commands.token import Key
from agent.store import counter_mark, journal_file
from agent.store.journal import Journal


class Killed(BaseException):
    """The process is gone."""


class Disk:
    """A disk that is full from its `at`-th write on, for `calls` writes: marks and commits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at: int | None = None
        self.calls = 0
        self.seen = 0
        write = counter_mark.write

        def full(directory: Path, counters: Mapping[str, int]) -> None:
            self._pass()
            write(directory, counters)

        monkeypatch.setattr(counter_mark, "write", full)
        connect = journal_file.connect

        def watched(directory: Path) -> tuple[sqlite3.Connection, bool]:
            db, anew = connect(directory)
            return Connection(db, self._pass), anew  # type: ignore[return-value]

        monkeypatch.setattr(journal_file, "connect", watched)

    def fills(self, at: int, calls: int) -> None:
        self.at, self.calls, self.seen = at, calls, 0

    def has_room(self) -> None:
        self.at = None

    def _pass(self) -> None:
        self.seen += 1
        if self.at is not None and self.at <= self.seen < self.at + self.calls:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Connection:
    """Of sqlite3; each COMMIT asks the disk, before it is done or, as a lost answer, after it."""

    lost_answer = False

    def __init__(self, db: sqlite3.Connection, ask: Callable[[], None]) -> None:
        self._db, self._ask = db, ask

    def execute(self, sql: str, *values: Any) -> Any:
        if sql != "COMMIT":
            return self._db.execute(sql, *values)
        if self.lost_answer:
            self._db.execute(sql)
            self._ask()
        else:
            self._ask()
            self._db.execute(sql)
        return None

    def close(self) -> None:
        self._db.close()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    yield Disk(monkeypatch)


# A command that is taken writes the row, the counters, the row's new state; then its result and
# that it was told.
@pytest.mark.parametrize("lost_answer", [False, True], ids=["nothing written", "answer lost"])
@pytest.mark.parametrize("calls", [1, 1_000])
@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("op", ["read", "touch"])
def test_what_was_refused_as_not_durable_never_runs_and_may_come_again(
    *, tmp_path: Path, disk: Disk, op: str, at: int, calls: int, lost_answer: bool
) -> None:
    vehicle = Vehicle(tmp_path)
    message = OPS.command(op)
    Connection.lost_answer = lost_answer
    disk.fills(at, calls)
    vehicle.send(message)
    assert vehicle.refused() == {"not_durable": 1} and vehicle.ran() == []
    Connection.lost_answer = False
    disk.has_room()
    vehicle.settle()
    # What is on flash at this moment, as after a cut.
    again = Journal(tmp_path)
    assert again.intended() == [] == again.admitted()
    again.close()
    vehicle.send(message)
    assert vehicle.refused() == {"not_durable": 1}, "it may come again"
    assert len(vehicle.ran()) == 1
    vehicle.send(message)
    assert vehicle.refused() == {"not_durable": 1, "replayed": 1}
    vehicle.close()
    later = Vehicle(tmp_path)
    later.commander.recover()
    later.settle()
    assert len(later.ran()) == 1
    later.close()


@pytest.mark.parametrize("at", [1, 2, 3])
def test_refused_on_a_full_disk_then_ended_it_never_runs(
    tmp_path: Path, disk: Disk, at: int
) -> None:
    """The disk has no room for taking it back either, and the process ends."""
    vehicle = Vehicle(tmp_path)
    message = OPS.command("read")
    disk.fills(at, 1_000)
    vehicle.send(message)
    assert vehicle.refused() == {"not_durable": 1}
    vehicle.close()
    disk.has_room()
    later = Vehicle(tmp_path)
    later.commander.recover()
    later.settle()
    assert later.ran() == []
    later.send(message)
    used_up = at == 3
    assert len(later.ran()) == (0 if used_up else 1)
    # Where its counter was used up, it is answered all the same.
    assert [r["code"] for r in later.replies()] == (["interrupted"] if used_up else [""])
    assert later.refused() == ({"replayed": 1} if used_up else {})
    later.close()


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 6)), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_whatever_the_disk_does_each_runs_at_most_once(
    tmp_path_factory: pytest.TempPathFactory, troubles: list[tuple[int, int]]
) -> None:
    directory = tmp_path_factory.mktemp("disk")
    with pytest.MonkeyPatch.context() as monkeypatch:
        disk = Disk(monkeypatch)
        messages = []
        for at, calls in troubles:
            disk.has_room()
            vehicle = Vehicle(directory)
            vehicle.commander.recover()
            disk.fills(at, calls)
            messages.append(OPS.command())
            for message in messages:
                vehicle.send(message)
            vehicle.close()
        disk.has_room()
        last = Vehicle(directory)
        last.commander.recover()
        last.settle()
        assert len(last.ran()) == len(set(last.ran()))
        assert last.journal.intended() == []
        last.close()


def killed(directory: Path, op: str = "read", **claims: Any) -> None:
    """A life that ends right after the intent of a command."""

    def failpoint(name: str) -> None:
        if name == "intended":
            raise Killed

    vehicle = Vehicle(directory, failpoint=failpoint)
    with pytest.raises(Killed):
        vehicle.send(OPS.command(op, **claims))
    assert vehicle.ran() == []
    vehicle.close()


def with_keys(change: Callable[[Key], Key]) -> Trust:
    return dataclasses.replace(TRUST, keys={kid: change(key) for kid, key in TRUST.keys.items()})


JUDGED_AGAIN: dict[str, tuple[Trust, float | None, str]] = {
    "revoked": (with_keys(lambda k: dataclasses.replace(k, revoked=True)), 20, "revoked_key"),
    "taken out": (dataclasses.replace(TRUST, keys={}), 20, "unknown_key"),
    "of another issuer": (with_keys(lambda k: dataclasses.replace(k, issuer="x")), 20, "issuer"),
    "of another role": (with_keys(lambda k: dataclasses.replace(k, role="clips2")), 20, "role"),
    "role that may not": (dataclasses.replace(TRUST, roles={}), 20, "role"),
    "a second too late": (TRUST, 301, "expired"),
    "a month later": (TRUST, 30 * 86_400, "expired"),
    "just in time": (TRUST, 300, ""),
    "without a clock": (TRUST, None, ""),
}


@pytest.mark.parametrize("name", JUDGED_AGAIN)
def test_what_was_interrupted_is_judged_again(tmp_path: Path, name: str) -> None:
    trust, later_s, code = JUDGED_AGAIN[name]
    killed(tmp_path)
    vehicle = Vehicle(tmp_path, trust=trust)
    vehicle.utc_s = None if later_s is None else NOW_S + later_s
    vehicle.commander.recover()
    vehicle.settle()
    (said,) = vehicle.replies()
    assert (said["state"], said["code"]) == (("unknown", code) if code else ("done", ""))
    assert len(vehicle.ran()) == (0 if code else 1)
    vehicle.close()
    # The verdict is final: the next life has nothing to judge.
    last = Vehicle(tmp_path)
    last.commander.recover()
    last.settle()
    assert last.replies() == [] and len(last.ran()) == (0 if code else 1)
    last.close()


@pytest.mark.parametrize(("later_s", "code"), [(60, ""), (3_600, "expired")])
def test_what_needs_a_clock_waits_for_it(tmp_path: Path, later_s: int, code: str) -> None:
    killed(tmp_path, "look")
    vehicle = Vehicle(tmp_path)
    vehicle.utc_s = None
    vehicle.commander.recover()
    vehicle.settle()
    assert vehicle.replies() == [] == vehicle.ran()
    vehicle.utc_s = NOW_S + later_s
    vehicle.settle()
    (said,) = vehicle.replies()
    assert (said["state"], said["code"]) == (("unknown", code) if code else ("done", ""))
    assert len(vehicle.ran()) == (0 if code else 1)
    vehicle.close()


def test_a_journal_of_the_first_format_is_taken_over(tmp_path: Path) -> None:
    """Its commands have no end of their time: they are not begun anew; counters stay."""
    killed(tmp_path)
    with sqlite3.connect(tmp_path / "commands.db") as db:
        (ctr,) = db.execute("SELECT ctr FROM issuer WHERE name = 'ops'").fetchone()
        db.execute("ALTER TABLE command DROP COLUMN expires_s")
        db.execute("PRAGMA user_version = 1")
    db.close()
    vehicle = Vehicle(tmp_path)
    assert vehicle.journal.counter("ops") == ctr and not vehicle.journal.began_anew
    vehicle.commander.recover()
    vehicle.settle()
    assert [(r["state"], r["code"]) for r in vehicle.replies()] == [("unknown", "interrupted")]
    vehicle.send(OPS.command())
    assert len(vehicle.ran()) == 1
    vehicle.close()

"""A commit that failed and may have happened: applied once, whatever comes before the retry."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from store_samples import BOOT, assert_balanced, delivered, open_outbox, record, settle

from agent.store import engine, schema
from agent.store.reader import OutboxReader
from agent.store.rows import Change, Mark, OutboxFull


class Failing(sqlite3.Connection):
    """A connection whose next COMMIT fails as a failed fsync does: written, and nobody knows.

    `refusal`: the code with which the next INSERT fails.
    """

    armed = False
    refusal = 0

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if Failing.refusal and sql.startswith("INSERT"):
            error = sqlite3.OperationalError("refused")
            error.sqlite_errorcode, Failing.refusal = Failing.refusal, 0
            raise error
        done = super().execute(sql, *values)
        if Failing.armed and sql == "COMMIT":
            Failing.armed = False
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise error
        return done


@pytest.fixture(autouse=True)
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(
        schema.sqlite3, "connect", lambda *a, **k: connect(*a, **{**k, "factory": Failing})
    )
    Failing.armed = False


@pytest.mark.parametrize("between", ["nothing", "another change", "a look at the rows"])
def test_applied_once(between: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = open_outbox(tmp_path)
    outbox.commit(Change([record(0)], BOOT))
    change = Change([record(1), record(2)], BOOT, {"fms": Mark("s", 2)})
    Failing.armed = True
    with monkeypatch.context() as failed:
        # The file cannot be opened again just yet: the question stays open.
        failed.setattr(engine, "read_only", lambda _: True)
        with pytest.raises(OutboxFull):
            outbox.commit(change)
    if between == "another change":
        assert outbox.commit(Change([record(3)], BOOT)).first == 4
    elif between == "a look at the rows":
        settle(outbox)
        outbox._engine.ready()
    done = outbox.commit(change)
    assert (done.first, done.last, done.n) == (2, 3, 2)
    reader = OutboxReader(tmp_path)
    assert len(delivered(reader)) == assert_balanced(reader)["accepted"]
    assert len(delivered(reader)) == (4 if between == "another change" else 3)
    reader.close()
    outbox.close()


def test_an_equal_change_is_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = open_outbox(tmp_path)
    Failing.armed = True
    with monkeypatch.context() as failed:
        failed.setattr(engine, "read_only", lambda _: True)
        with pytest.raises(OutboxFull):
            outbox.commit(Change([record(1)], BOOT))
    assert outbox.commit(Change([record(1)], BOOT)).first == 2
    outbox.close()


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_FULL])
def test_one_failed_write_costs_no_history(code: int, tmp_path: Path) -> None:
    """Room is made only where there is none: not for a bad disk, not for one that is free again."""
    outbox = open_outbox(tmp_path)
    for number in range(50):
        outbox.commit(Change([record(number)], BOOT))
    change = Change([record(50)], BOOT)
    Failing.refusal = code
    with pytest.raises(OutboxFull) as refused:
        outbox.commit(change)
    assert refused.value.no_space is (code == sqlite3.SQLITE_FULL)
    assert outbox.commit(change).dropped == 0
    reader = OutboxReader(tmp_path)
    assert list(delivered(reader).values()) == [record(number) for number in range(51)]
    reader.close()
    outbox.close()

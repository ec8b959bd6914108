"""The journal of commands: what was intended, what came of it, and how far each issuer counted.

A file of its own, not a table of the outbox: that one is moved aside when it is damaged, and its
writer belongs to the pipeline. An intent is on flash before its effect begins. The counters stand
in a second place too, before any effect: where the file is lost, damaged or replaced by an old
copy, no counter is accepted again.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.store import counter_mark, journal_file

KEPT = 500
"""Commands that are over and told; older ones are forgotten, their counters are not."""
_COLUMNS = "cid, issuer, ctr, kid, op, args, purpose, state, code, text, result, told, expires_s"


class JournalRefuses(Exception):
    """The disk did not take it: nothing was written, or it counts as not written."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A command. `state`: admitted, intended, done, failed, refused or unknown; `code` is the
    reason's word. `admitted` is on the way to `intended`, and never runs.

    `told`: its reply is in the outbox. `expires_s`: UTC in s after which it must not begin, 0 where
    an older agent wrote it down without.
    """

    cid: str
    issuer: str
    ctr: int
    kid: str
    op: str
    args: dict[str, Any]
    purpose: str
    state: str = "intended"
    code: str = ""
    text: str = ""
    result: dict[str, Any] | None = None
    told: bool = False
    expires_s: int = 0


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A configuration on trial: the texts before (None: no file) and after, and how long."""

    cid: str
    before: str | None
    after: str
    spent_s: float


class Journal:
    """Used from one thread. `began_anew`: nothing of an earlier journal could be read."""

    def __init__(self, directory: Path) -> None:
        """Raises JournalRefuses where the disk does not let it."""
        self._directory = directory
        self._path = directory / journal_file.FILE
        self._db: sqlite3.Connection | None = None
        self._doubtful: set[str] = set()
        self.began_anew = False
        try:
            directory.mkdir(parents=True, exist_ok=True)
            mark = counter_mark.read(directory)
            self._open()
        except (sqlite3.Error, OSError) as error:
            raise self._refusal(error) from error
        self._counters: dict[str, int] = dict(
            self._open().execute("SELECT name, ctr FROM issuer").fetchall()
        )
        for issuer, ctr in mark.items():
            self._counters[issuer] = max(ctr, self._counters.get(issuer, 0))
        born, self.floor_s = self._open().execute("SELECT born_s, floor_s FROM clock").fetchone()
        self.born_s: int | None = born
        """Commands signed earlier are not accepted; None where no clock was known yet."""
        # Their counter is not used up: they count as never heard of.
        self._doubtful = {e.cid for e in self.admitted() if e.ctr > self.counter(e.issuer)}

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def counter(self, issuer: str) -> int:
        """The last counter seen of an issuer, 0 for none."""
        return self._counters.get(issuer, 0)

    def counters(self) -> dict[str, int]:
        """All of them."""
        return dict(self._counters)

    def begin(self, utc_s: int) -> None:
        """The clock is known for the first time in this file's life. Raises JournalRefuses."""
        if self.born_s is None:
            self._write([("UPDATE clock SET born_s = ? WHERE id = 1", (utc_s,))])
            self.born_s = utc_s

    def intend(self, entry: Entry, issued_s: int) -> None:
        """Write a command down before it runs, or with its refusal; its counter is used up.

        Raises JournalRefuses, and the command must not run then; it may come again.
        """
        floor_s = max(self.floor_s, issued_s)
        counters = {**self._counters, entry.issuer: max(entry.ctr, self.counter(entry.issuer))}
        values = (
            *(entry.cid, entry.issuer, entry.ctr, entry.kid, entry.op, json.dumps(entry.args)),
            *(entry.purpose, "admitted", entry.code, entry.text, json.dumps(entry.result)),
            *(0, entry.expires_s),
        )
        marks = ",".join("?" * len(values))
        try:
            # Two steps: where it cannot be taken back either, what the first leaves never runs.
            self._write([(f"INSERT INTO command ({_COLUMNS}) VALUES ({marks})", values)])
            counter_mark.write(self._directory, counters)
            self._write(
                [
                    ("UPDATE command SET state = ? WHERE cid = ?", (entry.state, entry.cid)),
                    ("INSERT OR REPLACE INTO issuer VALUES (?, ?)", (entry.issuer, entry.ctr)),
                    ("UPDATE clock SET floor_s = ? WHERE id = 1", (floor_s,)),
                    (
                        "DELETE FROM command WHERE told AND state NOT IN ('intended', 'admitted') "
                        "AND id <= (SELECT max(id) FROM command) - ?",
                        (KEPT,),
                    ),
                ]
            )
        except (JournalRefuses, OSError) as error:
            self._doubtful.add(entry.cid)
            self.withdraw()
            raise error if isinstance(error, JournalRefuses) else self._refusal(error) from error
        self._counters, self.floor_s = counters, floor_s

    def withdraw(self) -> None:
        """Take out what was refused as not durable, as soon as the disk lets it."""
        if self._doubtful:
            with suppress(JournalRefuses, OSError):
                self._write([])
                counter_mark.write(self._directory, self._counters)

    def finish(
        self, cid: str, state: str, code: str, text: str, result: dict[str, Any] | None
    ) -> None:
        """Write down what came of a command. Raises JournalRefuses; try again then."""
        self._write(
            [
                (
                    "UPDATE command SET state = ?, code = ?, text = ?, result = ? "
                    "WHERE cid = ? AND state IN ('intended', 'admitted')",
                    (state, code, text, json.dumps(result), cid),
                ),
                ("DELETE FROM trial WHERE cid = ?", (cid,)),
            ]
        )

    def told(self, cids: list[str]) -> None:
        """Their replies are in the outbox. Raises JournalRefuses; they are told again then."""
        self._write([("UPDATE command SET told = 1 WHERE cid = ?", (cid,)) for cid in cids])

    def entry(self, cid: str) -> Entry | None:
        """A command by its id, None where it is unknown or forgotten."""
        found = self._entries("WHERE cid = ?", cid)
        return found[0] if found else None

    def intended(self) -> list[Entry]:
        """What was begun and has no result, in order."""
        return self._entries("WHERE state = 'intended' ORDER BY id")

    def admitted(self) -> list[Entry]:
        """What an earlier life was about to write down, and whose counter may be used up."""
        return self._entries("WHERE state = 'admitted' ORDER BY id")

    def untold(self) -> list[Entry]:
        """What has a result whose reply is not known to be in the outbox, in order."""
        where = "WHERE state NOT IN ('intended', 'admitted') AND NOT told ORDER BY id"
        return self._entries(where)

    def trial(self) -> TrialRow | None:
        """The configuration on trial, None where none is."""
        row = self._read("SELECT cid, before, after, spent_s FROM trial")
        return TrialRow(*row[0]) if row else None

    def begin_trial(self, trial: TrialRow) -> None:
        """Raises JournalRefuses."""
        values = (trial.cid, trial.before, trial.after, trial.spent_s)
        self._write([("INSERT OR REPLACE INTO trial VALUES (1, ?, ?, ?, ?)", values)])

    def spend(self, spent_s: float) -> None:
        """How long the trial has lasted, over all boots. Raises JournalRefuses."""
        self._write([("UPDATE trial SET spent_s = ? WHERE id = 1", (spent_s,))])

    def _entries(self, where: str, *values: object) -> list[Entry]:
        rows = self._read(f"SELECT {_COLUMNS} FROM command {where}", *values)
        return [_entry(row) for row in rows if row[0] not in self._doubtful]

    def _read(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._open().execute(sql, values).fetchall()
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise self._refusal(error) from error

    def _write(self, statements: list[tuple[str, tuple[object, ...]]]) -> None:
        doubtful = sorted(self._doubtful)
        try:
            db = self._open()
            db.execute("BEGIN IMMEDIATE")
            for cid in doubtful:
                db.execute("DELETE FROM command WHERE cid = ?", (cid,))
            for sql, values in statements:
                db.execute(sql, values)
            db.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            # What the file holds is open now: it is read again, and what was refused stays so.
            self.close()
            raise self._refusal(error) from error
        self._doubtful.difference_update(doubtful)

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            self._db, anew = journal_file.connect(self._directory)
            self.began_anew = self.began_anew or anew
        return self._db

    def _refusal(self, error: Exception) -> JournalRefuses:
        return JournalRefuses(f"{self._path}: {error}; check that disk")


def _entry(row: tuple[Any, ...]) -> Entry:
    """From _COLUMNS."""
    cid, issuer, ctr, kid, op, args, purpose, state, code, text, result, told, expires_s = row
    return Entry(
        *(cid, issuer, ctr, kid, op, json.loads(args), purpose, state, code, text),
        result=json.loads(result),
        told=bool(told),
        expires_s=expires_s,
    )

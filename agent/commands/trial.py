"""A change of configuration on trial: it stays only if the cloud application is still heard.

    intent -> trial on flash -> file -> reload -> an ack within 10 minutes -> done
                                              \\-> none: the file as it was, reload -> rolled back

The minutes are counted over kills and reboots, and each start costs some, so that a configuration
with which the agent does not get to its feet is taken back too.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent.alarms import Alarm, of
from agent.commands import settable
from agent.commands.judge import Limits
from agent.commands.operation import DAY_S, Args, Finish, Operation, Outcome
from agent.store.journal import Journal, JournalRefuses, TrialRow
from agent.store.room import sync_directory

log = logging.getLogger("brain.commands")

TRIAL_S = 600.0
START_COSTS_S = 30.0
NOTE_S = 15.0
BACKUP = ".zz-remote.before"
_SILENT = f"nothing was acknowledged within {TRIAL_S:.0f} s"

Reload = Callable[[Callable[[Sequence[str], Sequence[str]], None]], None]
"""Ask for a reload; later told what is wrong with the configuration, nothing where it was taken,
and which of its keys wait for a restart of the agent."""


class ConfigTrial:
    """The operation `config.set`. `acked` and the answer to a reload come from any thread."""

    def __init__(
        self,
        journal: Journal,
        file: Path,
        judge: Callable[[Path, str], Sequence[str]],
        reload: Reload,
        *,
        finish: Callable[[str, Outcome], None],
        interim: Callable[[str, Outcome], None],
        clock: Callable[[], float] = time.monotonic,
        failpoint: Callable[[str], None] = lambda name: None,
    ) -> None:
        """`judge(file, text)`: what would be wrong if the file had that text; may take seconds."""
        self._journal = journal
        self._file = file
        self._judge = judge
        self._reload = reload
        self._finish = finish
        self._interim = interim
        self._clock = clock
        self._failpoint = failpoint
        self._row: TrialRow | None = None
        self._answers: queue.SimpleQueue[tuple[Sequence[str], Sequence[str]]] = queue.SimpleQueue()
        self._applied = self._acked = self._ended = False
        self._at = self._noted_at = clock()
        self._spent_s = 0.0

    def operation(self) -> Operation:
        """As the commander knows it."""
        return Operation(
            *("config.set", settable.check, self.run, Limits(DAY_S)),
            repeatable=True,
            goes_on=lambda cid: self._row is not None and self._row.cid == cid,
        )

    def run(self, cid: str, args: Args, finish: Finish) -> None:
        """Validate, write and apply; the outcome comes with an ack, or with its absence."""
        if self._row is not None:
            if self._row.cid != cid:
                finish(Outcome("refused", "busy", f"{self._row.cid} is on trial"))
            return
        before = self._read()
        after = settable.edited(before or "", args["set"])
        if after == (before or ""):
            finish(Outcome("done", "unchanged", result={"changed": False}))
            return
        problems = self._judge(self._file, after)
        if problems:
            finish(Outcome("failed", "invalid", "; ".join(problems)))
            return
        self._row = TrialRow(cid, before, after, 0.0)
        self._journal.begin_trial(self._row)
        self._failpoint("trial")
        self._apply(self._row)

    def resume(self) -> None:
        """Go on with what an earlier life began; before anything else runs."""
        self._row = self._journal.trial()
        if self._row is None:
            self._ended = True
            return
        self._spent_s = self._row.spent_s + START_COSTS_S
        self._note()
        found = self._read()
        if found not in (self._row.before, self._row.after):
            self._end(Outcome("failed", "overtaken", "somebody changed the file meanwhile"))
        elif found != self._row.after:
            if self._backup.exists():
                # It was taken back at a start with which nothing could begin.
                self._end(Outcome("failed", "rolled_back", "not in force at a start"))
            else:
                self._apply(self._row)
        elif self._spent_s >= TRIAL_S:
            # Now: whoever ends again at once would never come to a `tick`.
            self._roll_back("rolled_back", _SILENT)
        else:
            self._applied = True

    def acked(self) -> None:
        """The cloud application acknowledged something just now."""
        # Whatever was acknowledged before the change was applied proves nothing.
        if self._applied:
            self._acked = True

    def tick(self) -> None:
        """Called a few times a second."""
        now = self._clock()
        elapsed_s, self._at = now - self._at, now
        if self._row is None:
            self._forget()
            return
        while not self._answers.empty():
            problems, waiting = self._answers.get()
            if problems:
                self._roll_back("refused", "; ".join(problems))
                return
            # What is not in force cannot be tried: an ack would prove nothing of it.
            if untried := [key for key in waiting if self._asked_for(key)]:
                text = f"{', '.join(untried)} would take effect at a restart only"
                self._roll_back("needs_restart", text)
                return
            self._applied = True
            text = f"applied; taken back unless something is acknowledged within {TRIAL_S:.0f} s"
            self._interim(self._row.cid, Outcome("trial", "applied", text))
        if self._acked:
            self._end(Outcome("done", "confirmed", result={"changed": True, **self._to_restart()}))
            return
        self._spent_s += elapsed_s
        if self._spent_s >= TRIAL_S:
            self._roll_back("rolled_back", _SILENT)
        elif now - self._noted_at >= NOTE_S:
            self._note()

    def _asked(self) -> Mapping[str, Any]:
        """What the command on trial sets, by dotted key."""
        entry = self._journal.entry(self._row.cid) if self._row is not None else None
        return entry.args.get("set", {}) if entry is not None else {}

    def _asked_for(self, key: str) -> bool:
        """Whether a key is one of those, or in one."""
        try:
            return any(f"{key}.".startswith(f"{asked}.") for asked in self._asked())
        except JournalRefuses:
            return True

    def _to_restart(self) -> dict[str, list[str]]:
        """The drivers that read their changed section at their next start."""
        with suppress(JournalRefuses):
            paths = [key.split(".") for key in self._asked()]
            if names := sorted({path[1] for path in paths if path[0] == "drivers"}):
                return {"restart": names}
        return {}

    @property
    def _backup(self) -> Path:
        return self._file.parent / BACKUP

    def _note(self) -> None:
        self._noted_at = self._clock()
        with suppress(JournalRefuses):
            self._journal.spend(self._spent_s)

    def _apply(self, row: TrialRow) -> None:
        self._applied = self._acked = self._ended = False
        try:
            self._file.parent.mkdir(exist_ok=True)
            replace(self._backup, json.dumps({"before": row.before}))
            replace(self._file, row.after)
        except OSError as error:
            text = f"{self._file}: {error.strerror or error}; this vehicle takes no changes"
            self._end(Outcome("failed", "not_writable", text))
            return
        self._failpoint("written")
        self._reload(lambda problems, waiting: self._answers.put((problems, waiting)))

    def _roll_back(self, code: str, why: str) -> None:
        assert self._row is not None
        text = "the configuration of %s is taken back: %s"
        log.error(text, self._row.cid, why, extra=of(Alarm.CONFIG_ROLLED_BACK))
        try:
            put_back(self._file)
        except OSError as error:
            why = f"{why}; it could not be taken back: {error}"
        self._reload(lambda problems, waiting: None)
        self._end(Outcome("failed", code, why))

    def _end(self, outcome: Outcome) -> None:
        assert self._row is not None
        self._finish(self._row.cid, outcome)
        self._row, self._applied, self._acked, self._spent_s = None, False, False, 0.0
        self._ended = True

    def _forget(self) -> None:
        """Remove the note of the old text, once the journal has the end of the trial."""
        with suppress(OSError, JournalRefuses):
            if self._ended and self._journal.trial() is None:
                self._backup.unlink(missing_ok=True)
                self._ended = False

    def _read(self) -> str | None:
        try:
            return self._file.read_text()
        except FileNotFoundError:
            return None


def put_back(file: Path) -> bool:
    """Give `file` the text that it had before its trial; False where none is on trial.

    The note of it stays: the trial ends where its journal is. Raises OSError.
    """
    try:
        before = json.loads((file.parent / BACKUP).read_text())["before"]
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return False
    if before is None:
        file.unlink(missing_ok=True)
        sync_directory(file.parent)
    else:
        replace(file, str(before))
    return True


def replace(file: Path, text: str) -> None:
    """Atomically and durably: a power cut leaves the old text or the new one. Raises OSError."""
    new = file.with_name(f".{file.name}.new")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    try:
        os.write(fd, text.encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    new.replace(file)
    sync_directory(file.parent)

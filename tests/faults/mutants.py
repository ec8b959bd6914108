"""Do the fault tests see what they are there for? Breaks one line, runs those that must see it.

`python -m tests.faults.mutants [NAME ...]` copies the checkout, makes one change in the copy, and
runs the tests that guard it, with their figures; exit code 0 where each change turned one red. A
change whose text is not found exactly once is an error: the code moved, so must the change.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PARTS = ("agent", "cloud", "config", "drivers", "simulator", "tests", "pyproject.toml")
LIMIT_S = 900


@dataclass(frozen=True)
class Mutant:
    """`old` becomes `new` in `file`; one of `tests` (in tests/faults) must fail for it."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


_CONFIRM = """\
        for source, mark in change.marks.items():
            self._durable(source, mark)
"""
_TRY = """\
        self._change = change
        while not self._committed_durably(change):
"""

MUTANTS = (
    Mutant(
        "durable before the commit",
        "agent/pipeline.py",
        _TRY,
        _TRY.replace("        while", _CONFIRM + "        while"),
        ("test_storm.py::test_killed_while_it_commits",),
    ),
    Mutant(
        "one ack for all",
        "agent/uplink/delivery.py",
        "for known in _common(sent, asked):",
        "for known in sent:",
        ("test_broker_loses.py::test_confirmed_and_lost",),
    ),
    Mutant(
        "an ack covers all before it",
        "agent/uplink/delivery.py",
        "for known in _common(sent, asked):",
        "for known in _common(sent, Range(1, asked.last)):",
        ("test_broker_loses.py::test_confirmed_and_lost",),
    ),
    Mutant(
        "what the broker confirms is delivered",
        "agent/uplink/hearing.py",
        "        self._refusals.confirmed(flight, event.code, now)\n",
        "        self._refusals.confirmed(flight, event.code, now)\n"
        "        self._acked(flight.cargo.epoch, flight.runs)\n",
        ("test_acks.py::test_confirmed_lost_and_killed",),
    ),
    Mutant(
        "what was on its way when the line was cut has arrived",
        "agent/uplink/hearing.py",
        "        self._refusals.lost(event, now)\n",
        "        for flight in list(self._delivery.flights):\n"
        "            self._acked(flight.cargo.epoch, flight.runs)\n"
        "            self._delivery.remove(flight)\n"
        "        self._refusals.lost(event, now)\n",
        ("test_cut_bytes.py",),
    ),
    Mutant(
        "acks are not clamped to what was sent",
        "agent/uplink/delivery.py",
        "for known in _common(sent, asked):",
        "for known in [asked]:",
        ("test_acks.py::test_acks_of_what_was_never_sent",),
    ),
    Mutant(
        "marks are not in the commit",
        "agent/store/transaction.py",
        "            self.state.marks[source] = (mark.stream, mark.upto)\n",
        "",
        ("test_kills.py::test_killed_at_a_failpoint",),
    ),
    Mutant(
        "what a connection brings again is taken again",
        "agent/ingest.py",
        "        if last <= progress.received:\n            return\n",
        "",
        ("test_storm.py::test_connections_that_break",),
    ),
    Mutant(
        "welcome says what was received",
        "agent/ingest.py",
        "peer.queue(Welcome(progress.durable))",
        "peer.queue(Welcome(progress.received))",
        ("test_storm.py::test_connections_that_break",),
    ),
    Mutant(
        "the ring forgets what it sent",
        "agent/link.py",
        "self._ring.rewind(message.upto)",
        "self._ring.rewind(self._ring._cursor - 1)",
        ("test_storm.py::test_some_kills_of_every_part",),
    ),
    Mutant(
        "a part of a row is taken for all of it",
        "agent/store/acknowledging.py",
        "if acked.covers(head.first, head.last):",
        "if True:",
        ("test_acks.py::test_acks_of_a_part_of_a_row",),
    ),
    Mutant(
        "a drop has no account",
        "agent/store/transaction.py",
        "        self.account(Drop(storage_class",
        "        print(Drop(storage_class",
        ("test_disk_full.py",),
    ),
    Mutant(
        "an account counts one too many",
        "agent/store/transaction.py",
        "count = head.last - head.first + 1\n",
        "count = head.last - head.first + 2\n",
        ("test_disk_full.py",),
    ),
    Mutant(
        "the checksum of a row is not looked at",
        "agent/store/rawrow.py",
        "row.crc == checksum(",
        "row.crc != 1 + checksum(",
        ("test_damage.py::test_rows_that_hold_what_others_held",),
    ),
    Mutant(
        "what the disk refused is taken for done",
        "agent/pipeline.py",
        "            return False\n        if self.problem",
        "            return True\n        if self.problem",
        ("test_disk_errors.py::test_fsync_fails_for_ever",),
    ),
    Mutant(
        "after a loss it numbers on in the same epoch",
        "agent/store/opening.py",
        "        tx.state.epochs.append(_next_epoch(tx.state))\n",
        "",
        ("test_damage.py::test_the_log_is_cut_short",),
    ),
    Mutant(
        "what was damaged is not accounted for",
        "agent/store/salvage.py",
        "    _account(tx, lost, live, tx.state.epochs[:-1], salvage.owed)\n",
        "    pass\n",
        ("test_damage.py::test_a_page_of_rows_cannot_be_read",),
    ),
    Mutant(
        "the cloud end acknowledges before it books",
        "cloud/receiver.py",
        "        if self._commit(intake):\n",
        "        self._acknowledge(deliveries, (), ())\n        if self._commit(intake):\n",
        ("test_storm.py::test_the_cloud_end_is_killed_within_a_commit",),
    ),
    Mutant(
        "the cloud end acknowledges the span of a message",
        "cloud/acks.py",
        "return merged([*batch.runs, *((drop.first, drop.last) for drop in batch.drops)])",
        "found = merged([*batch.runs, *((drop.first, drop.last) for drop in batch.drops)])\n"
        "    return [Range(found[0].first, found[-1].last)] if found else []",
        (
            "test_storm.py::test_some_kills_of_every_part",
            "test_broker_loses.py::test_confirmed_and_lost",
        ),
    ),
    Mutant(
        "the cloud end looks for what it knows in whole batches only",
        "cloud/ledger.py",
        "if span.overlaps(first, last):",
        "if span.covers(first, last):",
        ("test_acks.py::test_known_and_new_in_one_batch",),
    ),
    Mutant(
        "one word for all drivers",
        "agent/ingest.py",
        """\
            if peer is not None and peer.progress.stream == mark.stream:
                peer.confirm(mark.upto)
""",
        """\
            for peer in named.values():
                peer.confirm(max(mark.upto, peer.progress.received))
""",
        ("test_storm.py::test_killed_while_it_commits",),
    ),
    Mutant(
        "commits are not forced to disk",
        "agent/store/schema.py",
        "synchronous = FULL",
        "synchronous = NORMAL",
        ("test_storm.py::test_durable_comes_after_the_fsync",),
    ),
    Mutant(
        "a command that was begun is begun again",
        "agent/commands/commander.py",
        "if operation is None or not operation.repeatable or",
        "if operation is None or",
        ("test_killed_orders.py::test_killed_at_each_call_of_the_journal",),
    ),
    Mutant(
        "what was counted waits for the disk",
        "agent/uplink/traffic_file.py",
        "        self._put(slot, 0)\n",
        "",
        ("test_acks.py::test_confirmed_lost_and_killed",),
    ),
    Mutant(
        "the full disk takes alarms first",
        "agent/store/eviction.py",
        "for storage_class in (StorageClass.BULK, StorageClass.HISTORY):",
        "for storage_class in (StorageClass.ALARM, StorageClass.HISTORY):",
        ("test_disk_full.py",),
    ),
)


def broken(mutant: Mutant, text: str) -> str:
    """The text of its file with the change. Raises ValueError where that does not fit any more."""
    if text.count(mutant.old) != 1:
        raise ValueError(
            f"{mutant.name}: {mutant.file} has {mutant.old!r} {text.count(mutant.old)} times, "
            "expected once: the code moved, move the change after it"
        )
    return text.replace(mutant.old, mutant.new)


def seen(mutant: Mutant, checkout: Path) -> str:
    """Run its tests in a copy of `checkout`: who saw it and what, empty where none did."""
    with tempfile.TemporaryDirectory(prefix="brain-") as name:
        copy = Path(name)
        for part in PARTS:
            source = checkout / part
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, copy / part, ignore=ignored)
            else:
                shutil.copy(source, copy / part)
        file = copy / mutant.file
        file.write_text(broken(mutant, file.read_text()))
        argv = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
        argv += [f"tests/faults/{test}" for test in mutant.tests]
        env = {**os.environ, "PYTHONPATH": str(copy), "BRAIN_FAULTS_ALL": "1"}
        env |= {"BRAIN_FAULTS_KILLS": "20", "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "250"}
        try:
            done = subprocess.run(
                argv, cwd=copy, env=env, capture_output=True, text=True, timeout=LIMIT_S
            )
        except subprocess.TimeoutExpired:
            raise ValueError(f"{mutant.name}: its tests take more than {LIMIT_S} s") from None
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    if done.returncode != bool(failed):
        raise ValueError(f"{mutant.name}: no test ran\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return failed[0].removeprefix("FAILED tests/faults/")[:200] if failed else ""


def main() -> int:
    """A line a mutant."""
    parser = argparse.ArgumentParser(description="Breaks the code; fault tests must see it.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="all, where none is given")
    wanted = parser.parse_args().names
    unseen = 0
    for mutant in MUTANTS:
        if wanted and mutant.name not in wanted:
            continue
        began = time.monotonic()
        try:
            seen_by = seen(mutant, CHECKOUT)
        except ValueError as error:
            seen_by = ""
            sys.stdout.write(f"{error}\n")
        unseen += not seen_by
        took_s = time.monotonic() - began
        sys.stdout.write(f"{mutant.name:<50} {took_s:4.0f} s  {seen_by or 'NOT SEEN'}\n")
        sys.stdout.flush()
    return 1 if unseen else 0


if __name__ == "__main__":
    raise SystemExit(main())

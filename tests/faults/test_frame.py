"""The frame itself: the oracle sees what it must see, and the agent passes where nothing fails."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from cloud.schema import open_writer
from tests.faults.mutants import MUTANTS, Mutant, broken
from tests.faults.oracle import judge
from tests.faults.table import table
from tests.faults.world import CHECKOUT, World
from tests.report import Report

LOG = "DEBUG   on flash: epoch e1 to 6"
INSERT = "INSERT INTO record VALUES('v','e1',?,'count','count',?,'b',0,NULL,0,?,'{}',NULL)"


def ledger(path: Path) -> None:
    """Six records, the numbers 1 to 6; the last but one, an event, came before the samples."""
    with closing(open_writer(path)) as db:
        for seq, number in enumerate((5, 1, 2, 3, 4, 6), 1):
            kind = "event" if number == 5 else "sample"
            db.execute(INSERT, (seq, kind, json.dumps({"Vehicle.Test.Count": number})))
        db.execute("INSERT INTO span VALUES('v','e1',1,6)")


def without(*seqs: int) -> Callable[[sqlite3.Connection], None]:
    def remove(db: sqlite3.Connection) -> None:
        for seq in seqs:
            db.execute("DELETE FROM record WHERE seq = ?", (seq,))

    return remove


def valued(seq: int, number: int) -> Callable[[sqlite3.Connection], None]:
    values = json.dumps({"Vehicle.Test.Count": number})
    return lambda db: db.execute("UPDATE record SET vals = ? WHERE seq = ?", (values, seq)) and None


def dropped(first: int, last: int, count: int) -> Callable[[sqlite3.Connection], None]:
    def account(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM record WHERE seq BETWEEN ? AND ?", (first, last))
        row = ("v", "e1", "history", first, last, count, "quota")
        db.execute("INSERT INTO dropped VALUES(?,?,?,?,?,?,?)", row)

    return account


def conflict(db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO conflict VALUES('v','e1',2,'{}',0)")


@pytest.mark.parametrize(
    ("change", "lost", "invented"),
    [
        (without(), 0, 0),
        (dropped(2, 3, 2), 0, 0),
        (without(3), 2, 0),  # a number without its record, and a count without its number
        (dropped(2, 3, 1), 2, 0),
        (valued(6, 7), 1, 1),  # never emitted
        (valued(6, 4), 1, 1),  # came twice
        (valued(3, 6), 1, 2),  # 3 comes after 6, 6 comes twice, 2 is absent
        (conflict, 0, 1),
    ],
)
def test_the_oracle_sees(
    change: Callable[[sqlite3.Connection], None], lost: int, invented: int, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.db"
    ledger(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        change(db)
    found = judge(path, [LOG], {"count": 6})
    assert (found.lost, found.invented) == (lost, invented), found
    assert found.accepted == 6


@pytest.mark.parametrize(
    ("change", "last", "deaths", "lost"),
    [
        (without(), 6, [6], 0),
        (without(), 8, [8], 0),  # 7 and 8 died with the ring
        (without(), 8, [6], 2),  # its next life has them still
        (without(), 8, [3, 8], 0),
        (without(), 9, [8], 1),
        (without(4), 6, [3], 1),  # 3 was the last of its life, but its seq has no record
        (without(3), 6, [6], 2),  # 2 is missing before others that came
        (dropped(3, 3, 1), 6, [6], 0),
        (dropped(3, 3, 2), 6, [6], 0),
    ],
)
def test_what_dies_with_a_driver(
    change: Callable[[sqlite3.Connection], None],
    last: int,
    deaths: list[int],
    lost: int,
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger.db"
    ledger(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        change(db)
    found = judge(path, [LOG], {"count": last}, {"count": deaths})
    assert found.lost == lost, found


def test_an_account_excuses_no_more_than_it_has_numbers(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        dropped(2, 3, 3)(db)
    found = judge(path, [LOG], {"count": 7})
    assert (found.lost, found.invented) == (1, 1), found


def test_what_is_on_flash_and_unheard_of_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger(path)
    assert judge(path, [LOG.replace("to 6", "to 8")], {}).lost == 2
    assert judge(path, [LOG], {"count": 8}).lost == 2, "a number that no ring and no row holds"


@pytest.mark.fault("A0", "nothing fails: the control", slice=True)
def test_nothing_fails(world: World) -> None:
    world.dial()
    world.start()
    world.feed()
    world.accepts(30)
    found = world.settle(calls=0)
    assert found.accepted >= 30 and found.dropped == 0
    assert not world.alarms("")


def test_the_table() -> None:
    faults = [
        {"id": "A10", "what": "stopped", "runs": 1, "accepted": 1200, "verdict": "passed"},
        {"id": "A2", "what": "killed", "runs": None, "verdict": "not run"},
    ]
    lines = table(faults).splitlines()
    assert lines[2].startswith("| A2 | killed |  |") and lines[2].endswith("| not run |")
    assert lines[3].startswith("| A10 | stopped | 1 | 1,200 |")


def test_the_report_has_these_columns_and_no_other(tmp_path: Path) -> None:
    report = Report("faults", plain=True)
    report.enter("A10", "stopped", {"accepted": 5, "heal_ms": 7, "remark": 1}, "passed")
    report.enter("A2", "killed", {}, "not run", "strace is missing")
    report.enter("A10", "stopped", {"runs": 2, "accepted": 1, "heal_ms": 3}, "failed")
    report.write(tmp_path / "report.json")
    written = json.loads((tmp_path / "report.json").read_text())
    assert list(written) == ["faults"]
    killed, stopped = written["faults"]
    assert killed == {
        "id": "A2",
        "what": "killed",
        **dict.fromkeys(("runs", "accepted", "delivered", "dropped", "lost", "invented")),
        "heal_ms": None,
        "verdict": "not run",
    }
    assert list(stopped) == list(killed)
    assert (stopped["runs"], stopped["accepted"], stopped["heal_ms"]) == (3, 6, 7)
    assert stopped["verdict"] == "failed"
    assert any("strace is missing" in line for line in report.lines())


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_changes_that_tests_must_see_still_fit(mutant: Mutant) -> None:
    """`python -m tests.faults.mutants` makes them and runs the tests; here only whether it can."""
    assert broken(mutant, (CHECKOUT / mutant.file).read_text())
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}" in (CHECKOUT / "tests/faults" / file).read_text()

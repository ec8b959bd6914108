"""`brain outbox` and `brain audit` over a real outbox that nobody has open."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from agent.record import Kind, Record, StorageClass
from agent.store.outbox import Outbox
from agent.store.rows import Change

from .conftest import Brain


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    outbox = Outbox.open(folder, quota_bytes=dict.fromkeys(StorageClass, 1 << 20))
    records = [Record("gnss", 1000 + i, {"Vehicle.Speed": i * 1.5}) for i in range(5)]
    records.append(Record("gnss", 2000, {"Vehicle.Bus.Event.X": True}, kind=Kind.EVENT))
    outbox.commit(Change(records=records, boot="ab" * 16))
    outbox.close()
    return folder


def test_audit_reads_the_outbox_where_nothing_runs(
    brain: Brain, state_dir: Path, run_dir: Path
) -> None:
    done = brain("audit", "--state-dir", state_dir, "--run-dir", run_dir)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("accepted 6 = acknowledged 0 + queued 6 + dropped 0 ; gaps 0")
    books = brain("audit", "--json", "--state-dir", state_dir, "--run-dir", run_dir).json
    assert (books["accepted"], books["queued"], books["balanced"]) == (6, 6, True)


def test_stats_query_export_and_verify(
    brain: Brain, state_dir: Path, run_dir: Path, tmp_path: Path
) -> None:
    where = ["--state-dir", state_dir, "--run-dir", run_dir]
    assert brain("outbox", "stats", "--json", *where).json["classes"]["history"]["queued"] == 5
    assert "history  5" in brain("outbox", "stats", *where).out
    sql = "SELECT class, count(*) AS n FROM record GROUP BY class ORDER BY class"
    assert brain("outbox", "query", sql, *where).out.splitlines() == [
        "class    n",
        "alarm    1",
        "history  5",
    ]
    done = brain("outbox", "query", sql, "--json", *where)
    assert done.out == '{"class":"alarm","n":1}\n{"class":"history","n":5}\n'
    done = brain("outbox", "query", "SELECT x FROM record", *where)
    assert done.code == 2
    assert "no such column" in done.err and done.err.count("\n") == 1
    target = tmp_path / "out.db"
    assert brain("outbox", "export", "--sqlite", target, *where).out == f"6 records in {target}\n"
    with sqlite3.connect(target) as db:
        assert db.execute("SELECT count(*) FROM record").fetchone() == (6,)
    done = brain("outbox", "export", "--sqlite", target, *where)
    assert (done.code, done.err) == (2, f"{target} exists; expected the name of a new file\n")
    done = brain("outbox", "export", "--sqlite", tmp_path / "no" / "x.db", *where)
    assert done.code == 2 and "there is no folder" in done.err
    assert brain("outbox", "verify", *where).code == 0
    assert brain("outbox", "verify", "--json", *where).json["sound"] is True


def test_damage_is_one_line(brain: Brain, state_dir: Path, run_dir: Path) -> None:
    where = ["--state-dir", state_dir, "--run-dir", run_dir]
    for file in state_dir.glob("outbox.db-*"):
        file.unlink()
    (state_dir / "outbox.db").write_bytes(b"no database" * 1000)
    for words in (["audit"], ["outbox", "stats"], ["outbox", "query", "SELECT 1"]):
        done = brain(*words, *where)
        assert done.code == 1
        assert f"the outbox in {state_dir} cannot be read" in done.err
        assert done.err.count("\n") == 1
    done = brain("outbox", "verify", *where)
    assert done.code == 1 and "internal" not in done.err


@pytest.mark.parametrize("words", [["audit"], ["outbox", "verify"], ["outbox", "stats"]])
def test_where_there_is_no_outbox(brain: Brain, run_dir: Path, words: list[str]) -> None:
    done = brain(*words, "--run-dir", run_dir)
    assert done.code == 3
    assert f"there is no outbox in {run_dir}/state" in done.err
    assert done.err.count("\n") == 1

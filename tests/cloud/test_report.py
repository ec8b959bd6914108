"""What people and scripts read from a ledger."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cloud_payloads import BOOT, EPOCH, NOTHING, SPEED, VEHICLE, as_json, batch, intake

from cloud.__main__ import main
from cloud.alarms import KIND, TEXT
from cloud.batch import Batch, Drop, Offset, Record, Scalar
from cloud.decoder import decode
from cloud.intake import Intake, Received, Rejection
from cloud.intervals import Range
from cloud.ledger import Ledger
from cloud.report import report


def test_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        drops = [Drop("history", 8, 9, 2, "quota")]
        said = [replace(batch([3]), thinned=(Drop("history", 4, 7, n, "thinned"),)) for n in (2, 3)]
        ledger.commit(intake(batch([2, 3, 9], drops=drops), said[0]))
        ledger.commit(intake(said[1]))
        ledger.commit(intake(decode(as_json(vehicle="bus-2"))))
        refused = Rejection(Received("t", b"abc", 1, 1), "why")
        ledger.commit(Intake(rejections=[refused], messages=1, nbytes=3))
        assert main(["report", "--ledger", str(path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["vehicles"][VEHICLE] == {
        "online": None,
        "since_utc_ms": None,
        "epochs": {
            EPOCH: {
                "first": 2,
                "last": 9,
                "records": 3,
                "gaps": [[1, 1], [4, 7]],
                "absent": [],
                "dropped": 2,
                "dropped_but_delivered": 1,
                "thinned_ahead": [{"class": "history", "first": 4, "last": 7, "count": 3}],
                "drops": [
                    {"class": "history", "first": 8, "last": 9, "count": 2, "reason": "quota"}
                ],
            }
        },
        "duplicates_received": 2,
        "conflicts": 0,
        "alarms": [],
        "signals": {SPEED: {"count": 3, "min": 2.0, "max": 9.0, "last": 9.0}},
        "files": [],
    }
    assert found["vehicles"]["bus-2"]["signals"] == {
        "a": {"count": 1, "min": 1.5, "max": 1.5, "last": 1.5},
        "b": {"count": 1, "min": True, "max": True, "last": True},
        "n": {"count": 1, "min": 3, "max": 3, "last": 3},
        "t": {"count": 1, "min": None, "max": None, "last": "x"},
    }
    assert found["counters"]["rejected"] == 1
    assert found["rejected"] == [{"topic": "t", "reason": "why", "bytes": 3}]


def test_last_is_what_was_captured_last(tmp_path: Path) -> None:
    """Newer by date, though it came first, has a lower seq and a lower boot time."""

    def one(seq: int, boot: str, at: int, offset: int, value: float) -> Batch:
        record = Record(seq, "s", "g", "sample", boot, at, {SPEED: value}, NOTHING, None)
        table = [Offset(0, offset, "gnss")]
        return Batch(VEHICLE, EPOCH, {boot: table}, [], [record], [Range(seq, seq)])

    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        ledger.commit(intake(one(1, BOOT, 5, 9_000, 1.0)))
        ledger.commit(intake(one(2, "ee" * 16, 70, 1_000, 2.0)))
    assert report(path)["vehicles"][VEHICLE]["signals"][SPEED]["last"] == 1.0


@pytest.mark.parametrize("content", [None, b"", b"junk" * 200])
def test_what_is_no_ledger_is_one_clear_line(
    tmp_path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "ledger.db"
    if content is not None:
        path.write_bytes(content)
    assert main(["report", "--ledger", str(path)]) == 2
    assert len(caplog.records) == 1
    assert str(path) in caplog.records[0].message
    assert not path.exists() or path.read_bytes() == content


def test_the_alarms_of_a_vehicle_the_newest_first(tmp_path: Path) -> None:
    """Events of drivers are none, and neither are samples of the agent; without a date: first."""

    def said(seq: int, boot: str, kind: str, source: str = "brain") -> Batch:
        told: dict[str, Scalar] = {KIND: kind, TEXT: f"what {kind} is"} if kind else {SPEED: 1.0}
        record = Record(seq, source, "g", "event", boot, 100 * seq, told, NOTHING, None)
        table = [Offset(0, 5_000, "gnss")] if boot == BOOT else []
        return Batch(VEHICLE, EPOCH, {boot: table}, [], [record], [Range(seq, seq)])

    path = tmp_path / "ledger.db"
    undated = "9" * 32
    with Ledger(path) as ledger:
        ledger.commit(intake(said(1, BOOT, "uplink_denied"), said(2, BOOT, "outbox_damaged")))
        ledger.commit(intake(said(3, BOOT, ""), said(4, BOOT, "not ours", "doors")))
        ledger.commit(intake(said(5, undated, "stalled")))
    found = report(path)["vehicles"][VEHICLE]["alarms"]
    assert [(one["kind"], one["utc_ms"]) for one in found] == [
        ("stalled", None),
        ("outbox_damaged", 5_200),
        ("uplink_denied", 5_100),
    ]
    assert found[1]["text"] == "what outbox_damaged is" and found[1]["seq"] == 2

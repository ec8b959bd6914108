"""What a vehicle has deleted as acknowledged and a ledger does not have: known to the number."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from cloud_payloads import EPOCH, VEHICLE, as_json, batch, intake
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.batch import INT64_MAX, Drop
from cloud.decoder import decode
from cloud.ledger import Ledger
from cloud.report import report

KEY = (VEHICLE, EPOCH)


@pytest.mark.parametrize(
    ("seqs", "settled", "want"),
    [
        ([1, 2, 3], 0, []),  # nothing was said: a gap may still be filled
        ([1, 2, 9], 0, []),
        ([1, 2, 9], 2, []),
        ([1, 2, 9], 5, [(3, 5)]),
        ([1, 2, 9], 8, [(3, 8)]),
        ([1, 2], 7, [(3, 7)]),
        ([4, 6], 6, [(1, 3), (5, 5)]),
        ([4, 6], INT64_MAX, [(1, 3), (5, 5), (7, INT64_MAX)]),
    ],
)
def test_absent(tmp_path: Path, seqs: list[int], settled: int, want: list[tuple[int, int]]) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger:
        outcome = ledger.commit(intake(replace(batch(seqs), settled=settled)))
    assert outcome.absent == ({KEY: want} if want else {})
    epoch = report(tmp_path / "ledger.db")["vehicles"][VEHICLE]["epochs"][EPOCH]
    assert epoch["absent"] == want


def test_a_drop_is_not_absent_and_what_comes_late_is_neither(tmp_path: Path) -> None:
    told = replace(batch([9], drops=[Drop("history", 1, 4, 4, "quota")]), settled=8)
    with Ledger(tmp_path / "ledger.db") as ledger:
        assert ledger.commit(intake(told)).absent == {KEY: [(5, 8)]}
        assert ledger.commit(intake(replace(batch([5, 6]), settled=3))).absent == {KEY: [(7, 8)]}
        assert ledger.commit(intake(batch([7, 8]))).absent == {}
    epoch = report(tmp_path / "ledger.db")["vehicles"][VEHICLE]["epochs"][EPOCH]
    assert epoch["absent"] == []


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(1, 40), min_size=1), st.integers(0, 50))
def test_all_up_to_what_was_said_is_booked_or_absent(seqs: set[int], settled: int) -> None:
    with tempfile.TemporaryDirectory() as name, Ledger(Path(name) / "ledger.db") as ledger:
        found = ledger.commit(intake(replace(batch(sorted(seqs)), settled=settled))).absent
    gone = {seq for first, last in found.get(KEY, ()) for seq in range(first, last + 1)}
    assert gone == set(range(1, settled + 1)) - seqs


@pytest.mark.parametrize("wrong", [-1, INT64_MAX + 1, "5", None, 1.5])
def test_a_number_that_is_none_is_refused(wrong: object) -> None:
    assert decode(as_json(settled=5)).settled == 5
    with pytest.raises(ValueError, match=r"settled|telemetry message"):
        decode(as_json(settled=wrong))

"""The supervision table: one late loop is enough to stop feeding the watchdog."""

from __future__ import annotations

from agent.health import AGENT, Supervision, self_report
from agent.record import Kind


def test_only_the_late_loop_is_late() -> None:
    now = [100.0]
    table = Supervision(lambda: now[0])
    first, second = table.loop("ingest", 5), table.loop("uplink", 30)
    now[0] += 5
    assert table.late() == {}
    now[0] += 1
    second()
    assert table.late() == {"ingest": 6}
    first()
    assert table.late() == {}
    for _ in range(7):
        now[0] += 4.5
        late = set(table.late())
    assert late == {"ingest", "uplink"}
    table.leave("ingest")
    assert set(table.late()) == {"uplink"}


def test_time_in_which_the_process_was_stopped_is_no_loops_fault() -> None:
    now = [100.0]
    table = Supervision(lambda: now[0])
    table.loop("ingest", 15)
    assert table.late() == {}
    now[0] += 3_600
    assert table.late() == {}
    for _ in range(4):
        now[0] += 4.5
        late = table.late()
    assert set(late) == {"ingest"}, "one that hangs after that is late all the same"


def test_the_self_report_states_declared_signals_only() -> None:
    drivers = {"gnss": {"lost_samples": 2, "lost_important": 1}, "fms": {"lost_samples": 4}}
    record = self_report(5, 61.5, 1234, drivers)
    assert record.kind is Kind.STATUS
    assert set(record.values) == {signal.path for signal in AGENT.signals}
    assert record.values["Vehicle.Bus.Agent.RingDropped"] == 7
    assert record.values["Vehicle.Bus.Agent.Uptime"] == 61

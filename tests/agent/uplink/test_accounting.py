"""The uplink's bytes through a real broker: counted, kept, and what the budget stops."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from uplink_rig import Box, Broker, FarEnd, alarm, embedded, samples, until

from agent.record import StorageClass
from agent.uplink.accounting import MQTT_BYTES, Accounting
from agent.uplink.budget import MB, BudgetConfig
from agent.uplink.plan import Priority
from agent.uplink.traffic import Traffic
from agent.uplink.traffic_file import load
from agent.uplink.wire import Wire

NOW = 1_800_000_000_000
WIFI = "wlan0"


def accounting(directory: Path, interface: str = "wwan0", **budget: Any) -> Accounting:
    directory.mkdir(exist_ok=True)
    config = BudgetConfig(**{"unmetered": (WIFI,), **budget})
    return Accounting(config, directory, lambda: NOW, Wire(lambda address: interface))


def books(box: Box) -> dict[str, Any]:
    return dict(box.uplink.budget())


@contextlib.contextmanager
def running(
    directory: Path, broker: Broker, counts: Accounting, before: int = 0, **settings: Any
) -> Iterator[tuple[Box, FarEnd]]:
    far = FarEnd(broker.port)
    far.start()
    box = Box(directory, broker.port, accounting=counts, **settings)
    try:
        if before:
            for first in range(1, before + 1, 50):
                box.commit(*samples(first, 50))
        box.uplink.start()
        box.until(lambda: box.uplink.state() == "up", "the uplink is up")
        yield box, far
    finally:
        box.close()
        far.stop()


def test_bytes_are_counted_per_class_and_kept(tmp_path: Path) -> None:
    with embedded(tmp_path) as broker:
        with running(tmp_path, broker, accounting(tmp_path / "kept")) as (box, _):
            box.commit(*samples(1, 500))
            box.commit(alarm(9_000))
            box.until_empty()
            box.until(lambda: books(box)["metered"]["history"] > 0, "history is counted")
            box.until(lambda: books(box)["metered"]["alarm"] > 0, "alarms are counted")
            sent = int(str(box.uplink.status()["sent_bytes"]))
            shown = books(box)
        metered = shown["metered"]
        assert metered["live"] + metered["history"] + metered["alarm"] >= sent
        assert metered["overhead"] > 500  # connect, acks, headers
        assert metered["total"] == sum(metered.values()) - metered["total"]
        assert shown["month"] == "2027-01" and list(shown["days"]) == ["2027-01-15"]
        assert shown["step"] == "none" and shown["spent_percent"] is None
        kept = load(tmp_path / "kept")[1]
        assert Traffic(kept).spent() >= metered["total"]
        with running(tmp_path, broker, accounting(tmp_path / "kept")) as (box, _):
            assert books(box)["metered"]["total"] >= Traffic(kept).spent()


def spend(directory: Path, mb: float) -> None:
    """An earlier life spent so much of this month."""
    one = accounting(directory)
    one.start()
    one._traffic.add("history", round(mb * MB), metered=True, utc_ms=NOW)
    one.stop()


def test_when_the_budget_is_spent_only_alarms_go_and_nothing_is_lost(tmp_path: Path) -> None:
    spend(tmp_path / "kept", 11)
    with embedded(tmp_path) as broker:
        counts = accounting(tmp_path / "kept", monthly_mb=10)
        with running(tmp_path, broker, counts, before=200) as (box, far):
            box.commit(alarm(9_000))
            box.until(lambda: 201 in far.seqs, "the alarm arrives")
            box.commit(alarm(9_001))
            box.until(lambda: 202 in far.seqs, "the next alarm arrives")
            box.until(lambda: box.queued == 200, "the alarms are acknowledged")
            assert sorted(far.seqs) == [201, 202] and box.dropped == 0
            assert books(box)["step"] == "spent"
        # The same box in the depot: no limits, and nothing of it counts against the budget.
        counts = accounting(tmp_path / "kept", WIFI, monthly_mb=10)
        with running(tmp_path, broker, counts) as (box, far):
            box.until_empty()
            box.until(lambda: books(box)["unmetered"]["total"] > 1_000, "Wi-Fi is counted apart")
            assert books(box)["link"] == {"interface": WIFI, "metered": False}
            assert set(far.seqs) >= set(range(1, 201))


def test_at_the_last_step_one_newest_row_goes_now_and_then(tmp_path: Path) -> None:
    spend(tmp_path / "kept", 9.7)
    with embedded(tmp_path) as broker:
        counts = accounting(tmp_path / "kept", monthly_mb=10)
        with running(tmp_path, broker, counts, before=500) as (box, far):
            box.until(lambda: far.seqs, "the newest row arrives")
            box.commit(*samples(501, 50))
            box.commit(alarm(9_000))
            box.until(lambda: 551 in far.seqs, "an alarm arrives")
            # 300 s for the next one; the alarm was later than the samples and came before them.
            assert sorted(far.seqs) == [*range(451, 501), 551]
            assert books(box)["step"] == "alarms"


def test_a_step_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    spend(tmp_path / "kept", 7.5999)
    with embedded(tmp_path) as broker:
        counts = accounting(tmp_path / "kept", monthly_mb=10)
        with running(tmp_path, broker, counts, linger_s=0.0) as (box, _):
            box.commit(*samples(1, 200))
            box.until(lambda: books(box)["step"] == "slow", "the step is reached")
    said = [r.getMessage() for r in caplog.records if r.getMessage().startswith("budget")]
    assert said == [
        "budget: 7.6 of 10 MB of this month are spent: "
        "samples wait longer for company, fewer live positions"
    ]


def test_what_a_cut_connection_did_not_send_is_not_counted_to_a_class(tmp_path: Path) -> None:
    counts = accounting(tmp_path)
    counts.handed(Priority.HISTORY, 50_000)
    counts.connected()
    assert counts.status()["metered"]["total"] == 0  # type: ignore[index]


KILLED = """
import os, signal, sys
from pathlib import Path
from agent.record import StorageClass
from agent.uplink.accounting import Accounting
from agent.uplink.budget import BudgetConfig
from agent.uplink.plan import Priority
counts = Accounting(BudgetConfig(), Path(sys.argv[1]), lambda: 1_800_000_000_000)
counts.start()
counts.wire.add(10_000, 500)
counts.look(at_once=True)
counts.handed(Priority.HISTORY, 2_000)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_between_handing_over_and_seeing_it_on_the_wire(tmp_path: Path) -> None:
    """Nobody can tell what still went: it counts as sent, so the budget is never overrun unseen."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    spent = accounting(tmp_path).status()["spent_bytes"]
    assert spent == 10_500 + 2_000 + MQTT_BYTES


def test_attempts_that_fail_are_counted_too(tmp_path: Path) -> None:
    """Something that is no broker: it takes the connection and says nothing of use."""
    counts = accounting(tmp_path / "kept")
    with socket.create_server(("127.0.0.1", 0)) as server:
        box = Box(tmp_path, server.getsockname()[1], accounting=counts)
        try:
            box.uplink.start()
            far, _ = server.accept()
            assert far.recv(100)
            far.close()
            until(lambda: books(box)["metered"]["overhead"] > 150, "the attempt is counted")
        finally:
            box.close()


def test_without_a_clock_it_counts_all_the_same(tmp_path: Path) -> None:
    counts = Accounting(BudgetConfig(monthly_mb=1), tmp_path)
    counts.wire.add(960_000, 0)
    counts.look(at_once=True)
    shown = counts.status()
    assert (shown["month"], shown["forecast_bytes"]) == (None, None)
    assert shown["step"] == "alarms" and shown["spent_bytes"] == 960_000


def test_what_is_handed_over_is_as_good_as_spent(tmp_path: Path) -> None:
    """On a quick link a month's rest goes out between two looks at the wire."""
    counts = Accounting(BudgetConfig(monthly_mb=1, reserve_percent=0), tmp_path)
    assert counts.budget(1.0).allows(StorageClass.BULK)
    counts.handed(Priority.BULK, 960_000)
    assert not counts.budget(1.0).allows(StorageClass.BULK)
    counts.connected()
    assert counts.budget(1.0).allows(StorageClass.BULK), "it was never sent"

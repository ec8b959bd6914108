"""A budget on real links: what it counts is what the wire carried, what it stops and what not.

A broker (mosquitto), a cloud end, an agent; the vehicle has two interfaces of its own.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from simulator.processes import Process
from tests.faults.injection import NotHere
from tests.faults.two_ways import TwoWays, two_ways
from tests.hil.files_rig import Rig, running

SPENT = """monthly_mb = 1
reserve_percent = 0
slow_percent = 20
newest_percent = 30
alarms_percent = 30
"""
LIMIT_BYTES = 300_000
OVER_BYTES = 120_000
"""What may be under way when the limit is reached, and what alarms cost while this looks on."""


@pytest.fixture
def world() -> Iterator[TwoWays]:
    with tempfile.TemporaryDirectory(prefix="brain-") as name:
        try:
            with two_ways(Path(name)) as made:
                yield made
        except NotHere as missing:
            pytest.skip(str(missing))


def test_what_is_counted_is_what_the_interface_carried(world: TwoWays) -> None:
    """Small messages, large ones, an outage and a change of the interface: within 2 %."""
    world.plug("wwan0")
    world.dial()
    world.start()
    feeder = world.feed(rate=50)
    world.until(lambda: world.delivered() >= 200, "small messages")
    feeder.tell("pad 2000")
    world.until(lambda: world.delivered() >= 500, "large ones", 60)
    world.offline()
    world.accepts(50)
    feeder.tell("pad 0")
    world.dial()
    world.until(lambda: world.delivered() >= 700, "it is back", 60)
    world.plug("wlan0")
    world.until(lambda: world.answer("budget")["link"]["interface"] == "wlan0", "another way")
    feeder.tell("pad 2000")
    delivered = world.delivered()
    world.until(lambda: world.delivered() >= delivered + 200, "by the other way", 60)
    world.settle()
    carried = sum(world.passed(name).nbytes for name in ("wwan0", "wlan0"))
    # The last answers of TCP come a moment later.
    world.until(lambda: _apart(world, carried) < 0.02, f"{carried} bytes, within 2 %", 5)
    counted = world.answer("budget")
    print(f"{counted['spent_bytes']:,} counted, {carried:,} carried")  # noqa: T201
    assert carried > 500_000
    assert counted["metered"]["total"] == counted["spent_bytes"]
    assert counted["unmetered"]["total"] == 0


def _apart(world: TwoWays, carried: int) -> float:
    return abs(world.answer("budget")["spent_bytes"] / carried - 1)


def samples_and_events(ledger: Path, source: str = "count") -> tuple[int, int]:
    """Delivered samples and events of a source."""
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as db:
        query = "SELECT kind, count(*) FROM record WHERE source = ? GROUP BY kind"
        counts = dict(db.execute(query, (source,)).fetchall())
    return counts.get("sample", 0), counts.get("event", 0)


def test_the_depots_wifi_lifts_the_limits(world: TwoWays) -> None:
    """The SIM card's month is spent: samples wait, alarms go. By Wi-Fi all goes, uncounted."""
    world.configure(budget=SPENT, budget__unmetered='interfaces = ["wlan0"]\n')
    world.plug("wwan0")
    world.dial()
    world.start()
    feeder = world.feed(rate=100)
    feeder.tell("pad 1000")
    world.until(lambda: world.answer("budget").get("step") == "alarms", "the limit is reached", 60)
    feeder.tell("pad 0")
    feeder.tell("rate 30")
    world.until(lambda: world.delivered() > 0, "something was delivered")
    first, _ = samples_and_events(world.ledger)
    begun = feeder.emitted()
    world.until(lambda: feeder.emitted() >= begun + 300, "10 s pass", 60)
    world.until(
        lambda: _events_after(world, begun) >= 25, "the alarms of this time are delivered", 60
    )
    samples, _ = samples_and_events(world.ledger)
    # What was under way, and one row with a position.
    assert samples - first <= 60, f"{samples - first} samples went after the limit"
    spent = world.answer("budget")
    assert LIMIT_BYTES <= spent["spent_bytes"] <= LIMIT_BYTES + OVER_BYTES
    assert spent["waits"] and spent["link"] == {"interface": "wwan0", "metered": True}
    assert len([line for line in world.log().splitlines() if "budget: " in line]) <= 4
    assert world.answer("audit")["queued"] >= 200

    began = time.monotonic()
    world.plug("wlan0")
    world.until(lambda: not world.answer("budget")["link"]["metered"], "another way", 60)
    metered = world.answer("budget")["spent_bytes"]
    world.until(lambda: world.answer("audit")["queued"] < 50, "all that waited goes", 60)
    world.settle(healed_at=began)
    lifted = world.answer("budget")
    assert lifted["link"] == {"interface": "wlan0", "metered": False} and not lifted["waits"]
    assert lifted["unmetered"]["history"] > 1_000
    assert lifted["spent_bytes"] - metered < 500, "what went by Wi-Fi costs nothing"


def _events_after(world: TwoWays, number: int) -> int:
    with closing(sqlite3.connect(f"file:{world.ledger}?mode=ro", uri=True)) as db:
        query = (
            "SELECT count(*) FROM record WHERE kind = 'event' AND source = 'count' "
            "AND json_extract(vals, '$.\"Vehicle.Test.Count\"') > ?"
        )
        return int(db.execute(query, (number,)).fetchone()[0])


def use_mosquitto(rig: Rig) -> None:
    """Debian's broker instead of the embedded one."""
    found = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if found is None:
        pytest.skip("not run: mosquitto is missing: apt install mosquitto")
    config = rig.directory / "mosquitto.conf"
    config.write_text(f"listener {rig.broker_port} 127.0.0.1\nallow_anonymous true\nuser root\n")
    argv = [found, "-c", str(config)]
    rig.broker = Process("mosquitto", argv, rig.directory / "broker.log")


def test_a_spent_budget_stops_a_file_and_samples_and_no_alarm(run_dir: Path) -> None:
    """A file of 1 MB, of which the budget has room for a part; then the limits are taken away."""
    with running(run_dir, budget=SPENT, before=use_mosquitto) as rig:
        rig.order("clip.mp4", 1_000_000)
        rig.wait("the limit is reached", lambda: rig.budget().get("step") == "alarms")
        stopped = len(rig.link.chunks)
        assert stopped > 0 and not rig.whole(rig.ordered["clip.mp4"])
        first, alarms = samples_and_events(rig.ledger, "filer")
        rig.wait("alarms go on", lambda: samples_and_events(rig.ledger, "filer")[1] >= alarms + 15)
        samples, _ = samples_and_events(rig.ledger, "filer")
        assert len(rig.link.chunks) <= stopped + 1, "chunks went after the limit"
        assert samples - first <= 20, f"{samples - first} samples went after the limit"
        late = rig.latencies_s("alarms")[-1]
        assert late < 5.0, "an alarm waited"
        shown = rig.budget()
        assert LIMIT_BYTES <= shown["spent_bytes"] <= LIMIT_BYTES + OVER_BYTES
        assert shown["metered"]["bulk"] > LIMIT_BYTES / 2
        assert rig.audit()["by_class"]["history"]["queued"] >= 40
        rig.configure(budget="monthly_mb = 0\n")
        rig.reload()
        rig.wait_whole(rig.ordered["clip.mp4"])
        rig.wait("the box has forgotten it", rig.settled)
        audit = rig.audit()
        assert audit["balanced"] and audit["dropped"] == 0

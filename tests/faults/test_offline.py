"""Offline for longer than the quota lasts: history is thinned, accounted for, and arrives."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing

import pytest

from tests.faults.feeder import COUNT
from tests.faults.world import World


def said_ahead(world: World) -> int:
    """How many thinned records the far end was told of before their accounts came."""
    with closing(sqlite3.connect(f"file:{world.ledger}?mode=ro", uri=True)) as db:
        (count,) = db.execute("SELECT coalesce(sum(count), 0) FROM thinned").fetchone()
    return int(count)


@pytest.mark.fault("G1", "offline for longer than the quota lasts: thinned before dropped")
def test_offline_beyond_the_quota(world: World) -> None:
    world.configure(store__quota_mb="history = 1\n")
    world.dial()
    world.start()
    feeder = world.feed()
    world.accepts(20)
    world.offline()
    feeder.tell("pad 200")
    feeder.tell("rate 600")
    looks = 0

    def thinned() -> bool:
        """The books agree and every row is sound at every look, while rows are written anew."""
        nonlocal looks
        audit, verify = world.answer("audit"), world.answer("outbox", "verify")
        assert audit["balanced"] and not audit["gaps"] and verify["sound"], (audit, verify)
        looks += 1
        return bool(audit["dropped"] > 3_000)

    world.until(thinned, "history is thinned", 90)
    assert looks > 3
    feeder.tell("rate 50")
    world.kill()
    began = time.monotonic()
    world.start()
    world.accepts(50)
    before = world.delivered()
    world.dial()
    world.until(lambda: world.delivered() > before, "the first of what waited is booked")
    foretold = said_ahead(world)
    found = world.settle(healed_at=began)
    assert found.dropped > 3_000
    with closing(sqlite3.connect(f"file:{world.ledger}?mode=ro", uri=True)) as db:
        reasons = dict(db.execute("SELECT reason, sum(count) FROM dropped GROUP BY reason"))
        events = db.execute(
            "SELECT count(*) FROM record WHERE source = 'count' AND kind = 'event'"
        ).fetchone()
        samples = db.execute(
            "SELECT boottime_ms, vals FROM record WHERE source = 'count' AND kind = 'sample'"
            " ORDER BY boottime_ms"
        ).fetchall()
    assert reasons.get("thinned", 0) > 3_000, reasons
    # Most were thinned by then; the exact accounts came later, with what was left.
    assert reasons["thinned"] / 2 < foretold <= reasons["thinned"]
    assert events == (feeder.emitted() // 10,), "events are not thinned"
    # Each ten seconds that were thinned still have their last value.
    seconds = sorted({at_ms // 10_000 for at_ms, _ in samples})
    assert seconds == list(range(seconds[0], seconds[-1] + 1))
    numbers = [json.loads(values)[COUNT] for _, values in samples]
    assert numbers == sorted(numbers)

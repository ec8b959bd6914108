"""Another address, another interface, none for a while: two ways to the broker, as name spaces."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.brokers import begin
from tests.faults.two_ways import TwoWays, two_ways

BACK_S = 10.0


@pytest.mark.fault("G12", "another address, another interface, pulled and back: within 10 s")
def test_ways_that_change(figures: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory(prefix="brain-") as name, two_ways(Path(name)) as world:
        world.figures = figures
        world.plug("wwan0")
        begin(world)

        def pulled_and_back(world: TwoWays) -> None:
            world.pull("wlan0")
            world.plug("wwan0", 3)

        changes: list[Callable[[TwoWays], None]] = [
            lambda world: world.plug("wwan0", 77),
            lambda world: world.plug("wlan0"),
            pulled_and_back,
        ]
        took_s = []
        for change in changes:
            mark = world.mark()
            change(world)
            began = time.monotonic()
            world.until(lambda mark=mark: "uplink up" in world.log(mark), "it is back", 60)  # type: ignore[misc]
            delivered = world.delivered()
            world.until(lambda n=delivered: world.delivered() > n + 10, "and delivers")  # type: ignore[misc]
            took_s.append(time.monotonic() - began)
        figures["runs"] = len(took_s)
        figures["back_ms"] = round(max(took_s) * 1000)
        assert max(took_s) < BACK_S, took_s
        world.settle(healed_at=time.monotonic())
        assert not world.alarms("")

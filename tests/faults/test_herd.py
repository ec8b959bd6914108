"""Many vehicles and one broker: simulated, since a box has room for one."""

from __future__ import annotations

import random

import pytest

from agent.uplink.pace import Reconnect


@pytest.mark.fault("G14", "a thousand vehicles wait for a broker: spread", slice=True)
def test_a_herd_comes_back_spread(figures: dict[str, int]) -> None:
    down_s, back = 1_800.0, []
    for seed in range(1_000):
        reconnect, now = Reconnect(random.Random(seed).uniform), 0.0
        while now < down_s:
            now += reconnect.pause_s(now, busy=True)
        back.append(now - down_s)
    per_s = max(sum(at <= moment < at + 1 for moment in back) for at in range(400))
    figures["spread_s"], figures["most_per_s"] = round(max(back) - min(back)), per_s
    assert max(back) - min(back) >= 300
    assert per_s <= 25

"""Many vehicles and one broker: simulated, since a box has room for one."""

from __future__ import annotations

import random

import pytest

from agent.uplink.pace import Reconnect
from agent.uplink.refused import Refused, Why


@pytest.mark.parametrize(
    ("why", "spread_s", "per_s"),
    [
        pytest.param(why, *bounds, marks=pytest.mark.fault("G14", text, slice=True))
        for why, text, *bounds in (
            (Why.BUSY, "a thousand vehicles wait for a broker that refuses: spread", 300, 25),
            (Why.CONFUSED, "a thousand are hung up on before the CONNACK: spread", 300, 25),
            (Why.UNTRUSTED, "a thousand fail at TLS: spread", 300, 25),
            (Why.DENIED, "a thousand are denied: spread", 300, 25),
            # A time-out may be the vehicle's own tunnel, and then a minute is long.
            (Why.UNREACHABLE, "a thousand get no answer: spread over a minute", 55, 60),
        )
    ],
)
def test_a_herd_comes_back_spread(
    figures: dict[str, int], why: Why, spread_s: int, per_s: int
) -> None:
    down_s, back = 1_800.0, []
    for seed in range(1_000):
        reconnect, now = Reconnect(random.Random(seed).uniform), 0.0
        while now < down_s:
            now += reconnect.pause_s(now, answered=Refused("", why=why).answered)
        back.append(now - down_s)
    most = max(sum(at <= moment < at + 1 for moment in back) for at in range(400))
    figures["spread_s"], figures["most_per_s"] = round(max(back) - min(back)), most
    assert max(back) - min(back) >= spread_s
    assert most <= per_s


@pytest.mark.fault("G14", "a short outage is over soon, whatever answered meanwhile", slice=True)
@pytest.mark.parametrize("answered", [True, False])
def test_a_short_outage_is_over_soon(figures: dict[str, int], answered: bool) -> None:
    for down_s in (5.0, 20.0, 60.0):
        for seed in range(200):
            reconnect, now = Reconnect(random.Random(seed).uniform), 0.0
            while now < down_s:
                now += reconnect.pause_s(now, answered=answered)
            assert now - down_s <= max(2.0, down_s / 2)

"""A fully trusted broker that is hostile: what it can send has no effect, and is told apart."""

from __future__ import annotations

import json
import time
import tracemalloc

import pytest
from command_rig import TOPIC, Vehicle
from hostile_commands import HOSTILE
from hypothesis import given, settings
from hypothesis import strategies as st
from signing import CLIPS, OPS, STRANGER

from agent.commands import token
from agent.commands.refusal import Refused


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_command_has_no_effect(vehicle: Vehicle, name: str) -> None:
    why, make = HOSTILE[name]
    vehicle.send(make())
    assert vehicle.ran() == []
    assert vehicle.refused() == {why: 1}
    assert vehicle.journal.intended() == []
    # And it stands in nobody's way.
    good = OPS.claims(ctr=(1 << 53) - 1)
    vehicle.send(OPS.sign(json.dumps(good).encode()))
    assert vehicle.ran() == [good["cid"]]


def test_one_that_stands_on_the_brokers_shelf_or_elsewhere(vehicle: Vehicle) -> None:
    vehicle.send(OPS.command(), retained=True)
    vehicle.send(OPS.command(), topic="brain/v1/bus-2/dn/commands")
    vehicle.send(OPS.command(), topic=TOPIC + "/commands")
    assert vehicle.ran() == []
    assert vehicle.refused() == {"retained": 1, "wrong_topic": 2}


def test_cut_at_each_byte(vehicle: Vehicle) -> None:
    whole = OPS.command()
    for length in range(len(whole)):
        vehicle.send(whole[:length])
    assert vehicle.ran() == []
    assert sum(vehicle.refused().values()) == len(whole)
    vehicle.send(whole)
    assert len(vehicle.ran()) == 1


def test_each_byte_changed(vehicle: Vehicle) -> None:
    whole = OPS.command()
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] = changed[at] ^ 1 if changed[at] ^ 1 != ord("\n") else 65
        vehicle.send(bytes(changed))
    assert vehicle.ran() == []
    assert sum(vehicle.refused().values()) == len(whole)


def test_as_many_as_the_box_can_for_five_seconds(vehicle: Vehicle) -> None:
    """Memory stays flat, and the door costs next to nothing."""
    messages = [OPS.command() for _ in range(50)] + [b"A" * 8_000, STRANGER.command(), b"x" * 9_000]
    vehicle.seconds += 1.0
    tracemalloc.start()
    sent, deadline = 0, time.monotonic() + 5.0
    while time.monotonic() < deadline:
        for message in messages:
            vehicle.commander.knock(TOPIC, message, False)
        sent += len(messages)
        if sent % 5_300 == 0:
            vehicle.settle()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    vehicle.settle()
    assert sent > 50_000
    assert peak < 4_000_000
    # The door lets 20 through, the issuer's quota 10 of those.
    assert len(vehicle.ran()) <= 10
    assert vehicle.refused()["flood"] > sent * 0.9


def test_the_door_lets_a_few_through_and_then_some_a_second(vehicle: Vehicle) -> None:
    def looked_at(n: int) -> int:
        before = vehicle.refused().get("malformed", 0)
        for _ in range(n):
            vehicle.commander.knock(TOPIC, b"x", False)
            vehicle.settle()
        return vehicle.refused()["malformed"] - before

    assert looked_at(100) == 20
    vehicle.seconds += 3.0
    assert looked_at(100) == 6
    assert vehicle.refused()["flood"] == 174


def test_quota_of_an_issuer(vehicle: Vehicle) -> None:
    for _ in range(15):
        vehicle.seconds += 10.0
        vehicle.commander.knock(TOPIC, OPS.command(), False)
        vehicle.settle()
    assert len(vehicle.ran()) == 10
    assert vehicle.refused() == {"quota": 5}
    # One issuer's flood is not the other's.
    vehicle.commander.knock(TOPIC, CLIPS.command("read"), False)
    vehicle.settle()
    assert len(vehicle.ran()) == 11


def test_a_hostile_log_is_short(vehicle: Vehicle, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(500):
        vehicle.send(b"x")
    assert len(caplog.records) <= 6


@given(st.binary(max_size=400))
@settings(deadline=None)
def test_any_bytes_are_refused_or_commands(raw: bytes) -> None:
    with pytest.raises(Refused):
        token.verify(raw, {OPS.kid: OPS.key()})


@given(st.binary(max_size=300), st.binary(max_size=300))
@settings(deadline=None)
def test_any_signed_bytes_are_refused_or_claims(head: bytes, body: bytes) -> None:
    for message in (OPS.sign(body), OPS.sign(body, head)):
        with pytest.raises(Refused):
            token.verify(message, {OPS.kid: OPS.key()})

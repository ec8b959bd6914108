"""What a driver may emit, what becomes of it, and how its beats are judged."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from agent.clock import boottime_ms
from agent.context import HostContext
from agent.protocol import Records, WireRecord, decode_upward
from agent.ring import NotDurable, Ring
from agent.sdk import Blob, Context, Datatype, Group, Kind, Signal, State

FIX = Group(
    "fix",
    (
        Signal("Vehicle.Speed", Datatype.FLOAT, "km/h", "Speed."),
        Signal("Vehicle.Bus.Count", Datatype.UINT8, "", "A count."),
    ),
)
OTHER = Group("other", (Signal("Vehicle.Other", Datatype.STRING, "", "Text."),))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def context(ring: Ring | None = None, **options: Any) -> HostContext:
    stop = options.pop("stop", threading.Event())
    made = HostContext((OTHER, FIX), ring or fresh(), Path("/x"), stop, **options)
    contract: Context = made  # what a driver sees of it
    assert contract.workdir == Path("/x")
    return made


def fresh(limit: int = 1 << 20) -> Ring:
    return Ring(limit, lambda: None)


def sent(ring: Ring) -> list[WireRecord]:
    datagrams: list[bytes] = []
    ring.flush()
    while ring.transmit(datagrams.append):
        pass
    messages = [decode_upward(datagram) for datagram in datagrams]
    return [r for message in messages if isinstance(message, Records) for r in message.records]


def test_a_record_travels_by_group_and_position() -> None:
    ring = fresh()
    ctx = context(ring, strict=True)
    at = boottime_ms() - 30
    ctx.emit(FIX, {"Vehicle.Bus.Count": 3}, at_boottime_ms=at)
    ctx.emit(FIX, {"Vehicle.Speed": 1}, states={"Vehicle.Bus.Count": State.ERROR})
    ctx.emit(OTHER, {}, kind=Kind.FILE, blob=Blob("/a", "image/jpeg", 5, "a" * 64))
    first, second, third = sent(ring)
    assert first == WireRecord(1, at, [None, 3])
    assert second.values == [1.0, None]
    assert second.states == {1: "error"}
    assert at < second.boottime_ms <= boottime_ms()
    assert (third.kind, third.blob) == ("file", ("/a", "image/jpeg", 5, "a" * 64))
    assert ctx.records == 3


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"group": Group("fix", ())}, "group 'fix' is not declared"),
        ({"group": Group("new", ())}, "group 'new' is not declared"),
        ({"values": {"Vehicle.Spede": 1.0}}, "Vehicle.Spede is not declared in group 'fix'"),
        ({"values": {"Vehicle.Speed": float("nan")}}, "Vehicle.Speed: expected finite float"),
        ({"values": {"Vehicle.Bus.Count": 300}}, "Vehicle.Bus.Count: expected uint8"),
        ({"states": {"Vehicle.Spede": State.ERROR}}, "Vehicle.Spede is not declared"),
        ({"states": {"Vehicle.Speed": "tired"}}, "expected a State, got 'tired'"),
        (
            {"values": {"Vehicle.Speed": 1.0}, "states": {"Vehicle.Speed": State.ERROR}},
            "a value and a state",
        ),
        ({"values": {"Vehicle.Speed": 1.0}, "at_boottime_ms": 1 << 60}, "capture time"),
        ({"values": {"Vehicle.Speed": 1.0}, "at_boottime_ms": -1}, "capture time"),
    ],
)
def test_a_broken_contract_raises_under_test_and_counts_in_the_field(
    arguments: dict[str, Any], text: str
) -> None:
    arguments = {"group": FIX, "values": {}} | arguments
    with pytest.raises(ValueError, match=text):
        context(strict=True).emit(**arguments)
    ring = fresh()
    ctx = context(ring)
    ctx.emit(**arguments)
    assert ctx.rejected == 1
    # The rest of the record is a fact all the same.
    good = arguments["values"].get("Vehicle.Speed") == 1.0
    assert [r.values for r in sent(ring)] == ([[1.0, None]] if good else [])


def test_one_bad_path_does_not_cost_the_others() -> None:
    ring = fresh()
    ctx = context(ring)
    ctx.emit(FIX, {"Vehicle.Speed": float("inf"), "Vehicle.Bus.Count": 7})
    assert [r.values for r in sent(ring)] == [[None, 7]]


def test_too_large_for_a_datagram_is_counted() -> None:
    wide = Group("w", tuple(Signal(f"V.X{i}", Datatype.STRING, "", "") for i in range(20)))
    ctx = HostContext((wide,), fresh(), Path("/x"), threading.Event())
    ctx.emit(wide, {f"V.X{i}": "x" * 4_096 for i in range(20)})
    assert ctx.rejected == 1


def test_durable_returns_when_the_number_is_on_flash() -> None:
    ring = fresh()
    ctx = context(ring)
    done = threading.Event()

    def emit() -> None:
        ctx.emit(FIX, {"Vehicle.Speed": 1.0}, durable=True)
        done.set()

    thread = threading.Thread(target=emit)
    thread.start()
    assert not done.wait(0.05)
    assert len(sent(ring)) == 1
    ring.trim(1)
    thread.join(2)
    assert done.is_set()
    ring.close()
    with pytest.raises(NotDurable):
        ctx.emit(FIX, {"Vehicle.Speed": 1.0}, durable=True)


def test_a_driver_beats_by_asking_whether_it_should_run() -> None:
    clock, stop = Clock(), threading.Event()
    ctx = context(clock=clock, stop=stop)
    ctx.attempt()
    assert not ctx.settled()
    clock.now += 9.9
    assert ctx.beating()
    clock.now += 0.2
    assert not ctx.beating()
    assert ctx.running()
    assert ctx.beating()
    assert ctx.settled()
    clock.now += 60
    ctx.rest()  # a declared pause owes no beat
    assert ctx.beating()
    assert not ctx.settled()
    stop.set()
    assert not ctx.running()


def test_the_verbs_thread_does_not_beat_for_a_hanging_driver() -> None:
    clock = Clock()
    ctx = context(clock=clock)
    ctx.attempt()
    clock.now += 11
    thread = threading.Thread(target=ctx.running)
    thread.start()
    thread.join()
    assert not ctx.beating()


def test_the_failpoint_raise_is_looked_up_ten_times_a_second() -> None:
    clock = Clock()
    asked: list[str] = []

    def armed(name: str) -> bool:
        asked.append(name)
        return len(asked) == 3

    ctx = context(clock=clock, armed=armed)
    for _ in range(50):
        ctx.running()
    assert asked == ["raise"]
    clock.now += 0.11
    ctx.running()
    clock.now += 0.11
    with pytest.raises(RuntimeError, match="failpoint"):
        ctx.running()


def test_two_threads_may_emit() -> None:
    ring = fresh(8 << 20)
    ctx = context(ring)

    def emit() -> None:
        for i in range(2_000):
            ctx.emit(FIX, {"Vehicle.Speed": float(i)})

    threads = [threading.Thread(target=emit) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sent(ring)) == ctx.records == 4_000

"""What real buses get wrong, as options of the world: more senders, and senders that err.

A lie that a reader can see through is no writing: delivered, it counts as invented. What a second
sender says of a signal that another one says better is an alternative.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from simulator.addresses import BODY, CLUSTER, STALE_DOORS
from simulator.fms_tachograph import time_and_date
from simulator.spn import NOT_AVAILABLE, Encoded, Field, Message, encode
from simulator.world import World

LOST_BAM_PACKETS, SPOOFED_SOURCE = "lost_bam_packets", "spoofed_source"
CLUSTER_EPOCH_MS = 978_307_200_000
"""2001-01-01 00:00 UTC, at which a cluster's clock starts that nobody has set."""
ASLEEP_UNTIL_MS, WAKING_UNTIL_MS = 6_000, 12_000
WAKING_KM = 37.5


def _cluster_clock(world: World) -> Encoded:
    return Encoded(time_and_date(CLUSTER_EPOCH_MS + world.now_ms, None))


def _cluster_odometer(world: World) -> Encoded:
    """0, then what the cluster kept of its own, then what it has read from the tachograph."""
    if world.now_ms < WAKING_UNTIL_MS:
        metres = 0.0 if world.now_ms < ASLEEP_UNTIL_MS else WAKING_KM * 1_000.0
        made = encode((Field(None, "1.1", 32, lambda w: metres, 5),), world)
        return Encoded(made.payload)
    truth = Field("Vehicle.TraveledDistance", "1.1", 32, lambda w: w.odometer_m, 5, fallback=True)
    return encode((truth,), world)


def _zeros(_: World) -> Encoded:
    return Encoded(bytes(8))


def _nothing(_: World) -> Encoded:
    """All ones: not available, whatever the parameter."""
    return Encoded(b"\xff" * 8)


def _stale(message: Message) -> Callable[[World], Encoded]:
    """What an abandoned door module goes on saying: all closed and locked, nothing enabled."""

    def compose(world: World) -> Encoded:
        said: dict[str, float | int | None] = {"Position": 2, "IsOutside": 0, "AnyEnabled": 0}
        said |= {"IsLocked": 1, "IsOpen": 0, "IsEnabled": 0}
        fields = [
            replace(
                field,
                read=_constant(said.get((field.path or "").rpartition(".")[2], NOT_AVAILABLE)),
                fallback=True,
            )
            for field in message.fields
        ]
        return encode(fields, world)

    return compose


def _constant(value: float | int | None) -> Callable[[World], float | int | None]:
    return lambda _: value


def _second_clock(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    clock = Message("TD", 65254, 6, CLUSTER, 1000, 930, compose=_cluster_clock)
    return (*messages, clock)


def _second_odometer(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    odometer = Message("VDHR", 65217, 6, CLUSTER, 1000, 810, compose=_cluster_odometer)
    return (*messages, odometer)


def _zero_fill(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    return tuple(replace(m, compose=_zeros) if m.name == "AMB" else m for m in messages)


def _more_doors(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """A body computer (lower address) that knows of no doors, and a module that has lost them."""
    more: list[Message] = []
    for message in messages:
        if message.name in ("DC1", "DC2"):
            phase = message.phase_ms
            more.append(replace(message, sender=BODY, phase_ms=phase + 12, compose=_nothing))
            stale = _stale(message)
            more.append(replace(message, sender=STALE_DOORS, phase_ms=phase + 18, compose=stale))
    return (*messages, *more)


_IN_TABLE: dict[str, Callable[[tuple[Message, ...]], tuple[Message, ...]]] = {
    "cluster_clock_2001": _second_clock,
    "odometer_wakeup": _second_odometer,
    "zero_fill": _zero_fill,
    "two_door_senders": _more_doors,
}

NAMES = (*_IN_TABLE, LOST_BAM_PACKETS, SPOOFED_SOURCE)


def with_quirks(messages: tuple[Message, ...], quirks: Collection[str]) -> tuple[Message, ...]:
    """The parameter groups of a bus with these quirks. Order of `quirks` does not matter."""
    for name, change in _IN_TABLE.items():
        if name in quirks:
            messages = change(messages)
    return messages

"""When a connection is given up, and when an attempt comes early: without a broker."""

from __future__ import annotations

import queue
import time
from types import SimpleNamespace
from typing import Any

import pytest
from uplink_rows import cargo, head

from agent.store.rows import Loss
from agent.uplink import sending, tcp
from agent.uplink.delivery import Delivery
from agent.uplink.dialler import Dialler
from agent.uplink.endpoint import Endpoint
from agent.uplink.flight import Flight
from agent.uplink.plan import Priority
from agent.uplink.refusals import Refusals
from agent.uplink.sending import CLEARING_S, SETTLED_S, SILENT_S, Sender
from agent.uplink.settings import UplinkConfig
from agent.uplink.topics import Topics


class Line:
    """A dialler that takes every message; `acked` is what the far end's TCP has."""

    def __init__(self) -> None:
        self.acked: int | None = 0
        self.resets: list[str] = []
        self.probes = 0
        self.owing = 0

    def owed(self, generation: int) -> int:
        return self.owing

    def publish(self, generation: int, topic: str, payload: bytes) -> int:
        return 1

    def acked_bytes(self, generation: int) -> int | None:
        return self.acked

    def probing(self, generation: int) -> None:
        self.probes += 1

    def reset(self, generation: int, reason: str) -> None:
        self.resets.append(reason)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=1_000.0)
    monkeypatch.setattr(sending, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def refuse(loss: Loss) -> None:
    raise AssertionError(f"{loss.head} was refused: {loss.reason}")


@pytest.mark.parametrize(
    ("acked", "resets"),
    [
        # A byte now and then: a large message on a slow link.
        ([600, 1200, 1800, 2400, 3000], 0),
        # Pings are no progress: the broker answers them and owes its confirmation.
        ([600, 624, 648, 672, 696], 1),
        # The far end's TCP stopped taking bytes, or never took one.
        ([100, 200, 200, 200, 200], 1),
        ([0, 0, 0, 0, 0], 1),
        ([None, None, None, None, None], 1),
    ],
)
def test_a_connection_is_given_up_when_no_byte_passes(
    clock: SimpleNamespace, acked: list[int | None], resets: int
) -> None:
    line, delivery = Line(), Delivery(8.0)
    sender = Sender(line, delivery, Refusals(delivery, refuse))  # type: ignore[arg-type]
    sender.generation = 1
    delivery.launch(cargo(head(1)), "topic", b"x" * 10_000)
    sender.send_due()
    for line.acked in acked:
        clock.now += SILENT_S * 0.4
        sender.watch_silence()
    assert len(set(line.resets)) == resets
    assert sender.sent_batches == 1, "and it is not sent twice"


def suspect(delivery: Delivery, n: int = 1) -> Flight:
    """A batch that was in the air at two cuts."""
    flight = delivery.launch(cargo(head(n)), "topic", b"x")
    flight.cuts = 2
    return flight


@pytest.mark.parametrize(
    ("owed", "connected_for_s", "goes"),
    [
        (0, SETTLED_S, True),
        (0, SETTLED_S - 0.1, False),  # the connection is too young to prove anything
        (1, SETTLED_S, False),  # a chunk of a file, a manifest, a catalogue
        (1, SETTLED_S + CLEARING_S, False),
    ],
)
def test_a_suspect_goes_when_the_broker_owes_nothing(
    clock: SimpleNamespace, owed: int, connected_for_s: float, goes: bool
) -> None:
    line, delivery = Line(), Delivery(8.0)
    sender = Sender(line, delivery, Refusals(delivery, refuse))  # type: ignore[arg-type]
    sender.connected(1)
    suspect(delivery)
    line.owing = owed
    clock.now += connected_for_s
    sender.send_due()
    assert (sender.sent_batches == 1) == goes
    assert sender.probing() == goes


def test_others_wait_for_a_suspect_that_has_waited_for_long(clock: SimpleNamespace) -> None:
    """Alarms do not; and while it is under way nothing goes at all."""
    line, delivery = Line(), Delivery(8.0)
    sender = Sender(line, delivery, Refusals(delivery, refuse))  # type: ignore[arg-type]
    sender.connected(1)
    clock.now += SETTLED_S
    poison = suspect(delivery, 1)
    line.owing = 1
    sender.send_due()
    delivery.launch(cargo(head(11)), "topic", b"x")
    sender.send_due()
    assert sender.sent_batches == 1 and not sender.clearing(clock.now)
    clock.now += CLEARING_S
    delivery.launch(cargo(head(21)), "topic", b"x")
    delivery.launch(cargo(head(31), priority=Priority.ALARM), "topic", b"x")
    sender.send_due()
    assert sender.sent_batches == 2 and sender.clearing(clock.now)
    assert sender.publish("catalogue", b"x")
    line.owing = 0
    sender.send_due()
    assert poison.unconfirmed and sender.sent_batches == 3 and not sender.clearing(clock.now)
    delivery.launch(cargo(head(41), priority=Priority.ALARM), "topic", b"x")
    sender.send_due()
    assert sender.sent_batches == 3
    assert not sender.publish("catalogue", b"x")
    delivery.confirm(poison, clock.now)
    sender.send_due()
    assert sender.sent_batches == 5


def dialler() -> Dialler:
    endpoint = Endpoint.of(UplinkConfig(), Topics("brain", "bus-1"), "e" * 32, "b" * 32)
    return Dialler(endpoint, queue.Queue())


@pytest.mark.parametrize(
    ("ways", "early"),
    [
        ([None, None, "10.0.0.2"], True),  # 3G is back
        (["10.0.0.2", "10.0.0.2", "192.168.1.9"], True),  # Wi-Fi in the depot
        (["10.0.0.2", None, "10.0.0.2"], True),
        (["10.0.0.2"], False),
        ([None], False),
    ],
)
def test_a_pause_ends_when_another_way_appears(
    monkeypatch: pytest.MonkeyPatch, ways: list[str | None], early: bool
) -> None:
    left = list(ways)

    def source_address(peer: Any) -> str | None:
        return left.pop(0) if len(left) > 1 else left[0]

    monkeypatch.setattr(tcp, "source_address", source_address)
    began = time.monotonic()
    dialler()._rest(began, began + 4.0)
    assert (time.monotonic() - began < 3.5) == early

"""When a connection is given up, and when an attempt comes early: without a broker."""

from __future__ import annotations

import queue
import time
from types import SimpleNamespace
from typing import Any

import pytest
from uplink_rows import cargo, head

from agent.store.rows import RowHead
from agent.uplink import sending, tcp
from agent.uplink.delivery import Delivery
from agent.uplink.dialler import Dialler
from agent.uplink.endpoint import Endpoint
from agent.uplink.refusals import Refusals
from agent.uplink.sending import SILENT_S, Sender
from agent.uplink.settings import UplinkConfig
from agent.uplink.topics import Topics


class Line:
    """A dialler that takes every message; `acked` is what the far end's TCP has."""

    def __init__(self) -> None:
        self.acked: int | None = 0
        self.resets: list[str] = []

    def publish(self, generation: int, topic: str, payload: bytes) -> int:
        return 1

    def acked_bytes(self, generation: int) -> int | None:
        return self.acked

    def reset(self, generation: int, reason: str) -> None:
        self.resets.append(reason)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=1_000.0)
    monkeypatch.setattr(sending, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def refuse(row: RowHead, reason: str) -> None:
    raise AssertionError(f"{row} was refused: {reason}")


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

"""Brokers that flood: packets without end, acks without number."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from tests.faults.brokers import begin
from tests.faults.liar import Liar, packet
from tests.faults.world import World


@pytest.mark.fault("I11", "the broker announces packets of 256 MB, and sends them", slice=True)
def test_packets_without_end(world: World, liar: Liar) -> None:
    begin(world)
    before_kb = _peak_kb(world.pid)
    floods = []

    def flood(agent: socket.socket) -> None:
        floods.append(agent)
        agent.recv(4_096)
        agent.sendall(b"\x20\x03\x00\x00\x00" + b"\x30\xff\xff\xff\x7f")
        for _ in range(256):
            agent.sendall(bytes(1 << 20))

    liar.instead = flood
    liar.cut()
    world.until(lambda: len(floods) >= 2, "it came twice", 30)
    liar.instead = None
    world.settle(healed_at=time.monotonic())
    grown = _peak_kb(world.pid) - before_kb
    world.figures["rss_grown_kb"] = grown
    assert grown < 16_000


@pytest.mark.fault("I11", "the broker floods a subscribed topic with 30,000 acks of 60 kB")
def test_a_flood_of_acks(world: World, liar: Liar) -> None:
    begin(world)
    before_kb = _peak_kb(world.pid)
    topic = b"brain/v1/bus-4021/dn/acks"
    text = b'{"epoch": "' + b"e" * 60_000 + b'", "ranges": []}'
    one = packet(0x30, len(topic).to_bytes(2, "big") + topic + b"\x00" + text)
    line = liar.lines[-1]
    until = time.monotonic() + 5
    while time.monotonic() < until and line.open:
        line.answer(one)
    world.settle(healed_at=time.monotonic())
    grown = _peak_kb(world.pid) - before_kb
    world.figures["rss_grown_kb"] = grown
    assert grown < 24_000


def _peak_kb(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM"))

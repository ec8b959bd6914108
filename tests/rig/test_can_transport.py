"""Hostile sessions of the transport protocol on a real socket (SAE J1939-21)."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.rig.rig import Rig
from tests.rig.vcan import LOST, READ, Can, guest_with_can

VIN = "Vehicle.VehicleIdentification.VIN"
BAM, RTS = 32, 16
HONEST = 0x20
"""The address of the honest sender: above those of the hostile ones, which would be believed."""


@pytest.fixture(scope="module")
def can(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Can]:
    """The guest, its CAN interfaces and the second socket."""
    yield from guest_with_can(tmp_path_factory.mktemp("can"))


def announce(sa: int, da: int, kind: int, size: int, packets: int, pgn: int = 0xFEEC) -> str:
    body = bytes((kind, *size.to_bytes(2, "little"), packets, 0xFF, *pgn.to_bytes(3, "little")))
    return f"1CEC{da:02X}{sa:02X}#{body.hex().upper()}"


def packet(sa: int, da: int, number: int, text: bytes) -> str:
    return (
        f"1CEB{da:02X}{sa:02X}#{bytes((number & 0xFF,)).hex()}{text.ljust(7, b'*').hex()}".upper()
    )


def whole(text: bytes, sa: int = HONEST) -> list[str]:
    """A BAM message and its packets."""
    parts = [text[n : n + 7] for n in range(0, len(text), 7)]
    packets = [packet(sa, 0xFF, n, part) for n, part in enumerate(parts, 1)]
    return [announce(sa, 0xFF, BAM, len(text), len(parts)), *packets]


def hostile(dice: random.Random, fake: bytes) -> str:
    """A frame of the transport protocol that belongs to no message: no second packet ever comes."""
    sa, da = dice.randrange(1, 5), dice.choice((0xFF, 0xFF, 7))
    kind = BAM if da == 0xFF else RTS
    return dice.choice(
        (
            announce(sa, da, kind, 18, 3),
            announce(sa, da, kind, 18, 3),
            announce(sa, da, kind, 0, 0),
            announce(sa, da, kind, 1786, 255),
            announce(sa, da, kind, 18, 2),
            announce(sa, da, RTS + BAM - kind, 18, 3),
            f"1CEC{da:02X}{sa:02X}#{dice.choice((17, 19, 255)):02X}0003FFFFECFE00",
            f"1CEC{da:02X}{sa:02X}#20",  # short
            packet(sa, da, dice.choice((0, 1, 1, 3, 255)), fake[:7]),
            packet(sa, da, 1, fake[7:14]),
            f"1CEB{da:02X}{sa:02X}#",
        )
    )


@pytest.mark.rig("E4", "hostile transport sessions: honest messages come whole, no other ever does")
def test_hostile_transport(rig: Rig, can: Can) -> None:
    channel = can.interface()
    driver = can.driver(channel)
    dice = random.Random(11)
    honest = [f"VDH4021BUS{n:07d}".encode() for n in range(40)]
    lines: list[str] = []
    for vin in honest:
        for frame in whole(vin + b"*"):
            lines.append(frame)
            # Fewer new sessions than the table holds: the honest one must survive.
            lines += [hostile(dice, b"WRONGVEHICLE00001*") for _ in range(20)]
    can.send(channel, lines[:84])
    driver.read(84)
    before_kb = driver.memory_kb()
    can.send(channel, lines[84:], 700)
    # 254 senders at once to 40 destinations: more sessions than any bus has.
    flood = [announce(n % 254, n % 40, RTS, 1785, 255) for n in range(3000)]
    can.send(channel, flood, 800)
    can.send(channel, whole(b"VDH4021BUSAFTERTT*"))
    driver.until(lambda: driver.latest(VIN) == "VDH4021BUSAFTERTT", "an honest message after it")
    grown_kb = driver.memory_kb() - before_kb
    driver.until(
        lambda: driver.latest(READ) + driver.latest(LOST) == len(lines) + len(flood) + 4, "all"
    )
    assert driver.latest(LOST) == 0
    assert driver.values(VIN) == [vin.decode() for vin in honest] + ["VDH4021BUSAFTERTT"]
    assert grown_kb < 2048
    assert driver.stop() == ""
    rig.note(runs=1, bus_frames=len(lines) + len(flood), honest_messages=41, grown_kb=grown_kb)


@pytest.mark.rig("E5", "one sender interleaves broadcasts: the old one is given up, never spliced")
def test_interleaved_broadcasts(rig: Rig, can: Can) -> None:
    channel = can.interface()
    driver = can.driver(channel)
    first, second = b"AAAAAAAAAAAAAAAAA*", b"BBBBBBBBBBBBBBBBB*"
    good = [f"VDH4021BUS{n:07d}".encode() for n in range(6)]
    a, b = whole(first), whole(second)
    spliced = [
        [a[0], a[1], b[0], a[2], a[3], b[1], b[2], b[3]],  # B begins in the middle of A
        [a[0], a[1], a[1], a[2], a[3]],  # a packet twice
        [a[0], a[1], a[3], a[2]],  # out of order
        [a[0], a[1], a[2], b[0], b[2], b[3], a[3]],  # B without its first
        [a[0], a[1], a[2], "wait 1", a[3]],  # silent for longer than 750 ms
        [a[1], a[2], a[3]],  # never announced
    ]
    for attack, vin in zip(spliced, good, strict=True):
        can.send(channel, [*attack, *whole(vin + b"*")])
        driver.until(lambda vin=vin: vin.decode() in driver.values(VIN), "the honest one")
    assert driver.values(VIN) == [vin.decode() for vin in good]
    assert driver.stop() == ""
    rig.note(runs=len(spliced), honest_messages=len(good))


@pytest.mark.rig("E9", "a second socket: of all that was on any interface, the driver sent nothing")
def test_nothing_was_transmitted(rig: Rig, can: Can) -> None:
    """Last: it ends the second socket, which has heard all tests before it in this guest."""
    can.ends_unheard()
    rig.note(runs=1, bus_frames=can.sent, transmitted=0)

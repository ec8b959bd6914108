"""The same frames through an SLCAN stick outside and a CAN interface inside mean the same."""

from __future__ import annotations

import itertools
import json
import os
import threading
import tty
from collections.abc import Iterator

import pytest

from drivers.codecs.j1939 import TP_CM, TP_DT, split_id
from drivers.fms_j1939.slcan import SlcanBus
from drivers.fms_j1939.table import PGNS
from simulator.replay import replay_can
from simulator.vehicle import Vehicle
from tests.rig.feed import FULL_RATE
from tests.rig.place import CHECKOUT
from tests.rig.rig import Rig
from tests.rig.timeless import lines, timeless
from tests.rig.vcan import PYTHON, SCRIPTS, Can, guest_with_can

MOST_FRAMES = 12_000
RECORDED = ("css-bus-2023", "css-truck-2021", "css-j1939tp-2021")


class Stick:
    """An SLCAN adaptor on a PTY that plays `frames` once its channel is open."""

    def __init__(self, frames: bytes) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self._frames = frames
        self._thread = threading.Thread(target=self._play, name="stick", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Pull it."""
        os.close(self._slave)
        self._thread.join(10)
        os.close(self._master)

    def _play(self) -> None:
        heard = b""
        while b"L\r" not in heard:
            got = os.read(self._master, 64)
            heard += got
            os.write(self._master, b"\r" * got.count(b"\r"))
        rest = memoryview(self._frames)
        while rest:
            rest = rest[os.write(self._master, rest[:2048]) :]


def outside(frames: list[bytes]) -> list[str]:
    """What the driver's SLCAN reader states, on this machine."""
    stick = Stick(b"".join(frames))
    found: list[str] = []
    try:
        with timeless() as receiver, SlcanBus(stick.path, 250_000, 115_200) as bus:
            idle = 0
            while receiver.frames_read < len(frames) and idle < 25:
                said = bus.receive(receiver, 0.2)
                idle = 0 if said else idle + 1
                found += lines(said)
            assert receiver.frames_read == len(frames)
    finally:
        stick.close()
    return found


def simulated() -> list[bytes]:
    """Some seconds of a full bus, as long as the vehicle identification takes to come."""
    drive = Vehicle(7).advance(6.0, FULL_RATE)
    return [emission.data for emission in drive if emission.source == "fms"]


def recorded(name: str) -> list[bytes]:
    """The start of a capture that other people made; skips where it is not beside the checkout."""
    for parent in (CHECKOUT.parent, CHECKOUT.parents[1]):
        path = parent / "shared" / "data" / "can" / f"{name}.log.gz"
        if path.exists():
            frames: Iterator[bytes] = (emission.data for emission in replay_can(path))
            return list(itertools.islice(frames, MOST_FRAMES))
    pytest.skip("no recordings: ../shared/data/can is not beside the checkout")


def wanted(line: bytes) -> bool:
    """Whether the kernel's filter is to let this frame through."""
    return line[:1] == b"T" and split_id(int(line[1:9], 16)).pgn in {*PGNS, TP_CM, TP_DT}


@pytest.fixture(scope="module")
def can(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Can]:
    """The guest and its CAN interfaces."""
    yield from guest_with_can(tmp_path_factory.mktemp("can"))


SAME = "frames through SLCAN and SocketCAN: the same values in one order"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("simulated", marks=pytest.mark.rig("K4", f"simulated {SAME}")),
        *(
            pytest.param(name, marks=pytest.mark.rig("K4-recorded", f"recorded {SAME}"))
            for name in RECORDED
        ),
    ],
)
def test_same_values_in_the_same_order(rig: Rig, can: Can, name: str) -> None:
    frames = simulated() if name == "simulated" else recorded(name)
    (can.machine.control / "lines").write_bytes(b"".join(frames).replace(b"\r", b"\n"))
    ended = can.machine.run(
        *PYTHON, f"{SCRIPTS}/can_decode.py", can.interface(), "/rig/lines", "/rig/values",
        timeout_s=120,
    )  # fmt: skip
    counts = json.loads(ended.output.splitlines()[-1])
    inside = (can.machine.control / "values").read_text().splitlines()
    at_stick = outside(frames)
    passing = sum(map(wanted, frames))
    assert counts == {"read": passing, "rejected": 0, "lost": 0}
    differing = next(
        (n for n, pair in enumerate(itertools.zip_longest(inside, at_stick)) if len({*pair}) > 1),
        None,
    )
    assert differing is None, (
        f"statement {differing}: {inside[differing:][:1]} against {at_stick[differing:][:1]}"
    )
    assert len(inside) > 50
    rig.note(runs=1, **{f"{name}_frames": len(frames), f"{name}_statements": len(inside)})

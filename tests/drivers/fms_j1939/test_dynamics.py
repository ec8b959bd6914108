"""Trouble codes, conflicts, load and captures from a port to what is emitted."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.sdk import Commandable, Context, Kind, Scalar, State
from drivers.codecs import candump
from drivers.fms_j1939 import status
from drivers.fms_j1939.can_raw import filters, pack
from drivers.fms_j1939.driver import FmsConfig, FmsJ1939
from drivers.fms_j1939.dynamics import WATCHED, Dynamics
from drivers.fms_j1939.frames import parse
from drivers.fms_j1939.receiver import Receiver
from tests.drivers.fms_j1939.conftest import Running, Stick

Plug = Callable[..., Stick]
Start = Callable[..., Running]

DTC, COUNT, MIL = "Vehicle.Bus.Dtc", "Vehicle.Diagnostics.DTCCount", "Vehicle.Bus.DtcLamp.Mil"
CONFLICTS, RATE = "Vehicle.Bus.Can.AddressConflicts", "Vehicle.Bus.Can.FramesPerSecond"
LOAD = "Vehicle.Bus.Can.Load"

ONE_CODE = b"T18FECA00840FF64000103FFFF"
NO_CODE = b"T18FECA00800FF00000000FFFF"
TWO_CODES = [  # by broadcast: lamps, 100/1, 96/3
    b"T1CECFF008200A0002FFCAFE00",
    b"T1CEBFF00801" + b"40FF6400010360",
    b"T1CEBFF00802" + b"000301FFFFFFFF",
]


@pytest.fixture
def open_bus(
    plug: Plug, start: Start, monkeypatch: pytest.MonkeyPatch
) -> tuple[Stick, FmsJ1939, Running]:
    monkeypatch.setattr(status, "STATUS_MS", 50)  # before the first one is due
    stick = plug()
    driver = FmsJ1939(FmsConfig(channel=stick.path))
    running = start(driver.run)
    stick.wait(lambda: stick.open)
    return stick, driver, running


def test_codes_from_frame_and_broadcast_to_events(
    open_bus: tuple[Stick, FmsJ1939, Running],
) -> None:
    stick, _, running = open_bus
    ctx = running.ctx
    stick.send(ONE_CODE)
    ctx.wait(lambda: len(ctx.of("dtc")) == 1)
    stick.send(*TWO_CODES)
    ctx.wait(lambda: len(ctx.of("dtc")) == 2)
    stick.send(NO_CODE)
    ctx.wait(lambda: len(ctx.of("dtc")) == 4)
    said = [(one[DTC], one["Vehicle.Bus.DtcDetail.Spn"]) for one in ctx.of("dtc")]
    assert said[:2] == [("appeared", 100), ("appeared", 96)]
    assert sorted(said[2:]) == [("gone", 96), ("gone", 100)]
    assert {kind for name, *_, kind in ctx.emitted if name == "dtc"} == {Kind.EVENT}
    ctx.wait(lambda: ctx.of("dtc_state")[-1][COUNT] == 0)
    assert [(one[COUNT], one[MIL]) for one in ctx.of("dtc_state")][:2] == [(1, "on"), (2, "on")]
    assert {kind for name, *_, kind in ctx.emitted if name == "dtc_state"} == {Kind.STATUS}


def test_a_conflict_is_counted(open_bus: tuple[Stick, FmsJ1939, Running]) -> None:
    stick, _, running = open_bus
    stick.send(b"T18EEFF0080102030405060780", b"T18EEFF0081102030405060780")
    running.ctx.wait(lambda: any(one.get(CONFLICTS) == 1 for one in running.ctx.of("bus")))


def test_load_is_told(open_bus: tuple[Stick, FmsJ1939, Running]) -> None:
    stick, _, running = open_bus
    stick.send(*[b"T18FEF1008" + b"00" * 8] * 100)
    running.ctx.wait(lambda: any(one.get(RATE) for one in running.ctx.of("bus")), 20)
    busy = next(one for one in running.ctx.of("bus") if one.get(RATE))
    rate, load = float(busy[RATE]), float(busy[LOAD])
    assert 1 <= rate <= 100  # a busy machine measures over more than a second
    assert load == pytest.approx(rate / 1853 * 100, abs=0.2)
    running.ctx.wait(lambda: running.ctx.of("bus")[-1].get(RATE) == 0, 20)


def test_dump_and_record_through_a_port(open_bus: tuple[Stick, FmsJ1939, Running]) -> None:
    stick, driver, running = open_bus
    assert isinstance(driver, Commandable)
    lines = [b"T18FEF1008F3%04X00C0FF1FFF" % n for n in range(50)] + [b"T18FE6B00" + b"5414243442A"]
    stick.send(*lines, b"t1231AB")
    # Whatever comes behind them tells that they have come.
    stick.send(ONE_CODE)
    running.ctx.wait(lambda: bool(running.ctx.of("dtc")))
    result = driver.command("dump", {"seconds": 60, "mask": True})
    assert sorted(result) == ["bytes", "lines", "path", "seconds"]
    path = Path(str(result["path"]))
    assert path.parent == running.ctx.workdir / "captures"
    logged = list(candump.read(path))
    assert len(logged) == result["lines"] == 53
    assert {one.interface for one in logged} == {"can0"}
    assert logged[50].payload == b"XXXX*"
    read = list(FmsJ1939.decode(path))
    assert sum(one["pgn"] == 65265 and one["spn"] == 84 for one in read) == 50
    assert driver.command("record", {"seconds": 1})["lines"] == 0


def test_a_verb_before_the_bus_was_open_and_one_that_is_none(tmp_path: Path) -> None:
    driver = FmsJ1939(FmsConfig(channel="/dev/can-usb"))
    with pytest.raises(ValueError, match="not opened yet"):
        driver.command("dump", {})
    driver._workdir = tmp_path
    with pytest.raises(ValueError, match="'send' is no command of this driver: dump, record"):
        driver.command("send", {})
    assert driver.command("dump", {})["lines"] == 0


def test_a_recording_ends_when_the_driver_is_told_to(
    open_bus: tuple[Stick, FmsJ1939, Running],
) -> None:
    _, driver, running = open_bus
    running.ctx.wait(lambda: True)
    assert running.end() is None
    assert driver.command("record", {"seconds": 3600})["lines"] == 0


class Statements:
    """A Context that keeps times and values of one group."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.now_ms = 0
        self.said: list[tuple[int, dict[str, Scalar], dict[str, State]]] = []

    def emit(self, group: Any, values: Any, *, states: Any = None, **_: object) -> None:
        if group.name == self.name:
            self.said.append((self.now_ms, values, states))


def run(dynamics: Dynamics, ctx: Statements, seconds: int) -> None:
    context: Context = ctx  # type: ignore[assignment]
    for _ in range(seconds * 5):
        dynamics.emit(context, ctx.now_ms)
        ctx.now_ms += 200


def test_without_any_dm1_it_is_said_that_nobody_knows() -> None:
    dynamics, ctx = Dynamics(), Statements("dtc_state")
    run(dynamics, ctx, 60)
    assert ctx.said[0][0] == 5000
    assert ctx.said[0][1] == {}
    assert set(ctx.said[0][2].values()) == {State.NOT_AVAILABLE}
    assert len(ctx.said) == 1 + 4


def test_state_is_repeated_a_few_times_and_flicker_is_rationed() -> None:
    dynamics, ctx = Dynamics(), Statements("dtc_state")
    on, off = bytes.fromhex("40ff64000103ffff"), bytes.fromhex("00ff64000103ffff")
    for n in range(600):
        dynamics.watched(65226, 0, on if n % 2 else off, ctx.now_ms)
        run(dynamics, ctx, 1)
    assert 20 <= len(ctx.said) <= 20 + 60 + 1 + 4
    flickering = len(ctx.said)
    for _ in range(60):
        dynamics.watched(65226, 0, on, ctx.now_ms)
        run(dynamics, ctx, 1)
    assert ctx.said[-1][1][MIL] == "on"
    assert len(ctx.said) <= flickering + 5


def test_the_kernel_lets_them_in() -> None:
    table = filters(WATCHED)
    pairs = list(struct.iter_unpack("=II", table))
    for can_id in (0x18FECA00, 0x18EEFF21, 0x18EE2100):
        word = can_id | 0x80000000
        assert any(word & mask == wanted & mask for wanted, mask in pairs)
    assert not any(0x98FEF100 & mask == wanted & mask for wanted, mask in pairs)


def speed_line(kmh: int, sa: int) -> bytes:
    return b"T18FEF1%02X8F3%sC000FF1FFF" % (sa, (kmh * 256).to_bytes(2, "little").hex().encode())


@pytest.mark.parametrize(
    ("liar", "kind", "signs"),
    [(0x17, "lines", True), (0x21, "lines", False), (0x17, "frames", True)],
)
def test_a_liar_with_the_address_of_another_is_noticed(liar: int, kind: str, signs: bool) -> None:
    dynamics = Dynamics()
    receiver = Receiver(dynamics=dynamics)
    for at_ms in range(0, 21_000, 50):
        line = speed_line(60, 0x17) if at_ms % 100 else speed_line(0, liar)
        if kind == "lines":
            receiver.lines([line], at_ms)
        else:
            receiver.can_frames([(pack(parse(line)), at_ms)])
    assert bool(dynamics.addresses.count) is signs

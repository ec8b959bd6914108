"""CAN_RAW for real: what is delivered, when, how much of it is lost, and what is transmitted.

One guest for all tests here; each has an interface of its own, and one second socket hears all.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rig.rig import Rig
from tests.rig.vcan import ERRORS, LOST, READ, REJECTED, SPEED, STATE, Can, guest_with_can

ENGINE_HOURS = "Vehicle.Powertrain.CombustionEngine.EngineHours"


@pytest.fixture(scope="module")
def can(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Can]:
    """The guest, its CAN interfaces and the second socket."""
    yield from guest_with_can(tmp_path_factory.mktemp("can"))


def known(n: int) -> str:
    """A message of the signal table, with every priority and sender."""
    pgn = (0xF004, 0xFEF1, 0xFE6C, 0xFEE5)[n % 4]
    return f"{(n % 8) << 26 | pgn << 8 | n % 254:08X}#{n % 200:02X}000000000000FF"


def unknown(n: int) -> str:
    """29-bit identifiers that the table does not have; some differ in one bit only."""
    return f"{(0x18F00600, 0x18FEF000, 0x19FEF100, 0x18EAFF00)[n % 4] | n % 254:08X}#0102"


def check_filter(can: Can, *, broken: str = "") -> tuple[int, int]:
    """Bus frames and delivered frames of a mixed bus; exactly the wanted ones must come."""
    channel = can.interface()
    driver = can.driver(channel, broken=broken)
    lines: list[str] = []
    for n in range(200):
        lines += [known(n), unknown(n), f"{0x100 + n:03X}#00", "18FEF121#R"]
        lines += [f"1CEBFF{n % 200:02X}#01FFFFFFFFFFFFFF"] if n % 10 == 0 else []
    # No faster than the queue is emptied: without a filter all of it must fit.
    sent = can.send(channel, lines, 1000)
    driver.read(220)
    # Whatever else came is in the queue before this frame.
    can.send(channel, ["18F00321#FF64FFFFFFFFFFFF"])
    driver.until(lambda: driver.said("eec2"), "the last frame is read")
    read_ms = driver.said("eec2")[0].now_ms
    driver.until(lambda: driver.said("bus")[-1].now_ms >= read_ms, "it is counted")
    delivered = driver.latest(READ)
    assert driver.stop() == ""
    assert sent.frames == 820
    assert delivered == 221, f"{delivered} of {sent.frames + 1} frames reached the driver"
    return sent.frames + 1, delivered


@pytest.mark.rig("K2", "the kernel's filter: exactly the known messages are delivered")
def test_filter(rig: Rig, can: Can) -> None:
    bus, delivered = check_filter(can)
    rig.note(runs=1, bus_frames=bus, delivered_frames=delivered)


@pytest.mark.rig("K2", "the kernel's filter: exactly the known messages are delivered")
def test_filter_fails_where_there_is_none(rig: Rig, can: Can) -> None:
    with pytest.raises(AssertionError, match="821 of 821 frames reached the driver"):
        check_filter(can, broken="can_no_filter")
    rig.note(runs=1)


@pytest.mark.rig(
    "K3", "a frame is dated by its arrival, however late it is read, whatever the clock"
)
@pytest.mark.parametrize("step_s", [0, 3600, -3600], ids=["steady", "ahead", "back"])
def test_time_stamps(rig: Rig, can: Can, step_s: int) -> None:
    channel = can.interface()
    driver = can.driver(channel)
    before_ms = driver.said("bus")[-1].now_ms
    driver.pause()
    lines = [
        line
        for kmh in (10, 20, 30, 40)
        for line in (f"say {kmh}", f"18FEF100#F300{kmh:02X}FFFFFFFFFF", "wait 0.6")
    ]
    sent = can.send(channel, lines)
    if step_s:
        can.machine.shell(f"date -s @$(( $(date +%s) + {step_s} )) >/dev/null")
    driver.resume()
    driver.until(lambda: driver.values(SPEED)[-1:] == [40.0], "all are read")
    if step_s:
        can.machine.shell(f"date -s @$(( $(date +%s) - {step_s} )) >/dev/null")
    late_ms = []
    for said in driver.said("ccvs1"):
        assert said.at_ms is not None
        written_ms = sent.said[f"{said.values[SPEED]:.0f}"]
        if step_s:  # the stamp means nothing: it is dated within the time it waited
            assert before_ms - 300 <= said.at_ms <= said.now_ms
        else:
            late_ms.append(abs(said.at_ms - written_ms))
            assert late_ms[-1] < 250
            assert said.now_ms - said.at_ms > 500  # it was read long after
    assert driver.stop() == ""
    rig.note(runs=1)
    if late_ms:
        rig.note(off_ms=max(late_ms))


@pytest.mark.rig("E3", "more frames than the queue holds: every lost one is counted, none is wrong")
def test_overflow_is_counted_to_the_frame(rig: Rig, can: Can) -> None:
    channel = can.interface()
    driver = can.driver(channel)
    lost = delivered = frames = 0
    for flood in (1, 2):
        driver.pause()
        first = flood * 1_000_000
        can.send(channel, [hours(n) for n in range(first, first + 3000)])
        driver.resume()
        driver.until(lambda first=first: first / 20 in driver.values(ENGINE_HOURS), "it reads on")
        # The kernel tells of a loss with the next frame that finds room.
        can.send(channel, [hours(first + 500_000)])
        frames += 3001
        driver.until(
            lambda first=first: (first + 500_000) / 20 in driver.values(ENGINE_HOURS),
            "the frame after the flood",
        )
        driver.until(
            lambda frames=frames: driver.latest(READ) + driver.latest(LOST) == frames,
            f"read + lost = {frames}",
        )
        values = driver.values(ENGINE_HOURS)
        lost, delivered = driver.latest(LOST), driver.latest(READ)
        assert len(values) == delivered
        assert values == sorted(values)
        assert lost == frames - len(values) > 0
    assert driver.stop() == ""
    rig.note(runs=2, bus_frames=frames, delivered_frames=delivered, counted_lost=lost)


def hours(raw: int) -> str:
    """HOURS (PGN 65253) whose every raw value is another one."""
    return f"18FEE500#{raw.to_bytes(4, 'little').hex().upper()}FFFFFFFF"


@pytest.mark.rig(
    "E1", "error frames: counted, the controller's state is told, no data is made of them"
)
def test_error_frames(rig: Rig, can: Can) -> None:
    channel = can.interface()
    driver = can.driver(channel)
    errors = [
        ("20000004#0008000000000000", "error-warning"),
        ("20000004#0020000000000000", "error-passive"),
        ("20000040#0000000000000000", "bus-off"),
        ("20000100#0000000000000000", "error-active"),
        ("20000088#0000040000000000", "error-active"),
        ("20000004#0001000000000000", "error-active"),
        ("20000020#", "error-active"),
    ]
    for number, (frame, state) in enumerate(errors, 1):
        can.send(channel, [frame])
        driver.until(lambda number=number: driver.latest(ERRORS) == number, f"{frame} is counted")
        assert driver.latest(STATE) == state
        if state in ("error-passive", "bus-off"):
            driver.until(lambda state=state: state in driver.devices()[-1], "the device says so")
    driver.until(lambda: driver.devices()[-1] == "ok", "it is content")
    # A flood of them, as at a wrong bit rate, costs no data.
    can.send(channel, ["20000088#0000040000000000"] * 500 + [hours(7)])
    driver.until(lambda: driver.latest(ENGINE_HOURS) is not None, "data behind the errors")
    driver.until(lambda: driver.latest(READ) == 1, "it is counted")
    assert driver.latest(ERRORS) + driver.latest(LOST) == len(errors) + 500
    assert driver.stop() == ""
    rig.note(runs=1, error_frames=len(errors) + 500)


@pytest.mark.rig("E7", "11-bit, remote, FD and short frames, error and not-available values")
def test_frames_of_all_kinds(rig: Rig, can: Can) -> None:
    channel = can.interface()
    driver = can.driver(channel)
    full = "F300{}FFFFFFFFFF"
    lines = ["18FEF100#" + full.format("0A")]
    lines += ["18FEF100#", "18FEF100#F3", "18FEF100#F30014", "18FEF100#F3001EFFFFFFFF"]
    lines += ["0F1#" + full.format("7F"), "18FEF100#R", "0F1#R"]
    lines += ["18FEF100##0" + full.format("7F"), "18FEF100##1" + "00" * 64, "18FEF100##0"]
    lines += ["18FEF100#" + full.format(word) for word in ("FB", "FD", "FE", "FF")]
    lines += ["18FEF100#" + full.format("28")]
    sent = can.send(channel, lines)
    driver.read(13)
    driver.until(lambda: driver.latest(SPEED) == 40.0, "the last one")
    assert driver.values(SPEED) == [10.0, 20.0, 30.0, 40.0]
    states = [said.states[SPEED] for said in driver.said("ccvs1") if SPEED in said.states]
    assert states == ["implausible", "implausible", "error", "not_available"]
    driver.until(lambda: driver.latest(REJECTED) == 3, "the FD frames are rejected")
    assert (sent.frames, driver.latest(READ)) == (16, 13)
    assert driver.stop() == ""
    rig.note(runs=1, bus_frames=16, delivered_frames=13)


@pytest.mark.rig("E9", "a second socket: of all that was on any interface, the driver sent nothing")
def test_a_driver_that_transmits_is_noticed(rig: Rig, can: Can) -> None:
    second = Can(can.machine)
    channel = can.interface()
    driver = can.driver(channel, broken="can_transmits")
    assert driver.stop() == ""
    assert second.heard() == {"frames": 1, "errors": 0, "lost": 0}
    can.sent += 1
    rig.note(runs=1)


@pytest.mark.rig("E9", "a second socket: of all that was on any interface, the driver sent nothing")
def test_nothing_was_transmitted(rig: Rig, can: Can) -> None:
    """Last: it ends the second socket, which has heard all tests before it in this guest."""
    # Under every system call of a driver that reads, opens again and is told to end.
    channel = can.interface()
    driver = can.driver(channel)
    calls = can.machine.start(
        "strace",
        "-f",
        "-yy",
        "-o",
        "/tmp/calls",
        "-p",
        can.machine.shell("pgrep -n -f 'can_driver.p[y]'").strip(),
    )
    calls.says("attached")
    can.send(channel, [known(n) for n in range(100)])
    driver.read(100)
    can.machine.shell(f"ip link delete {channel}")
    driver.until(lambda: "is not there" in driver.devices()[-1], "it says so")
    assert driver.stop() == ""
    calls.wait(20)
    on_can = can.machine.shell("grep -E 'AF_CAN|<(CAN|socket|can)' /tmp/calls || true")
    written = can.machine.shell("grep -E '^[0-9]+ +(send|write|pwrite|splice|sendfile)' /tmp/calls")
    assert "recvmmsg" in can.machine.shell("grep recvmmsg /tmp/calls | head -1")
    for line in written.splitlines():
        # Its output, and the question about the link.
        assert "/rig/" in line or "NETLINK" in line, line
    assert "send" not in on_can
    heard = can.heard()
    assert heard["lost"] == 0
    assert heard["frames"] == can.sent
    rig.note(runs=1, bus_frames=can.sent, transmitted=heard["frames"] - can.sent)

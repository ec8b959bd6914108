"""The SocketCAN bus on a socket that is none: what it makes of frames, stamps, losses and errors.

What a real kernel does is shown in tests/rig/test_can_*.py.
"""

from __future__ import annotations

import errno
import os
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agent.sdk import DeviceUnavailable, boottime_ms
from drivers.fms_j1939 import link_state, socketcan
from drivers.fms_j1939.can_raw import ERROR, EXTENDED
from drivers.fms_j1939.driver import FmsConfig, FmsJ1939
from drivers.fms_j1939.link_state import Link
from drivers.fms_j1939.receiver import Receiver
from drivers.fms_j1939.socketcan import SocketCanBus

GOOD = Link(3, True, True, False, 250_000, "error-active", True, 0)
VIRTUAL = Link(3, True, True, True, received=0)
Batch = list[tuple[bytes, bytes]] | OSError


class Kernel:
    """Sockets and links: `batches` are what `take` gives, an exception is raised."""

    def __init__(self) -> None:
        self.link: Link | OSError | None = GOOD
        self.batches: list[Batch] = []
        self.opened = 0
        self.refuse: OSError | None = None
        self._readable, self._writable = os.pipe2(os.O_NONBLOCK)

    def ask(self, interface: str) -> Link | None:
        if isinstance(self.link, OSError):
            raise self.link
        return self.link

    def socket(self, interface: str, filters: bytes) -> Kernel:
        if self.refuse is not None:
            raise self.refuse
        self.opened += 1
        return self

    def put(self, *batches: Batch) -> None:
        self.batches += batches
        os.write(self._writable, b"x" * len(batches))

    def fileno(self) -> int:
        return self._readable

    def take(self) -> list[tuple[bytes, bytes]]:
        if not self.batches:
            return []
        os.read(self._readable, 1)
        batch = self.batches.pop(0)
        if isinstance(batch, OSError):
            raise batch
        return batch

    def close(self) -> None:
        """Socket objects are closed; this one is opened again."""


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    made = Kernel()
    monkeypatch.setattr(link_state, "ask", made.ask)
    monkeypatch.setattr(socketcan, "FrameSocket", made.socket)
    monkeypatch.setattr(socketcan, "_RETRY_MS", 0)
    monkeypatch.setattr(socketcan, "_LOOK_MS", 0)
    yield made
    os.close(made._readable)
    os.close(made._writable)


def speed(kmh: int, *, age_s: float = 0.0, lost: int | None = None) -> tuple[bytes, bytes]:
    payload = bytes([0xF3, 0, kmh, 0, 0, 0, 0, 0])
    stamp_ns = time.time_ns() - int(age_s * 1e9)
    control = struct.pack("=QiiQQ", 32, 1, 35, *divmod(stamp_ns, 1_000_000_000))
    if lost is not None:
        control += struct.pack("=QiiI", 20, 1, 40, lost)
    return struct.pack("=IB3x8s", 0x18FEF100 | EXTENDED, 8, payload), control


def error(classes: int, details: bytes = bytes(8)) -> tuple[bytes, bytes]:
    return struct.pack("=IB3x8s", classes | ERROR, 8, details), speed(0)[1]


def bus(**how: Any) -> SocketCanBus:
    return SocketCanBus("can0", 250_000, **{"insist": True, **how})


def test_frames_are_dated_by_their_arrival(kernel: Kernel) -> None:
    receiver = Receiver()
    with bus() as open_bus:
        open_bus._since_ms -= 10_000  # as if stopped for 10 s
        kernel.put([speed(50, age_s=8.0), speed(51, age_s=3.0), speed(52)])
        said = open_bus.receive(receiver, 1.0)
    now_ms = boottime_ms()
    speeds = [statements[0].values["Vehicle.Speed"] for _, statements in said]
    assert speeds == [50.0, 51.0, 52.0]
    ages_ms = [now_ms - at_ms for at_ms, _ in said]
    for age_ms, want_ms in zip(ages_ms, (8000, 3000, 0), strict=True):
        assert want_ms <= age_ms < want_ms + 500


@pytest.mark.parametrize("step_s", [-3600.0, 3600.0], ids=["back", "ahead"])
def test_a_step_of_the_wall_clock_moves_no_frame_out_of_its_gap(
    kernel: Kernel, step_s: float
) -> None:
    with bus() as open_bus:
        since_ms = open_bus._since_ms
        kernel.put([speed(50, age_s=step_s)])
        ((at_ms, _),) = open_bus.receive(Receiver(), 1.0)
    assert since_ms <= at_ms <= boottime_ms()


def test_time_never_goes_back_between_frames(kernel: Kernel) -> None:
    """Or an unchanged frame would seem to be stated in the future."""
    with bus() as open_bus:
        open_bus._since_ms -= 5_000
        kernel.put([speed(n, age_s=1.0 + 0.01 * n) for n in range(20)], [speed(50, age_s=4.0)])
        said = open_bus.receive(Receiver(), 1.0) + open_bus.receive(Receiver(), 1.0)
    times = [at_ms for at_ms, _ in said]
    assert len(times) == 21
    assert times == sorted(times)


def test_an_unchanged_frame_is_stated_once_and_read_often(kernel: Kernel) -> None:
    receiver = Receiver()
    with bus() as open_bus:
        kernel.put([speed(50)] * 60)
        said = open_bus.receive(receiver, 1.0)
    assert len(said) == 1
    assert receiver.frames_read == 60


def test_a_full_batch_means_that_more_may_wait_but_a_flood_ends(kernel: Kernel) -> None:
    receiver = Receiver()
    with bus() as open_bus:
        kernel.put(*[[speed(50)] * 64 for _ in range(20)])
        open_bus.receive(receiver, 1.0)
        assert receiver.frames_read == 16 * 64
        open_bus.receive(receiver, 1.0)
        assert receiver.frames_read == 20 * 64


def test_losses_are_counted_over_sockets(kernel: Kernel) -> None:
    receiver = Receiver()
    with bus() as open_bus:
        kernel.put([speed(50), speed(51, lost=5)], [speed(52, lost=5), speed(53, lost=7)])
        open_bus.receive(receiver, 1.0)
        open_bus.receive(receiver, 1.0)
        assert open_bus.condition().lost == 7
        kernel.put(OSError(errno.ENODEV, "No such device"))
        open_bus.receive(receiver, 1.0)
        kernel.link = Link(4, True, True, False, 250_000, "error-active", True)
        open_bus.receive(receiver, 0.0)
        kernel.put([speed(54, lost=2)])
        open_bus.receive(receiver, 1.0)
        assert open_bus.condition().lost == 9
    assert kernel.opened == 2


def test_error_frames_are_counted_and_tell_the_state(kernel: Kernel) -> None:
    kernel.link = VIRTUAL
    receiver = Receiver()
    with bus() as open_bus:
        said = open_bus.condition()
        assert said[:7] == ("", 0, 0, 0, None, None, True)
        assert said.bus_offs == 0
        kernel.put([error(0x4, b"\0\x20" + bytes(6)), speed(50)])
        assert len(open_bus.receive(receiver, 1.0)) == 1
        said = open_bus.condition()
        assert (said.error_frames, said.state) == (1, "error-passive")
        assert "error-passive (passive by transmit errors)" in said.trouble
        kernel.put([error(0x40)])
        open_bus.receive(receiver, 1.0)
        assert open_bus.condition().state == "bus-off"
        kernel.put([error(0x40)])
        open_bus.receive(receiver, 1.0)
        assert open_bus.condition().bus_offs == 1
        kernel.put([error(0x100)])
        open_bus.receive(receiver, 1.0)
        assert (open_bus.condition().state, open_bus.condition().trouble) == ("error-active", "")
    # They are none of the bus: silence is judged by frames_read.
    assert receiver.frames_read == 1
    assert receiver.frames_rejected == 0


def test_fd_frames_are_read_and_rejected(kernel: Kernel) -> None:
    receiver = Receiver()
    with bus() as open_bus:
        fd = struct.pack("=IB3x64s", 0x18FEF100 | EXTENDED, 64, bytes(64))
        kernel.put([speed(50), (fd, b""), (fd, b""), speed(50)])
        assert len(open_bus.receive(receiver, 1.0)) == 1
    assert (receiver.frames_read, receiver.frames_rejected) == (4, 2)


def test_down_is_waited_for_with_what_to_do(kernel: Kernel) -> None:
    receiver = Receiver()
    down = Link(3, True, False, False, 250_000, "stopped", True)
    with bus() as open_bus:
        kernel.link = down
        kernel.put(OSError(errno.ENETDOWN, "Network is down"))
        assert open_bus.receive(receiver, 1.0) == []
        assert open_bus.condition().trouble == (
            "can0 is down. Bring it up with: "
            "ip link set can0 up type can bitrate 250000 listen-only on"
        )
        kernel.link = GOOD
        kernel.put([speed(50)])
        assert len(open_bus.receive(receiver, 1.0)) == 1
        assert open_bus.condition().trouble == ""
    assert kernel.opened == 1


def test_removed_is_waited_for_and_the_next_one_of_that_name_opened(kernel: Kernel) -> None:
    receiver = Receiver()
    with bus() as open_bus:
        kernel.link = None
        kernel.put(OSError(errno.ENODEV, "No such device"))
        assert open_bus.receive(receiver, 1.0) == []
        assert "can0 is not there" in open_bus.condition().trouble
        assert open_bus.receive(receiver, 1.0) == []
        kernel.link = Link(9, True, True, False, 250_000, "error-active", True)
        kernel.refuse = OSError(errno.ENODEV, "No such device")  # gone again in between
        assert open_bus.receive(receiver, 0.0) == []
        kernel.refuse = None
        kernel.put([speed(50)])
        assert len(open_bus.receive(receiver, 1.0)) == 1
        assert open_bus.condition().trouble == ""
    assert kernel.opened == 2


def test_another_interface_of_the_name_is_noticed_without_an_error(kernel: Kernel) -> None:
    with bus() as open_bus:
        kernel.link = Link(9, True, True, False, 250_000, "error-active", True)
        open_bus.receive(Receiver(), 0.0)
    assert kernel.opened == 2


NOT_PERMITTED = OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")


@pytest.mark.parametrize(
    ("link", "why"),
    [
        (None, r"CAN interface can0 is not there.*ip -br link show type can"),
        (Link(2, False, True, False), "can0 is no CAN interface"),
        (
            Link(3, True, True, False, 250_000, "error-active", False),
            r"can0 is not listen-only: its controller acknowledges.*ip link set can0 down && "
            r'ip link set can0 up type can bitrate 250000 listen-only on; or set link = "any"',
        ),
        (Link(3, True, True, False), "can0 is not listen-only"),
        (NOT_PERMITTED, r'cannot be told: rtnetlink.*AF_NETLINK, or set link = "any"'),
    ],
)
def test_what_is_refused(kernel: Kernel, link: Link | OSError | None, why: str) -> None:
    kernel.link = link
    with pytest.raises(DeviceUnavailable, match=why):
        bus()
    assert kernel.opened == 0


@pytest.mark.parametrize(
    "link", [Link(3, True, True, False, 250_000, "error-active", False), NOT_PERMITTED]
)
def test_any_link_where_the_configuration_says_so(
    kernel: Kernel, link: Link | OSError | None
) -> None:
    kernel.link = link
    with bus(insist=False) as open_bus:
        kernel.put([speed(50)])
        assert len(open_bus.receive(Receiver(), 1.0)) == 1
        assert not open_bus.condition().listen_only
        kernel.put(OSError(errno.ENETDOWN, "Network is down"))
        open_bus.receive(Receiver(), 1.0)
        if isinstance(link, OSError):
            assert "can0 is down" in open_bus.condition().trouble
            kernel.put(OSError(errno.ENODEV, "No such device"))
            kernel.refuse = OSError(errno.ENODEV, "No such device")
            open_bus.receive(Receiver(), 1.0)
            open_bus.receive(Receiver(), 0.0)
            assert "is not there" in open_bus.condition().trouble
            kernel.refuse = None
            open_bus.receive(Receiver(), 0.0)
            assert kernel.opened == 2


def test_listen_only_that_is_taken_away_is_noticed(kernel: Kernel) -> None:
    with bus() as open_bus:
        kernel.link = Link(3, True, True, False, 250_000, "error-active", False)
        with pytest.raises(DeviceUnavailable, match="not listen-only"):
            open_bus.receive(Receiver(), 0.0)


def test_a_link_that_is_down_is_judged_when_it_is_up(kernel: Kernel) -> None:
    kernel.link = Link(3, True, False, False, None, "stopped", False)
    with bus() as open_bus:
        kernel.put(OSError(errno.ENETDOWN, "Network is down"))
        open_bus.receive(Receiver(), 1.0)
        assert "can0 is down" in open_bus.condition().trouble
        kernel.link = Link(3, True, True, False, 250_000, "error-active", False)
        with pytest.raises(DeviceUnavailable, match="not listen-only"):
            open_bus.receive(Receiver(), 1.0)


def test_another_bit_rate_is_said(kernel: Kernel) -> None:
    kernel.link = Link(3, True, True, False, 500_000, "error-active", True)
    with bus() as open_bus:
        assert open_bus.condition().trouble == (
            "can0 runs at 500000 bit/s, the configuration says 250000"
        )


def test_no_can_in_this_kernel(kernel: Kernel) -> None:
    kernel.refuse = NOT_PERMITTED
    with pytest.raises(DeviceUnavailable, match=r"cannot be opened: Address family.*can-raw"):
        bus()


def test_any_other_error_is_the_end(kernel: Kernel) -> None:
    with bus() as open_bus:
        kernel.put(OSError(errno.EIO, "Input/output error"))
        with pytest.raises(DeviceUnavailable, match=r"can0 cannot be read: Input/output error"):
            open_bus.receive(Receiver(), 1.0)


def test_the_driver_reports_what_the_bus_says(
    kernel: Kernel, start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from drivers.fms_j1939 import status

    monkeypatch.setattr(status, "STATUS_MS", 20)
    kernel.put([speed(50), error(0x40), speed(51, lost=3)])
    driver = FmsJ1939(FmsConfig(channel="can0", interface="socketcan"))
    running = start(driver.run)
    # The link's word on the state comes after the error frame's.
    wanted: dict[str, object] = {
        "Vehicle.Bus.Can.FramesRead": 2,
        "Vehicle.Bus.Can.FramesRejected": 0,
        "Vehicle.Bus.Can.FramesLost": 3,
        "Vehicle.Bus.Can.ErrorFrames": 1,
        "Vehicle.Bus.Can.State": "error-active",
        "Vehicle.Bus.Can.ListenOnly": True,
        "Vehicle.Bus.Can.BusOffs": 1,
        "Vehicle.Bus.Can.AddressConflicts": 0,
    }
    running.ctx.wait(lambda: any(wanted.items() <= said.items() for said in running.ctx.of("bus")))
    assert {"bus-off"} < {said.get("Vehicle.Bus.Can.State") for said in running.ctx.of("bus")}
    assert running.end() is None


@pytest.mark.parametrize(
    ("link", "said"),
    [
        (GOOD, r"socketcan can0 \(listen-only, error-active\): \d+ frames/s, known: ccvs1"),
        (VIRTUAL, r"socketcan can0 \(virtual\): \d+ frames/s, known: ccvs1"),
    ],
)
def test_probe_says_how_it_is_open(
    kernel: Kernel, link: Link, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import re

    from drivers.fms_j1939 import driver as driver_module

    monkeypatch.setattr(driver_module, "_PROBE_MS", 300)
    kernel.link = link
    kernel.put([speed(50)])
    text = FmsJ1939(FmsConfig(channel="can0", interface="socketcan")).probe()
    assert re.fullmatch(said, text), text


def test_probe_of_an_interface_that_is_down(kernel: Kernel) -> None:
    kernel.link = Link(3, True, False, False, None, "stopped", False)
    with pytest.raises(DeviceUnavailable, match=r"can0 is down\. Bring it up with"):
        FmsJ1939(FmsConfig(channel="can0", interface="socketcan")).probe()


def test_a_bus_without_any_known_message_is_told_from_a_silent_one(
    kernel: Kernel, start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from drivers.fms_j1939 import status

    monkeypatch.setattr(status, "SILENCE_MS", 300)
    driver = FmsJ1939(FmsConfig(channel="can0", interface="socketcan"))
    running = start(driver.run)
    deadline_ms = boottime_ms() + 5000
    while "no frame for" not in driver.device:
        assert boottime_ms() < deadline_ms, driver.device
    kernel.link = Link(3, True, True, False, 250_000, "error-active", True, 1234)
    while "no known message for 10 s among 1234 frames" not in driver.device:
        assert boottime_ms() < deadline_ms, driver.device
    assert running.end() is None

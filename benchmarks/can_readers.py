"""Ways to receive a CAN bus, for can_receive.py: each reads until it is told to stop."""

from __future__ import annotations

import resource
import select
import socket
import struct
import sys
import time
from collections.abc import Callable

from drivers.fms_j1939 import can_raw
from drivers.fms_j1939.frame_socket import FrameSocket
from drivers.fms_j1939.frames import Frame
from drivers.fms_j1939.receiver import Receiver
from drivers.fms_j1939.socketcan import SocketCanBus
from drivers.fms_j1939.table import PGNS

CHANNEL = "vcanbench"
GATHER_MS = 20
# CAN_BCM, linux/can/bcm.h.
RX_SETUP, SET_TIMER, CHECK_LENGTH = 5, 0x0001, 0x0040
HEAD = struct.Struct("=III4xqqqqII")


class Counted:
    """What a reader made of the frames: all that it stated, and what of that was new."""

    def __init__(self) -> None:
        self.receiver = Receiver()
        self.statements = 0

    def take(self, said: list[tuple[int, list[object]]]) -> None:
        self.statements += sum(len(statements) for _, statements in said)


def own(stop: Callable[[], bool], counted: Counted, ids: list[int]) -> None:
    """The driver's reader."""
    with SocketCanBus(CHANNEL, 250_000, insist=True) as bus:
        ready()
        while not stop():
            counted.take(bus.receive(counted.receiver, 0.2))


def own_unfiltered(stop: Callable[[], bool], counted: Counted, ids: list[int]) -> None:
    """The driver's reader without a filter in the kernel."""
    can_raw.filters = lambda pgns: struct.pack("=II", 0, 0)  # type: ignore[assignment]
    own(stop, counted, ids)


def one_by_one(stop: Callable[[], bool], counted: Counted, ids: list[int]) -> None:
    """Python's recvmsg with the same filter: a call a frame, and one more for a name."""
    link = FrameSocket(CHANNEL, can_raw.filters(PGNS))
    ready()
    readable, pause = select.poll(), select.poll()
    readable.register(link, select.POLLIN)
    while not stop():
        if not readable.poll(200):
            continue
        pause.poll(GATHER_MS)
        while True:
            try:
                raw, _, _, _ = link._socket.recvmsg(72, 128)
            except BlockingIOError:
                break
            at_ms = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
            counted.take(counted.receiver.can_frames([(raw, at_ms)]))
    link.close()


def python_can(stop: Callable[[], bool], counted: Counted, ids: list[int]) -> None:
    """python-can's socketcan interface, without a filter as it is by default."""
    import can

    with can.Bus(interface="socketcan", channel=CHANNEL) as bus:
        ready()
        while not stop():
            message = bus.recv(0.2)
            if message is None or not message.is_extended_id or message.is_remote_frame:
                continue
            frame = Frame(message.arbitration_id, bytes(message.data), True, False)
            statement = counted.receiver.frame(frame, int(message.timestamp * 1000))
            counted.statements += statement is not None


class ContentSocket(FrameSocket):
    """CAN_BCM: the kernel hands on the frames of `ids` whose wanted bits changed.

    `throttle_us`: at most one of each id in that time, the last one. The transport protocol is not
    among them: every packet counts there, changed or not.
    """

    def __init__(self, ids: list[int], throttle_us: int) -> None:
        self._socket = socket.socket(
            socket.AF_CAN, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, socket.CAN_BCM
        )
        self._socket.connect((CHANNEL,))
        for can_id in ids:
            pgn = PGNS[can_id >> 8 & 0x3FFFF]
            mask = 0
            for spn in pgn.spns:
                mask |= (1 << spn.bits) - 1 << spn.first_bit
            head = HEAD.pack(
                RX_SETUP, CHECK_LENGTH | (SET_TIMER if throttle_us else 0), 0, 0, 0,
                *divmod(throttle_us, 1_000_000), can_id | can_raw.EXTENDED, 1,
            )  # fmt: skip
            frame = struct.pack("=IB3x8s", can_id | can_raw.EXTENDED, 8, mask.to_bytes(8, "little"))
            self._socket.send(head + frame)
        self._prepare()


def content(throttle_us: int) -> Callable[[Callable[[], bool], Counted, list[int]], None]:
    """A reader by CAN_BCM for the learnt identifiers and CAN_RAW for the transport protocol."""

    def read(stop: Callable[[], bool], counted: Counted, ids: list[int]) -> None:
        changes = ContentSocket(ids, throttle_us)
        transport = FrameSocket(CHANNEL, can_raw.filters(()))
        ready()
        readable, pause = select.poll(), select.poll()
        readable.register(changes, select.POLLIN)
        readable.register(transport, select.POLLIN)
        while not stop():
            ready_now = readable.poll(200)
            if not ready_now:
                continue
            pause.poll(GATHER_MS)
            at_ms = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
            for fd, _ in ready_now:
                whole = changes if fd == changes.fileno() else transport
                skip = HEAD.size if whole is changes else 0
                for raw, _ in whole.take():
                    counted.take(counted.receiver.can_frames([(raw[skip : skip + 16], at_ms)]))
        changes.close()
        transport.close()

    return read


READERS: dict[str, Callable[[Callable[[], bool], Counted, list[int]], None]] = {
    "python-can": python_can,
    "CAN_RAW, no filter": own_unfiltered,
    "CAN_RAW, filter, recvmsg": one_by_one,
    "CAN_RAW, filter (the driver)": own,
    "CAN_BCM, changes": content(0),
    "CAN_BCM, changes, 1 s": content(1_000_000),
}


def ready() -> None:
    """Tell the parent that the bus may begin; from here on CPU time counts."""
    BEGAN.append(resource.getrusage(resource.RUSAGE_SELF))
    sys.stdout.write("ready\n")
    sys.stdout.flush()


BEGAN: list[resource.struct_rusage] = []

"""Ways to receive a full FMS bus from a CAN interface: system calls and CPU time by 1,000 frames.

Needs a Linux with CAN and root: it makes a vcan, plays the simulated bus (or a `candump -L` log) at
1,850 frames/s, and lets each reader in turn hear the same seconds of it. Each is run twice: alone
for its CPU time, and under strace for its system calls. Counts decide: times depend on the machine.

    python benchmarks/can_receive.py [--seconds 3] [--capture LOG] [--json]

In the guest of tests/rig, which has both: see tests/rig/test_can_cost.py.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from drivers.fms_j1939 import can_raw
from drivers.fms_j1939.frame_socket import FrameSocket
from drivers.fms_j1939.frames import Frame, parse
from drivers.fms_j1939.receiver import Receiver
from drivers.fms_j1939.socketcan import SocketCanBus
from drivers.fms_j1939.table import PGNS

CHANNEL = "vcanbench"
FULL_BUS = 1850
GATHER_MS = 20
# CAN_BCM, linux/can/bcm.h.
RX_SETUP, SET_TIMER, CHECK_LENGTH = 5, 0x0001, 0x0040
HEAD = struct.Struct("=III4xqqqqII")
# Not of the reader: a real kernel answers these without a system call.
CLOCKS = ("clock_gettime", "gettimeofday", "time")


def traffic(frames: int, capture: str | None) -> list[bytes]:
    """can_frames in the order of the bus."""
    if capture is None:
        from simulator.vehicle import Vehicle

        drive = Vehicle(7).advance(20 + frames / FULL_BUS, frozenset({("can_flood", "fms")}))
        lines = [emission.data for emission in drive if emission.source == "fms"][-frames:]
    else:
        from simulator.replay import replay_can

        lines = [emission.data for emission in islice(replay_can(Path(capture)), frames)]
    return [can_frame(parse(line.rstrip(b"\r"))) for line in lines]


def can_frame(frame: Frame) -> bytes:
    """A frame as the kernel takes it."""
    word = frame.can_id | (can_raw.EXTENDED if frame.extended else 0)
    word |= can_raw.REMOTE if frame.remote else 0
    return struct.pack("=IB3x8s", word, len(frame.payload), frame.payload)


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


def child(name: str, ids: list[int]) -> None:
    """Be one reader until standard input ends; print what it took."""
    counted = Counted()
    inputs = select.poll()
    inputs.register(0, select.POLLHUP | select.POLLIN)
    looked = [0.0]

    def stop() -> bool:
        now = time.monotonic()
        if now - looked[0] < 0.5:
            return False
        looked[0] = now
        return bool(inputs.poll(0))

    READERS[name](stop, counted, ids)
    used = resource.getrusage(resource.RUSAGE_SELF)
    found = {
        "user_s": used.ru_utime - BEGAN[0].ru_utime,
        "system_s": used.ru_stime - BEGAN[0].ru_stime,
        "statements": counted.statements,
        "read": counted.receiver.frames_read,
    }
    sys.stdout.write(json.dumps(found) + "\n")


def play(frames: list[bytes]) -> None:
    """Put them on the bus at the rate of a full one."""
    with socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as bus:
        bus.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FILTER, b"")
        bus.bind((CHANNEL,))
        begin = time.monotonic()
        for n, frame in enumerate(frames):
            if n % 20 == 0:
                select.select([], [], [], max(0.0, begin + n / FULL_BUS - time.monotonic()))
            bus.send(frame)


def run(name: str, frames: list[bytes], ids: list[int], *, traced: bool) -> dict[str, float]:
    """One reader over the frames: its figures, or its system calls since it was ready."""
    argv = [sys.executable, "-P", __file__, "--reader", name, "--ids", json.dumps(ids)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        if not traced:
            play(frames)
            reader.stdin.close()
            return dict(json.loads(reader.stdout.readline()))
        tracer = subprocess.Popen(
            ["strace", "-f", "-c", "-p", str(reader.pid)], stderr=subprocess.PIPE, text=True
        )
        assert tracer.stderr is not None
        tracer.stderr.readline()  # attached
        play(frames)
        reader.stdin.close()
        read = json.loads(reader.stdout.readline())["read"]
        table = tracer.stderr.read()
        tracer.wait()
    calls = {
        match[2]: int(match[1])
        for match in re.finditer(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) .*?(\w+)$", table, re.MULTILINE)
    }
    own_calls = sum(n for call, n in calls.items() if call not in (*CLOCKS, "total"))
    return {"calls": own_calls, "read": read}


def learnt(frames: list[bytes]) -> list[int]:
    """The identifiers of known messages on this bus."""
    words = {struct.unpack_from("=I", frame)[0] for frame in frames}
    return sorted(
        word & 0x1FFFFFFF
        for word in words
        if word & can_raw.EXTENDED and word >> 8 & 0x3FFFF in PGNS
    )


def measure(frames: list[bytes]) -> Iterator[dict[str, object]]:
    """Each reader's figures by 1,000 frames of the bus."""
    ids = learnt(frames)
    for name in READERS:
        alone = run(name, frames, ids, traced=False)
        traced = run(name, frames, ids, traced=True)
        by_1000 = len(frames) / 1000
        yield {
            "reader": name,
            # Under strace a reader that asks for each frame is too slow and loses some.
            "calls": round(traced["calls"] * alone["read"] / traced["read"] / by_1000),
            "user_ms": round(alone["user_s"] * 1000 / by_1000, 1),
            "system_ms": round(alone["system_s"] * 1000 / by_1000, 1),
            "statements": int(alone["statements"]),
        }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--capture", help="a candump log instead of the simulated bus")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--reader", help=argparse.SUPPRESS)
    parser.add_argument("--ids", type=json.loads, default=[], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.reader:
        child(args.reader, args.ids)
        return
    if os.geteuid() != 0 or not hasattr(socket, "AF_CAN"):
        sys.exit("can_receive: not run: root and a kernel with CAN are needed")
    frames = traffic(int(args.seconds * FULL_BUS), args.capture)
    add = ["ip", "link", "add", CHANNEL, "type", "vcan"]
    if subprocess.run(add, capture_output=True, check=False).returncode:
        sys.exit("can_receive: not run: no vcan: modprobe vcan")
    try:
        subprocess.run(["ip", "link", "set", CHANNEL, "up"], check=True)
        rows = list(measure(frames))
    finally:
        subprocess.run(["ip", "link", "delete", CHANNEL], check=True)
    if args.json:
        print(json.dumps({"frames": len(frames), "rows": rows}))
        return
    print(f"{len(frames)} frames at {FULL_BUS}/s, by 1,000 of them")
    print(f"{'':30} {'calls':>7} {'user ms':>8} {'system ms':>10} {'statements':>11}")
    for row in rows:
        print(
            f"{row['reader']:30} {row['calls']:7} {row['user_ms']:8} {row['system_ms']:10} "
            f"{row['statements']:11}"
        )


if __name__ == "__main__":
    main()

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
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from benchmarks import can_readers
from benchmarks.can_readers import CHANNEL
from drivers.fms_j1939 import can_raw
from drivers.fms_j1939.frames import Frame, parse
from drivers.fms_j1939.table import PGNS

FULL_BUS = 1850
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


def child(name: str, ids: list[int]) -> None:
    """Be one reader until standard input ends; print what it took."""
    counted = can_readers.Counted()
    inputs = select.poll()
    inputs.register(0, select.POLLHUP | select.POLLIN)
    looked = [0.0]

    def stop() -> bool:
        now = time.monotonic()
        if now - looked[0] < 0.5:
            return False
        looked[0] = now
        return bool(inputs.poll(0))

    can_readers.READERS[name](stop, counted, ids)
    used = resource.getrusage(resource.RUSAGE_SELF)
    found = {
        "user_s": used.ru_utime - can_readers.BEGAN[0].ru_utime,
        "system_s": used.ru_stime - can_readers.BEGAN[0].ru_stime,
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
    argv = [
        sys.executable,
        "-m",
        "benchmarks.can_receive",
        "--reader",
        name,
        "--ids",
        json.dumps(ids),
    ]
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
    for name in can_readers.READERS:
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

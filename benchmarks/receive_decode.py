"""What receiving and decoding one CAN frame costs: our SLCAN reader against python-can + cantools.

All read the same traffic from the same pseudo-terminal: messages in the ratio of the FMS rates, at
the rate of a full 250 kbit/s bus. CPU time of the reading process, medians of three runs.

    python benchmarks/receive_decode.py [--seconds 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import can.interfaces.slcan
import cantools.database

from agent.context import HostContext
from agent.ring import Ring
from benchmarks import bus_traffic
from benchmarks.bus_traffic import FULL_BUS, line
from drivers.fms_j1939.receiver import Receiver, Statement
from drivers.fms_j1939.slcan import SlcanBus
from drivers.fms_j1939.table import GROUPS

RUNS = 3
TICK_S = 0.01


def feed(master: int, frames: int, changing: bool) -> None:
    """Play the adaptor: answer commands, then send all frames at the rate of a full bus."""
    lines = [line(*frame) + b"\r" for frame in bus_traffic.frames(frames, driving=changing)]
    print("ready", flush=True)
    heard = b""
    while b"L\r" not in heard:
        got = os.read(master, 4096)
        os.write(master, b"\r" * got.count(b"\r"))
        heard += got
    begin = time.monotonic()
    sent = 0
    pause = threading.Event()
    while sent < frames:
        due = min(frames, int((time.monotonic() - begin) * FULL_BUS))
        os.write(master, b"".join(lines[sent:due]))
        sent = due
        pause.wait(TICK_S)
    pause.wait()  # the reader ends us


@contextmanager
def adaptor(frames: int, changing: bool) -> Iterator[str]:
    """The path of a port with an adaptor, a process of its own, at its far end."""
    master, slave = os.openpty()
    tty.setraw(slave)
    command = [
        sys.executable,
        "-m",
        "benchmarks.receive_decode",
        "--feed",
        str(master),
        "--frames",
        str(frames),
    ]
    command += ["--changing"] if changing else []
    with subprocess.Popen(command, pass_fds=[master], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield os.ttyname(slave)
        finally:
            process.kill()
    os.close(master)
    os.close(slave)


def ours(path: str, frames: int) -> int:
    """How many values our reader states for `frames` frames."""
    return sum(len(s.values) + len(s.states) for s in _stated(path, frames))


def emitted(path: str, frames: int) -> int:
    """The same, and each statement is encoded into the ring that the coordinator empties."""
    values = 0
    with tempfile.TemporaryDirectory() as folder:
        ctx = HostContext(GROUPS, Ring(8 << 20, lambda: None), Path(folder), threading.Event())
        for group, said, states in _stated(path, frames):
            ctx.emit(group, said, states=states)
            values += len(said) + len(states)
    return values


def _stated(path: str, frames: int) -> Iterator[Statement]:
    receiver = Receiver()
    with SlcanBus(path, 250_000, 115_200) as bus:
        while receiver.frames_read < frames:
            for at_ms, statements in bus.receive(receiver, 0.2):
                yield from statements
                yield from receiver.missing(at_ms)


def theirs(path: str, frames: int) -> int:
    """How many values python-can's slcan interface and cantools give for `frames` frames."""
    return sum(map(len, _decoded(path, frames)))


def feeder(path: str, frames: int) -> int:
    """How a VSS feeder does it: decode every known frame, then compare value by value."""
    known: dict[str, object] = {}
    values = 0
    for decoded in _decoded(path, frames):
        for name, value in decoded.items():
            if known.get(name) != value:
                known[name] = value
                values += 1
    return values


def _decoded(path: str, frames: int) -> Iterator[dict[str, object]]:
    database = cantools.database.load_string(bus_traffic.dbc(), "dbc")
    by_pgn = {message.frame_id >> 8 & 0x3FFFF: message for message in database.messages}
    read = 0
    with can.Bus(
        interface="slcan", channel=path, bitrate=250_000, listen_only=True, sleep_after_open=0.0
    ) as bus:
        while read < frames:
            frame = bus.recv(0.2)
            if frame is not None:
                read += 1
                yield by_pgn[frame.arbitration_id >> 8 & 0x3FFFF].decode(frame.data)


def measure(read: Callable[[str, int], int], frames: int, changing: bool) -> tuple[float, int]:
    """CPU microseconds of this process for each frame, and how many values came out."""
    with adaptor(frames, changing) as path:
        begin = time.process_time()
        values = read(path, frames)
        return (time.process_time() - begin) / frames * 1e6, values


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of receiving and decoding a CAN frame")
    parser.add_argument("--seconds", type=float, default=3, help="length of a run, 1 to 5")
    parser.add_argument("--feed", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--frames", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--changing", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.feed is not None:
        feed(args.feed, args.frames, args.changing)
        return
    frames = int(min(5, max(1, args.seconds)) * FULL_BUS)
    rows = [
        ("our SLCAN reader, a standing bus", ours, False),
        ("our SLCAN reader, a driving bus", ours, True),
        ("... and each statement emitted", emitted, True),
        ("python-can slcan + cantools, a driving bus", theirs, True),
        ("... and compared value by value", feeder, True),
    ]
    # In turns, so that other work on this machine falls on all of them.
    got = [[measure(read, frames, changing) for _, read, changing in rows] for _ in range(RUNS)]
    costs = [statistics.median(run[n][0] for run in got) for n in range(len(rows))]
    print(f"{frames} frames at {FULL_BUS}/s, CPU time of the reader, median of {RUNS} runs")
    print(f"{'':44} {'us/frame':>9} {'% of a core':>12} {'ratio':>7} {'values':>8}")
    for n, (name, _, _) in enumerate(rows):
        ratio = costs[n] / costs[1]
        print(
            f"{name:44} {costs[n]:9.2f} {costs[n] * FULL_BUS / 1e4:12.2f} {ratio:7.1f} "
            f"{got[0][n][1]:8}"
        )


if __name__ == "__main__":
    main()

"""Cost of the raw ring, of the watch over addresses and of transport; RAM of a full minute.

CPU time in microseconds a frame, medians of five runs, over the same traffic as frame_stages.py.
The ring's memory is the growth of the resident size of a process of its own. Nothing is asserted.

    python benchmarks/raw_ring.py
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import bus_traffic
from drivers.codecs.j1939 import TP_CM, TP_DT, Identifier, Transport, split_id
from drivers.fms_j1939 import can_raw
from drivers.fms_j1939.addresses import AddressConflicts
from drivers.fms_j1939.frames import parse
from drivers.fms_j1939.raw_ring import RawRing
from drivers.fms_j1939.table import PGNS

COUNT = 18_500
RUNS = 5
READ = bus_traffic.FULL_BUS // 50  # frames of one wake-up
MINUTE = 60 * bus_traffic.FULL_BUS


def timed(work: Callable[[], object], count: int) -> float:
    """CPU microseconds a frame."""
    begin = time.process_time()
    work()
    return (time.process_time() - begin) / count * 1e6


def fill_lines(reads: list[list[bytes]]) -> None:
    ring = RawRing()
    for n, lines in enumerate(reads):
        ring.lines(lines, 20 * n)


def fill_frames(reads: list[list[tuple[bytes, int]]]) -> None:
    ring = RawRing()
    for stamped in reads:
        ring.can_frames(stamped)


def watch(changed: list[tuple[int, int, bytes, int]]) -> None:
    conflicts = AddressConflicts()
    for number, sa, payload, at_ms in changed:
        conflicts.hear(PGNS[number], sa, 0, payload, at_ms)


def reassemble(packets: list[tuple[Identifier, bytes]]) -> None:
    transport = Transport()
    for n, (identifier, payload) in enumerate(packets):
        transport.feed(0.06 * n, identifier, payload)


def resident_kb() -> int:
    """Resident size of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") // 1024


def memory(kind: str) -> None:
    """Print by how many kB this process grows while a ring takes two minutes of a full bus."""
    ring = RawRing()
    before = resident_kb()
    for n in range(0, 2 * MINUTE, READ):
        at_ms = n * 1000 // bus_traffic.FULL_BUS
        if kind == "lines":
            ring.lines([b"T18FEF1008%016X" % (n + k) for k in range(READ)], at_ms)
        else:
            head = b"\x00\xf1\xfe\x98\x08\0\0\0"
            frames = [(head + (n + k).to_bytes(8, "big"), at_ms) for k in range(READ)]
            ring.can_frames(frames)
    print(resident_kb() - before)


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of the raw ring and of watching a bus")
    parser.add_argument("--memory", choices=("lines", "can_frames"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory:
        memory(args.memory)
        return
    lines = [bus_traffic.line(*one) for one in bus_traffic.frames(COUNT, driving=True)]
    line_reads = [lines[n : n + READ] for n in range(0, COUNT, READ)]
    frame_reads = [
        [(can_raw.pack(parse(line)), 20 * n) for line in read] for n, read in enumerate(line_reads)
    ]
    last: dict[int, bytes] = {}
    changed = []
    for n, line in enumerate(lines):
        frame = parse(line)
        if last.get(frame.can_id) != frame.payload:
            last[frame.can_id] = frame.payload
            _, number, sa, _ = split_id(frame.can_id)
            changed.append((number, sa, frame.payload, n * 1000 // bus_traffic.FULL_BUS))
    text = bytes(range(42))
    head = bytes((32, 42, 0, 6, 255, 0xCA, 0xFE, 0))
    message = [(Identifier(7, TP_CM, 0, 255), head)] + [
        (Identifier(7, TP_DT, 0, 255), bytes((n + 1,)) + text[7 * n : 7 * n + 7]) for n in range(6)
    ]
    packets = message * (COUNT // 7)
    rows: list[tuple[str, Callable[[], object], int]] = [
        ("raw ring, SLCAN lines", partial(fill_lines, line_reads), COUNT),
        ("raw ring, can_frames", partial(fill_frames, frame_reads), COUNT),
        ("watch for a second sender, a frame", partial(watch, changed), COUNT),
        ("transport, a packet of a broadcast", partial(reassemble, packets), len(packets)),
    ]
    got = [[timed(work, count) for _, work, count in rows] for _ in range(RUNS)]
    print(f"{COUNT} frames of a driving bus, {len(changed)} of them differ; median of {RUNS} runs")
    for n, (name, _, _) in enumerate(rows):
        print(f"  {name:36} {statistics.median(run[n] for run in got):7.3f} us")
    for kind in ("lines", "can_frames"):
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.raw_ring", "--memory", kind],
            capture_output=True,
            text=True,
            check=True,
        )
        print(f"  RAM of {MINUTE} frames as {kind:18} {int(done.stdout) / 1000:7.1f} MB")


if __name__ == "__main__":
    main()

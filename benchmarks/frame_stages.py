"""What each stage of a frame costs: read, compare, take apart, decode, believe, emit.

CPU time in microseconds a frame, medians of five runs, on a standing and on a driving bus with all
signals on; how many frames were skipped before decoding, and how many records came out. Nothing is
asserted.

    python benchmarks/frame_stages.py
"""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import bus_traffic

from agent.context import HostContext
from agent.ring import Ring
from drivers.codecs.j1939 import split_id
from drivers.fms_j1939.frames import LineSplitter, parse
from drivers.fms_j1939.receiver import Receiver, Statement
from drivers.fms_j1939.rereading import Rereading
from drivers.fms_j1939.spn import Pgn
from drivers.fms_j1939.table import GROUPS, PGNS

COUNT = 18_500
RUNS = 5
READ_BYTES = 40 * 27  # some 20 ms of a full bus: what one wake-up finds


def timed(work: Callable[[], object]) -> float:
    """CPU microseconds a frame."""
    begin = time.process_time()
    work()
    return (time.process_time() - begin) / COUNT * 1e6


def read(text: bytes) -> None:
    """Through a pipe, chunk by chunk, into lines."""
    splitter = LineSplitter()
    out, into = os.pipe()
    try:
        for begin in range(0, len(text), READ_BYTES):
            os.write(into, text[begin : begin + READ_BYTES])
            splitter.feed(os.read(out, 65_536))
    finally:
        os.close(out)
        os.close(into)


def take_apart(lines: list[bytes]) -> None:
    for line in lines:
        split_id(parse(line).can_id)


def decode(messages: list[tuple[Pgn, bytes]]) -> None:
    for pgn, payload in messages:
        pgn.read(payload)


def receive(lines: list[bytes]) -> list[Statement]:
    """All statements at the pace of a full bus."""
    receiver = Receiver()
    said: list[Statement] = []
    for n in range(0, len(lines), 40):
        said += receiver.lines(lines[n : n + 40], 1000 + n * 1000 // bus_traffic.FULL_BUS)
    return said


def decoded(lines: list[bytes]) -> int:
    """How many messages are decoded for that."""
    with mock.patch.object(Rereading, "read", autospec=True, side_effect=Rereading.read) as read:
        receive(lines)
    return read.call_count


def emit(said: list[Statement]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ctx = HostContext(GROUPS, Ring(8 << 20, lambda: None), Path(folder), threading.Event())
        for group, values, states in said:
            ctx.emit(group, values, states=states)


def main() -> None:
    print(f"{COUNT} frames, all signals on, us a frame, median of {RUNS} runs")
    for driving in (False, True):
        traffic = list(bus_traffic.frames(COUNT, driving=driving))
        lines = [bus_traffic.line(*frame) for frame in traffic]
        text = b"".join(line + b"\r" for line in lines)
        messages = [(PGNS[split_id(can_id).pgn], payload) for can_id, payload in traffic]
        said = receive(lines)
        stages: list[tuple[str, Callable[[], object]]] = [
            ("read and cut into lines", partial(read, text)),
            ("take every frame apart", partial(take_apart, lines)),
            ("decode every frame", partial(decode, messages)),
            ("receive: compare, decode, believe", partial(receive, lines)),
            ("emit what is stated", partial(emit, said)),
        ]
        got = [[timed(work) for _, work in stages] for _ in range(RUNS)]
        print("a driving bus" if driving else "a standing bus")
        for n, (name, _) in enumerate(stages):
            print(f"  {name:36} {statistics.median(run[n] for run in got):7.2f}")
        skipped = 100 * (1 - decoded(lines) / COUNT)
        values = sum(len(s.values) + len(s.states) for s in said)
        print(f"  skipped before decoding {skipped:.1f} %, {len(said)} records, {values} values")


if __name__ == "__main__":
    main()

"""What each stage of a frame costs: read, compare, take apart, decode, believe, emit.

CPU time in microseconds a frame, medians of five runs, on a standing and on a driving bus with all
signals on; how many frames were skipped before decoding, and how many records came out. The same
for recordings of real buses where they stand beside the checkout (../shared/data/can), beside what
cantools needs to decode every known frame of them, once it is taken apart. Nothing is asserted.

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
from typing import Any
from unittest import mock

import cantools.database

from agent.context import HostContext
from agent.ring import Ring
from benchmarks import bus_traffic
from drivers.codecs import candump
from drivers.codecs.j1939 import split_id
from drivers.fms_j1939.frames import LineSplitter, parse
from drivers.fms_j1939.pgn import Pgn
from drivers.fms_j1939.receiver import Receiver, Statement
from drivers.fms_j1939.rereading import Rereading
from drivers.fms_j1939.table import GROUPS, PGNS

COUNT = 18_500
RUNS = 5
DATABASE = cantools.database.load_string(bus_traffic.dbc(), "dbc")
READ_BYTES = 40 * 27  # some 20 ms of a full bus: what one wake-up finds


def timed(work: Callable[[], object], count: int = COUNT) -> float:
    """CPU microseconds a frame."""
    begin = time.process_time()
    work()
    return (time.process_time() - begin) / count * 1e6


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


Reads = list[tuple[int, list[bytes]]]
"""Boot time in ms, and the lines that were read then."""


def paced(lines: list[bytes]) -> Reads:
    """As they come at the pace of a full bus."""
    return [
        (1000 + n * 1000 // bus_traffic.FULL_BUS, lines[n : n + 40])
        for n in range(0, len(lines), 40)
    ]


def receive(reads: Reads) -> list[Statement]:
    """All statements."""
    receiver = Receiver()
    said: list[Statement] = []
    for at_ms, lines in reads:
        said += receiver.lines(lines, at_ms)
        said += receiver.missing(at_ms)
    return said


def decoded(reads: Reads) -> int:
    """How many messages are decoded for that."""
    with mock.patch.object(Rereading, "read", autospec=True, side_effect=Rereading.read) as read:
        receive(reads)
    return read.call_count


def emit(said: list[Statement]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ctx = HostContext(GROUPS, Ring(8 << 20, lambda: None), Path(folder), threading.Event())
        for group, values, states in said:
            ctx.emit(group, values, states=states)


def recording(path: Path) -> None:
    """Cost and share of a recording."""
    known = {message.frame_id >> 8 & 0x3FFFF: message for message in DATABASE.messages}
    reads: Reads = []
    theirs: list[tuple[Any, bytes]] = []
    count = 0
    for frame in candump.read(path):
        if frame.extended and not frame.remote:
            line = bus_traffic.line(frame.can_id, frame.payload)
            at_ms = int(frame.t * 1000)
            if not reads or at_ms - reads[-1][0] > 20:
                reads.append((at_ms, []))
            reads[-1][1].append(line)
            count += 1
            message = known.get(split_id(frame.can_id).pgn)
            if message is not None and len(frame.payload) == 8:
                theirs.append((message, frame.payload))
    work = [partial(receive, reads), partial(cantools_decode, theirs)]
    got = [[timed(one, count) for one in work] for _ in range(3)]
    ours_us, theirs_us = (statistics.median(run[n] for run in got) for n in range(2))
    print(f"{path.name.partition('.')[0]}: {count} frames, {len(theirs)} of them known")
    print(f"  receive: compare, decode, believe    {ours_us:7.2f}")
    print(f"  cantools decodes every known frame   {theirs_us:7.2f}")
    print(f"  known and skipped before decoding {100 * (1 - decoded(reads) / len(theirs)):.1f} %")


def cantools_decode(messages: list[tuple[Any, bytes]]) -> None:
    for message, payload in messages:
        message.decode(payload)


def recordings() -> list[Path]:
    """Beside the checkout, or beside the folder that holds several checkouts."""
    for parent in Path(__file__).resolve().parents[1:4]:
        folder = parent.parent / "shared" / "data" / "can"
        if folder.is_dir():
            return sorted(folder.glob("*.log.gz"))
    return []


def main() -> None:
    print(f"{COUNT} frames, all signals on, us a frame, median of {RUNS} runs")
    for driving in (False, True):
        traffic = list(bus_traffic.frames(COUNT, driving=driving))
        lines = [bus_traffic.line(*frame) for frame in traffic]
        text = b"".join(line + b"\r" for line in lines)
        messages = [(PGNS[split_id(can_id).pgn], payload) for can_id, payload in traffic]
        reads = paced(lines)
        said = receive(reads)
        stages: list[tuple[str, Callable[[], object]]] = [
            ("read and cut into lines", partial(read, text)),
            ("take every frame apart", partial(take_apart, lines)),
            ("decode every frame", partial(decode, messages)),
            ("receive: compare, decode, believe", partial(receive, reads)),
            ("emit what is stated", partial(emit, said)),
        ]
        got = [[timed(work) for _, work in stages] for _ in range(RUNS)]
        print("a driving bus" if driving else "a standing bus")
        for n, (name, _) in enumerate(stages):
            print(f"  {name:36} {statistics.median(run[n] for run in got):7.2f}")
        skipped = 100 * (1 - decoded(reads) / COUNT)
        values = sum(len(s.values) + len(s.states) for s in said)
        print(f"  skipped before decoding {skipped:.1f} %, {len(said)} records, {values} values")
    for path in recordings():
        recording(path)
    if not recordings():
        print("recordings: not run, ../shared/data/can is not beside the checkout")


if __name__ == "__main__":
    main()

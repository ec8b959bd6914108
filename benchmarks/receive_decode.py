"""What receiving and decoding one CAN frame costs: our SLCAN reader against python-can + cantools.

Both read the same traffic from the same pseudo-terminal: messages in the ratio of the FMS rates, at
the rate of a full 250 kbit/s bus. CPU time of the reading process, medians of three runs.

    python benchmarks/receive_decode.py [--seconds 3]
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

FULL_BUS = 1850  # frames/s of 8 bytes at 250 kbit/s, bit stuffing included
RUNS = 3
TICK_S = 0.01

# By PGN: messages a second (FMS-Standard v4), share of messages that differ from the one before.
RATES = {
    61444: (50, 0.9), 61443: (20, 0.5), 65265: (10, 0.6), 65266: (10, 0.5), 65132: (20, 0.3),
    65102: (10, 0.01), 65276: (1, 0.1), 65253: (1, 0.05), 65217: (1, 0.5), 65262: (1, 0.2),
    65269: (1, 0.1),
}  # fmt: skip


def traffic(frames: int, changing: bool) -> list[bytes]:
    """SLCAN lines in the ratio of the FMS rates, the same each time."""
    dice = random.Random(7)
    deck = [pgn for pgn, (rate, _) in RATES.items() for _ in range(rate)]
    payload = {pgn: bytes(8) for pgn in RATES}
    lines: list[bytes] = []
    while len(lines) < frames:
        dice.shuffle(deck)
        for pgn in deck:
            if changing and dice.random() < RATES[pgn][1]:
                payload[pgn] = bytes(dice.randrange(0xFB) for _ in range(8))
            lines.append(b"T%08X8%s\r" % (6 << 26 | pgn << 8, payload[pgn].hex().upper().encode()))
    return lines[:frames]


def feed(master: int, frames: int, changing: bool) -> None:
    """Play the adaptor: answer commands, then send all frames at the rate of a full bus."""
    lines = traffic(frames, changing)
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
    command = [sys.executable, __file__, "--feed", str(master), "--frames", str(frames)]
    command += ["--changing"] if changing else []
    with subprocess.Popen(command, pass_fds=[master]) as process:
        try:
            yield os.ttyname(slave)
        finally:
            process.kill()
    os.close(master)
    os.close(slave)


def ours(path: str, frames: int) -> int:
    """How many values our reader states for `frames` frames."""
    from drivers.fms_j1939.receiver import Receiver
    from drivers.fms_j1939.slcan import SlcanBus

    receiver = Receiver()
    values = 0
    with SlcanBus(path, 250_000, 115_200) as bus:
        while receiver.frames_read < frames:
            for _, statements in bus.receive(receiver, 0.2):
                values += sum(len(s.values) + len(s.states) for s in statements)
    return values


def theirs(path: str, frames: int) -> int:
    """How many values python-can's slcan interface and cantools give for `frames` frames."""
    import can
    import cantools.database

    database = cantools.database.load_string(dbc(), "dbc")
    by_pgn = {message.frame_id >> 8 & 0x3FFFF: message for message in database.messages}
    values = read = 0
    with can.Bus(
        interface="slcan", channel=path, bitrate=250_000, listen_only=True, sleep_after_open=0.0
    ) as bus:
        while read < frames:
            frame = bus.recv(0.2)
            if frame is not None:
                read += 1
                values += len(by_pgn[frame.arbitration_id >> 8 & 0x3FFFF].decode(frame.data))
    return values


def dbc() -> str:
    """Our table as a DBC, which is what cantools reads."""
    from drivers.fms_j1939.table import PGNS

    lines = ['VERSION ""', "NS_ :", "BS_:", "BU_: X", ""]
    for number in RATES:
        lines.append(f"BO_ {0x80000000 | number << 8} PGN{number}: 8 X")
        for spn in PGNS[number].spns:
            place = f"{spn.first_bit}|{spn.bits}@1+ ({spn.num / spn.den!r},{spn.offset})"
            lines.append(f' SG_ SPN{spn.number} : {place} [0|0] "" X')
        lines.append("")
    return "\n".join(lines)


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
    # Imports are not what is measured.
    import can.interfaces.slcan  # noqa: F401
    import cantools.database  # noqa: F401

    frames = int(min(5, max(1, args.seconds)) * FULL_BUS)
    rows = [
        ("our SLCAN reader, a standing bus", ours, False),
        ("our SLCAN reader, a driving bus", ours, True),
        ("python-can slcan + cantools, a driving bus", theirs, True),
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

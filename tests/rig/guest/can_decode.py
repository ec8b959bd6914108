"""Play a capture on a CAN interface and write down what the driver's reader makes of it.

    can_decode.py CHANNEL FRAMES OUT

FRAMES has SLCAN lines. OUT gets a line of JSON a statement, in order, without times; then prints
{"read": N, "rejected": N, "lost": N}. Sender and reader take turns, so that no queue is too short.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
from pathlib import Path

from drivers.fms_j1939.socketcan import SocketCanBus
from tests.rig.timeless import lines, timeless

CHUNK = 200
EXTENDED, REMOTE = 0x80000000, 0x40000000


def can_frame(line: str) -> bytes:
    """The kernel's frame of an SLCAN line: written here anew, to share no code with the driver."""
    kind, digits = line[0], 8 if line[0] in "TR" else 3
    can_id = int(line[1 : 1 + digits], 16) | (EXTENDED if kind in "TR" else 0)
    length, payload = int(line[1 + digits]), bytes.fromhex(line[2 + digits :])
    if kind in "Rr":
        can_id |= REMOTE
    return struct.pack("=IB3x8s", can_id, length, payload)


def main() -> None:
    channel, frames, out = sys.argv[1:]
    played = [can_frame(line) for line in Path(frames).read_text().split()]
    with (
        timeless() as receiver,
        SocketCanBus(channel, 250_000, insist=True) as bus,
        socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as sender,
        Path(out).open("w") as found,
    ):
        sender.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FILTER, b"")
        sender.bind((channel,))
        for n in range(0, len(played), CHUNK):
            for frame in played[n : n + CHUNK]:
                sender.send(frame)
            for line in lines(bus.receive(receiver, 0.0)):
                found.write(line + "\n")
        while said := bus.receive(receiver, 0.5):
            for line in lines(said):
                found.write(line + "\n")
        counts = {
            "read": receiver.frames_read,
            "rejected": receiver.frames_rejected,
            "lost": bus.condition().lost,
        }
    sys.stdout.write(json.dumps(counts) + "\n")


if __name__ == "__main__":
    main()

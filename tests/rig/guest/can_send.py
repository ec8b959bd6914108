"""Put frames on a CAN interface: the far end of the bus, with nothing of the project's in it.

    can_send.py CHANNEL FILE [FRAMES-PER-SECOND]

FILE has a frame a line: `18FEF100#F30032FFFFFFFFFF`, `123#11` (11-bit), `18FEF100#R` (remote),
`18FEF100##0...` (FD), `20000040#...` (error frame), or `wait SECONDS` or `say TEXT`, which is
printed with the boot time in ms. At the end `sent N first_ms last_ms`, N without error frames.
"""

import errno
import select
import socket
import struct
import sys
import time

EXTENDED, REMOTE, ERROR = 0x80000000, 0x40000000, 0x20000000


def boottime_ms():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def frame(text):
    """The can_frame or canfd_frame of a line."""
    identifier, _, rest = text.partition("#")
    can_id = int(identifier, 16) | (EXTENDED if len(identifier) == 8 else 0)
    if can_id & ERROR:
        can_id &= ~EXTENDED
    if rest.startswith("#"):
        payload = bytes.fromhex(rest[2:])
        return struct.pack("=IBB2x64s", can_id, len(payload), int(rest[1], 16), payload)
    if rest == "R":
        return struct.pack("=IB3x8s", can_id | REMOTE, 8, b"")
    payload = bytes.fromhex(rest)
    return struct.pack("=IB3x8s", can_id, len(payload), payload)


def say(*words):
    """One line at once: the output is a file of the host."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def again(step, *numbers):
    """Do a step; for 10 s again where the interface is not ready for it yet."""
    deadline = time.monotonic() + 10.0
    while True:
        try:
            return step()
        except OSError as error:
            if error.errno not in numbers or time.monotonic() > deadline:
                raise
        pause(0.005)


def pause(seconds):
    select.select([], [], [], max(0.0, seconds))


def main():
    channel, path = sys.argv[1:3]
    rate = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    bus = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
    bus.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
    bus.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FILTER, b"")  # it only talks
    again(lambda: bus.bind((channel,)), errno.ENODEV)
    with open(path, encoding="ascii") as lines:
        steps = [
            frame(line.strip()) if "#" in line else line.strip() for line in lines if line.strip()
        ]
    sent, first, began = 0, None, time.monotonic()
    for step in steps:
        if isinstance(step, str):
            word, _, rest = step.partition(" ")
            if word == "wait":
                pause(float(rest))
                began += float(rest)
            else:
                say(rest, boottime_ms())
            continue
        if rate and sent % 16 == 0:
            pause(began + sent / rate - time.monotonic())
        again(lambda step=step: bus.send(step), errno.ENOBUFS, errno.ENETDOWN)
        if not struct.unpack_from("=I", step)[0] & ERROR:
            sent += 1
        first = first or boottime_ms()
    say("sent", sent, first, boottime_ms())


if __name__ == "__main__":
    main()

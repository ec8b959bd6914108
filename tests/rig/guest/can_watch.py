"""The second socket: count every frame on all CAN interfaces until SIGTERM, then print the sums.

{"frames": N, "errors": N, "lost": N}: frames of the bus, error frames, and what this socket itself
was too slow for. Every frame that anybody in the guest sends is heard here.
"""

import json
import signal
import socket
import struct
import sys

ERROR = 0x20000000
SO_RCVBUFFORCE, SO_RXQ_OVFL = 33, 40
CAN_RAW_ERR_FILTER = 2


def main():
    ear = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
    ear.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 * 1024 * 1024)
    ear.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
    ear.setsockopt(socket.SOL_CAN_RAW, CAN_RAW_ERR_FILTER, struct.pack("=I", 0x1FFFFFFF))
    ear.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
    ear.bind(("",))
    counts = {"frames": 0, "errors": 0, "lost": 0}
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    ear.settimeout(0.2)
    while True:
        try:
            frame, control, _, _ = ear.recvmsg(72, 64)
        except TimeoutError:
            if stopped:
                break
            continue
        except OSError:  # an interface went down or away
            continue
        for _, kind, body in control:
            if kind == SO_RXQ_OVFL:
                counts["lost"] = struct.unpack("=I", body[:4])[0]
        counts["errors" if struct.unpack_from("=I", frame)[0] & ERROR else "frames"] += 1
    sys.stdout.write(json.dumps(counts) + "\n")


if __name__ == "__main__":
    main()

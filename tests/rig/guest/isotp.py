#!/usr/bin/python3
"""Runs in the guest: 1,024 bytes through a pair of ISO-TP sockets on vcan0, there and back."""

import os
import random
import socket

there, back = (socket.socket(socket.AF_CAN, socket.SOCK_DGRAM, socket.CAN_ISOTP) for _ in "ab")
there.bind(("vcan0", 0x18DA00F9 | socket.CAN_EFF_FLAG, 0x18DAF900 | socket.CAN_EFF_FLAG))
back.bind(("vcan0", 0x18DAF900 | socket.CAN_EFF_FLAG, 0x18DA00F9 | socket.CAN_EFF_FLAG))
for one, other in ((there, back), (back, there)):
    one.settimeout(10)
    other.settimeout(10)
    sent = random.Random(1).randbytes(1024)
    one.send(sent)
    assert other.recv(4096) == sent
os.write(1, b"equal both ways\n")

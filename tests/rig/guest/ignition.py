#!/usr/bin/python3
"""Runs in the guest: reads line 0 of /dev/gpiochip0, as a program reads an ignition input.

Prints its value at the start and after each edge, as many edges as the argument says.
"""

import fcntl
import os
import struct
import sys

EVENT = struct.Struct("<III32si")
"""struct gpioevent_request of linux/gpio.h: line, input (1), edges (3), consumer, descriptor."""
GET_EVENT, GET_VALUES = 0xC030B404, 0xC040B408

chip = os.open("/dev/gpiochip0", os.O_RDONLY)
line = EVENT.unpack(fcntl.ioctl(chip, GET_EVENT, EVENT.pack(0, 1, 3, b"ignition", 0)))[4]
for edge in range(int(sys.argv[1]) + 1):
    if edge:
        os.read(line, 16)
    os.write(1, b"ignition %d\n" % fcntl.ioctl(line, GET_VALUES, bytes(64))[0])

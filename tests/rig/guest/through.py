#!/usr/bin/python3
"""Runs in the guest: 2,000 bytes from one serial line to another and back: ONE OTHER."""

import os
import random
import select
import sys
import tty

one, other = (os.open(name, os.O_RDWR | os.O_NOCTTY) for name in sys.argv[1:3])
for line in (one, other):
    tty.setraw(line)
for source, target in ((one, other), (other, one)):
    sent, heard = random.Random(1).randbytes(2000), b""
    os.write(source, sent)
    while len(heard) < len(sent):
        assert select.select([target], [], [], 20)[0], f"{len(heard)} of {len(sent)} bytes arrived"
        heard += os.read(target, 4096)
    assert heard == sent
os.write(1, b"equal both ways\n")

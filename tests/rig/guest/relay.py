#!/usr/bin/python3
"""Runs in the guest: what FROM says goes to TO while the file PLUGGED exists, else nowhere.

Arguments: FROM TO PLUGGED. FROM stays open: User-Mode Linux keeps what comes for a closed line, a
real one does not.
"""

import os
import sys
import tty

source, target = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY), -1
tty.setraw(source)
while heard := os.read(source, 4096):
    plugged = os.path.exists(sys.argv[3])
    try:
        if plugged and target < 0:
            target = os.open(sys.argv[2], os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            tty.setraw(target)
        if plugged:
            os.write(target, heard)
    except BlockingIOError:
        continue  # nobody reads at the far end
    except OSError as error:
        os.write(1, f"{error}\n".encode())  # hung up by a reset of the bus
        plugged = False
    if not plugged and target >= 0:
        os.close(target)
        target = -1

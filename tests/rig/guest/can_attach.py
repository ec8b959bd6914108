"""Make a CAN interface of the SLCAN stick on a serial line, for as long as this runs.

    can_attach.py TTY          prints the interface's name

The kernel's module slcan talks to the stick: it opens the channel when the interface is set up.
"""

import fcntl
import os
import signal
import struct
import sys
import tty

TIOCSETD, SIOCGIFNAME = 0x5423, 0x8910
N_SLCAN = 17


def main():
    line = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    tty.setraw(line)
    fcntl.ioctl(line, TIOCSETD, struct.pack("=i", N_SLCAN))
    name = fcntl.ioctl(line, SIOCGIFNAME, bytes(40))
    sys.stdout.write(name.split(b"\0")[0].decode() + "\n")
    sys.stdout.flush()
    signal.pause()


if __name__ == "__main__":
    main()

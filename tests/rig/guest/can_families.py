"""Which sockets this process may make: a line each, `yes` or why not."""

import socket
import sys

WANTED = {
    "AF_INET": (socket.AF_INET, socket.SOCK_STREAM, 0),
    "AF_INET6": (socket.AF_INET6, socket.SOCK_STREAM, 0),
    "AF_PACKET": (socket.AF_PACKET, socket.SOCK_RAW, 0),
    "AF_CAN": (socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW),
    "AF_NETLINK": (socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE),
}

for name, how in WANTED.items():
    try:
        socket.socket(*how).close()
        said = "yes"
    except OSError as error:
        said = str(error.strerror)
    sys.stdout.write(f"{name}: {said}\n")

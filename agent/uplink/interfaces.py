"""Which network interface an address of this box belongs to: 3G or the Wi-Fi of the depot.

Asked so that the sandbox of the unit allows it: no netlink socket, and of /proc only `self`.
"""

from __future__ import annotations

import array
import fcntl
import ipaddress
import socket
import struct
from pathlib import Path

_SIOCGIFCONF = 0x8912
_INTERFACES = 256
_REQUEST_BYTES = 40
"""Of `struct ifreq` (64 bit): a name of 16 bytes, then a sockaddr_in."""
_INET6 = Path("/proc/self/net/if_inet6")


def interface_of(address: str) -> str:
    """The name of the interface that has this IPv4 or IPv6 address; "" where none has."""
    try:
        wanted = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(wanted, ipaddress.IPv6Address) and wanted.ipv4_mapped is not None:
        wanted = wanted.ipv4_mapped
    try:
        return _ipv4(wanted) if isinstance(wanted, ipaddress.IPv4Address) else _ipv6(wanted)
    except OSError:
        return ""


def _ipv4(wanted: ipaddress.IPv4Address) -> str:
    room = array.array("B", bytes(_INTERFACES * _REQUEST_BYTES))
    request = struct.pack("iP", len(room), room.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        used, _ = struct.unpack("iP", fcntl.ioctl(sock.fileno(), _SIOCGIFCONF, request))
    for at in range(0, used, _REQUEST_BYTES):
        name = room[at : at + 16].tobytes().partition(b"\0")[0]
        if room[at + 20 : at + 24].tobytes() == wanted.packed:
            # An alias such as eth0:1 belongs to its interface.
            return name.decode(errors="replace").partition(":")[0]
    return ""


def _ipv6(wanted: ipaddress.IPv6Address) -> str:
    """Lines of the kernel: 32 hex digits, index, prefix length, scope, flags, name."""
    for line in _INET6.read_text().splitlines():
        fields = line.split()
        if len(fields) == 6 and fields[0] == wanted.packed.hex():
            return fields[5]
    return ""

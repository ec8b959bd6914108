"""Which network interface an address of this box belongs to: 3G or the Wi-Fi of the depot."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
from pathlib import Path

_SIOCGIFADDR = 0x8915
_INET6 = Path("/proc/net/if_inet6")


def interface_of(address: str) -> str:
    """The name of the interface that has this IPv4 or IPv6 address; "" where none has."""
    try:
        wanted = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(wanted, ipaddress.IPv6Address) and wanted.ipv4_mapped is not None:
        wanted = wanted.ipv4_mapped
    if isinstance(wanted, ipaddress.IPv4Address):
        return next((name for name in _names() if _ipv4(name) == wanted), "")
    return _ipv6(wanted)


def _names() -> list[str]:
    try:
        return [name for _, name in socket.if_nameindex()]
    except OSError:
        return []


def _ipv4(name: str) -> ipaddress.IPv4Address | None:
    """The first IPv4 address of an interface."""
    request = struct.pack("256s", name.encode()[:15])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            answer = fcntl.ioctl(sock.fileno(), _SIOCGIFADDR, request)
        except OSError:
            return None
    return ipaddress.IPv4Address(answer[20:24])


def _ipv6(wanted: ipaddress.IPv6Address) -> str:
    """Lines of the kernel: 32 hex digits, index, prefix length, scope, flags, name."""
    try:
        lines = _INET6.read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        fields = line.split()
        if len(fields) == 6 and fields[0] == wanted.packed.hex():
            return fields[5]
    return ""

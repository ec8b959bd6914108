"""A name service of one's own, which fails, hangs or lies, and which the agent alone asks."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shutil
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.faults.injection import NotHere
from tests.faults.world import World

_A, _AAAA = 1, 28
_NXDOMAIN, _SERVFAIL = 3, 2


class NameService:
    """Answers on UDP port 53 of an address of loopback. `addresses`: what every name leads to.

    `code`: an error to answer with, 0 for none. `silent`: it answers nothing.
    """

    def __init__(self) -> None:
        if os.getuid() or shutil.which("unshare") is None:
            raise NotHere("faults: not run: a name service of one's own needs root and unshare")
        self.address = f"127.{os.getpid() >> 8 & 255}.{os.getpid() & 255}.53"
        self.addresses: Sequence[str] = ()
        self.code = 0
        self.silent = False
        self.asked = 0
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._sock.bind((self.address, 53))
        except OSError as error:
            self._sock.close()
            raise NotHere(f"faults: not run: port 53 of {self.address}: {error}") from None
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                query, peer = self._sock.recvfrom(512)
                self.asked += 1
                if query and not self.silent:
                    self._sock.sendto(self._answer(query), peer)

    def _answer(self, query: bytes) -> bytes:
        """RFC 1035: the header, the question again, an answer for each address of its kind."""
        end = query.index(b"\0", 12) + 5
        kind = int.from_bytes(query[end - 4 : end - 2], "big")
        found = [] if self.code else [ipaddress.ip_address(text) for text in self.addresses]
        records = [
            b"\xc0\x0c" + kind.to_bytes(2, "big") + b"\0\1\0\0\0\0" + _text(address.packed)
            for address in found
            if kind == (_A if address.version == 4 else _AAAA)
        ]
        flags = (0x8180 | self.code).to_bytes(2, "big")
        counts = b"\0\1" + len(records).to_bytes(2, "big") + b"\0\0\0\0"
        return query[:2] + flags + counts + query[12:end] + b"".join(records)


def _text(content: bytes) -> bytes:
    return len(content).to_bytes(2, "big") + content


@contextlib.contextmanager
def name_service(world: World) -> Iterator[NameService]:
    """One that the agent asks from now on, in a mount name space of its own. Raises NotHere."""
    service = NameService()
    said = Path(world.directory / "resolv.conf")
    said.write_text(f"nameserver {service.address}\noptions timeout:1 attempts:1\n")
    script = f'mount --bind {said} /etc/resolv.conf && exec "$@"'
    world.within = ["unshare", "-m", "sh", "-c", script, "sh"]
    try:
        yield service
    finally:
        service.close()

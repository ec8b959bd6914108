"""Bytes on the wire, as the kernel counts them, against every packet that a tap saw."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from uplink_rig import until

from agent.uplink import tcp
from agent.uplink.interfaces import interface_of
from agent.uplink.wire import Passed, Wire, packets

ETH_P_ALL = 0x0003
SEGMENT = 1_100


@dataclass
class Tap:
    """Sees all packets of lo that have `port` at one end; counts their IP bytes by direction."""

    port: int
    up: int = 0
    down: int = 0

    def run(self, sock: socket.socket, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                packet, where = sock.recvfrom(1 << 17)
            except TimeoutError:
                continue
            if where[2] == socket.PACKET_OUTGOING:
                continue  # lo shows each packet twice
            version = packet[0] >> 4
            at = (packet[0] & 15) * 4 if version == 4 else 40
            protocol = packet[9] if version == 4 else packet[6]
            if protocol != socket.IPPROTO_TCP or len(packet) < at + 4:
                continue
            source, target = struct.unpack_from("!HH", packet, at)
            header = at + (packet[at + 12] >> 4) * 4
            # lo passes on several segments as one packet; a real interface cuts them.
            more = max(0, -(-(len(packet) - header) // (SEGMENT - 12)) - 1)
            nbytes = len(packet) + more * header
            if target == self.port:
                self.up += nbytes
            elif source == self.port:
                self.down += nbytes


@contextlib.contextmanager
def tapped(port: int) -> Iterator[Tap]:
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        sock.bind(("lo", ETH_P_ALL))
    except PermissionError:
        pytest.skip("not run: a tap of packets needs root")
    sock.settimeout(0.1)
    tap, stop = Tap(port), threading.Event()
    thread = threading.Thread(target=tap.run, args=(sock, stop))
    thread.start()
    try:
        yield tap
    finally:
        stop.set()
        thread.join()
        sock.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize(("messages", "nbytes"), [(0, 0), (200, 300), (20, 40_000)])
def test_what_is_counted_is_what_a_tap_sees(host: str, messages: int, nbytes: int) -> None:
    """Within the options of the SYN that the kernel does not tell, 40 bytes at most."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        port = server.getsockname()[1]
        with tapped(port) as tap:
            sock = tcp.connect(host, port, 5.0, SEGMENT)
            far, _ = server.accept()
            wire = Wire()
            wire.attach(sock)
            for n in range(messages):
                sock.sendall(os.urandom(nbytes))
                left = nbytes
                while left:
                    left -= len(far.recv(left))
                if n % 2:
                    far.sendall(b"x" * 40)
                    assert sock.recv(40)
            until(lambda: tcp.progress(sock).unacked == 0, "all is acknowledged")  # type: ignore[union-attr]
            counted = wire.take()["lo"]
            until(
                lambda: counted.up <= tap.up + 1 and counted.down <= tap.down + 1,
                "the tap has seen it",
            )
            assert abs(tap.up - counted.up) <= 40
            assert abs(tap.down - counted.down) <= 40
            wire.end()
            sock.close()
            far.close()


def test_it_is_told_what_passed_after_the_socket_was_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        sock = tcp.connect("127.0.0.1", server.getsockname()[1], 5.0, None)
        far, _ = server.accept()
        wire = Wire(lambda address: "wwan0")
        wire.attach(sock)
        before = wire.take()["wwan0"]
        sock.sendall(bytes(1_000))
        sock.close()
        wire.end()
        after = wire.take()["wwan0"]
        assert before.up >= 92 and 1_000 <= after.up <= 1_200
        assert wire.take() == {}
        far.close()


def test_connections_add_up_each_on_its_interface() -> None:
    names = iter(["wwan0", "wlan0", "wwan0"])
    wire = Wire(lambda address: next(names))
    with socket.create_server(("127.0.0.1", 0)) as server:
        for _ in range(3):
            sock = tcp.connect("127.0.0.1", server.getsockname()[1], 5.0, None)
            server.accept()[0].close()
            wire.attach(sock)
            sock.close()
        wire.end()
    wire.add(1_000, 0)
    passed = wire.take()
    assert passed["wwan0"].up >= 1_000 + 2 * 92
    assert set(passed) == {"wwan0", "wlan0"}


@pytest.mark.parametrize(
    ("address", "timestamps", "header"),
    [
        ("10.0.0.1", True, 52),
        ("10.0.0.1", False, 40),
        ("fd00::1", True, 72),
        ("::ffff:10.0.0.1", True, 52),
    ],
)
def test_each_segment_has_its_headers(address: str, timestamps: bool, header: int) -> None:
    progress = tcp.Progress(
        *(0, 0, 500),
        sent_bytes=1_000,
        segments_out=10,
        segments_in=5,
        timestamps=timestamps,
    )
    assert packets(progress, address) == Passed(1_000 + 10 * header, 500 + 5 * header)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("127.0.0.1", "lo"),
        ("::1", "lo"),
        ("::ffff:127.0.0.1", "lo"),
        ("192.0.2.77", ""),
        ("2001:db8::77", ""),
        ("", ""),
        ("no address", ""),
    ],
)
def test_the_interface_of_an_address(address: str, name: str) -> None:
    assert interface_of(address) == name


def test_every_address_of_this_box_is_found() -> None:
    """The route to anywhere begins at an address of ours, at the interface of that route."""
    address = tcp.source_address(None)
    if address is None:
        pytest.skip("not run: this box has no route to anywhere")
    routes = Path("/proc/self/net/route").read_text().splitlines()[1:]
    default = [line.split()[0] for line in routes if line.split()[1] == "00000000"]
    assert interface_of(address) in default

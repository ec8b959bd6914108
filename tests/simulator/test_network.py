"""The link relays, counts, falls silent when cut and forgets its connections when it heals."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from simulator.network import Link


@pytest.fixture
def far_end() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        yield server


@pytest.fixture
def link(far_end: socket.socket) -> Iterator[Link]:
    link = Link(far_end.getsockname()[1])
    link.start()
    yield link
    link.stop()


def connected(link: Link, far_end: socket.socket) -> tuple[socket.socket, socket.socket]:
    near = socket.create_connection(("127.0.0.1", link.port), timeout=5)
    far, _ = far_end.accept()
    far.settimeout(5)
    return near, far


def test_bytes_pass_and_are_counted(link: Link, far_end: socket.socket) -> None:
    near, far = connected(link, far_end)
    with near, far:
        near.sendall(b"up!")
        assert far.recv(10) == b"up!"
        far.sendall(b"down")
        assert near.recv(10) == b"down"
        up, down = link.passed()
        # The content, and a header of 40 or 52 bytes for each segment, bare answers too.
        assert 3 + 2 * 40 <= up <= 3 + 6 * 52, up
        assert 4 + 2 * 40 <= down <= 4 + 6 * 52, down
    closed = link.passed()
    assert closed >= (up, down), "what a connection cost stays counted"


def test_large_content_is_counted_once(link: Link, far_end: socket.socket) -> None:
    near, far = connected(link, far_end)
    with near, far:
        content, got = b"x" * 1_000_000, 0
        sender = threading.Thread(target=near.sendall, args=(content,))
        sender.start()
        while got < len(content):
            got += len(far.recv(65_536))
        sender.join()
        up, down = link.passed()
        assert 1_000_000 < up < 1_060_000 and down < 60_000, (up, down)


def test_a_cut_is_silent_and_a_heal_resets(link: Link, far_end: socket.socket) -> None:
    near, far = connected(link, far_end)
    with near, far:
        link.cut(True)
        near.settimeout(0.5)
        near.sendall(b"lost")
        with pytest.raises(TimeoutError):
            near.recv(1)
        # A new connection is taken by the kernel and hears nothing either.
        with socket.create_connection(("127.0.0.1", link.port), timeout=1) as late:
            late.settimeout(0.3)
            late.sendall(b"?")
            with pytest.raises(TimeoutError):
                late.recv(1)
            link.cut(False)
            near.settimeout(5)
            with contextlib.suppress(ConnectionResetError):
                assert near.recv(1) == b""
            other, _ = far_end.accept()
            with other:
                other.settimeout(5)
                assert other.recv(1) == b"?"


def test_a_broker_that_is_down_closes_at_once(link: Link, far_end: socket.socket) -> None:
    far_end.close()
    with socket.create_connection(("127.0.0.1", link.port), timeout=5) as near:
        near.settimeout(5)
        assert near.recv(1) == b""

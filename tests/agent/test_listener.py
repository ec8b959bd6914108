"""Sockets of the run directory: what is dead goes, who lives keeps them."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from agent.listener import AddressInUse, listener


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_whoever_listens_keeps_the_path(tmp_path: Path, kind: socket.SocketKind) -> None:
    path = tmp_path / "x.sock"
    with listener(path, kind, 0o600) as first:
        assert path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(AddressInUse, match=f"process {os.getpid()} listens there"):
            listener(path, kind, 0o600)
        with socket.socket(socket.AF_UNIX, kind) as client:
            client.connect(str(path))
        first.accept()[0].close()
    listener(path, kind, 0o600).close()


def test_a_path_that_nobody_serves_is_free(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(path))
    listener(path, socket.SOCK_STREAM, 0o600).close()


def test_a_child_that_outlives_the_listener_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    received, given = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as own:
            own.bind(str(path))
            own.listen()
            socket.send_fds(given, [b"x"], [own.fileno()])
        os._exit(0)
    _, (fd,), _, _ = socket.recv_fds(received, 1, 1)
    os.waitpid(pid, 0)
    try:
        listener(path, socket.SOCK_STREAM, 0o600).close()
    finally:
        os.close(fd)
        received.close()
        given.close()


def test_a_path_too_long_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="AF_UNIX path too long"):
        listener(tmp_path / ("x" * 120), socket.SOCK_STREAM, 0o600)

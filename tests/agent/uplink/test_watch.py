"""What a connection tells from below: on loopback, whose addresses can be had by the dozen."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from agent.uplink import tcp
from agent.uplink.watch import LOOK_S, STALLED_S, Watch


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """(ours, the far end's) of one TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = tcp.connect("127.0.0.1", server.getsockname()[1], 5.0, None)
        theirs, _ = server.accept()
        with ours, theirs:
            yield ours, theirs


def test_bytes_that_arrived_are_counted(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    watch = Watch(ours, 0.0)
    assert watch.acked_bytes is None
    ours.sendall(b"x" * 1_000)
    assert len(theirs.recv(1_000, socket.MSG_WAITALL)) == 1_000
    assert watch.look(LOOK_S) is None
    # TCP counts the SYN as a byte.
    assert watch.acked_bytes in (1_000, 1_001)
    assert not watch.stalled(1e6), "it has nothing to do"


def test_it_looks_once_a_second(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    monkeypatch.setattr(tcp, "progress", lambda sock: looks.append(1))
    watch = Watch(pair[0], 100.0)
    for now in (100.1, 100.9, 101.0, 101.1, 101.9, 102.0):
        watch.look(now)
    assert len(looks) == 2


def test_silence_is_bytes_that_nobody_answers(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch(pair[0], 0.0)
    seen = [
        (1.0, tcp.Progress(3, 100, 50)),
        (2.0, tcp.Progress(3, 200, 50)),
        (3.0, tcp.Progress(0, 300, 50)),
        (20.0, tcp.Progress(2, 300, 50)),
        (29.0, tcp.Progress(2, 300, 50)),
    ]
    for now, progress in seen:
        monkeypatch.setattr(tcp, "progress", lambda sock, progress=progress: progress)
        watch.look(now)
        assert not watch.stalled(min(now, 12.0))
    assert watch.stalled(3.0 + STALLED_S)
    monkeypatch.setattr(tcp, "progress", lambda sock: None)  # it is gone: what was seen counts
    watch.look(30.0)
    assert watch.stalled(30.0)


def test_another_address_of_the_box_ends_it(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch(pair[0], 0.0)
    assert watch.look(1.0) is None
    monkeypatch.setattr(tcp, "source_address", lambda peer: None)
    assert watch.look(2.0) is None, "no way at all may be the same way again"
    monkeypatch.setattr(tcp, "source_address", lambda peer: "10.0.0.9")
    assert watch.look(3.0) == "the address of this box is 10.0.0.9 now, it was 127.0.0.1"


def test_a_connection_that_is_gone_tells_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        sock = tcp.connect("localhost", server.getsockname()[1], 5.0, None)
        sock.close()
        watch = Watch(sock, 0.0)
        assert watch.peer is None
        assert watch.look(5.0) is None
        assert watch.acked_bytes is None


def test_segments_are_as_small_as_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with tcp.connect("127.0.0.1", port, 5.0, 500) as ours, server.accept()[0] as theirs:
            for sock in (ours, theirs):  # the far end is bound by it too
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) <= 500
            timeout_ms = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            assert timeout_ms == tcp.USER_TIMEOUT_MS


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        tcp.connect("127.0.0.1", port, 5.0, None)


def test_the_way_to_a_peer() -> None:
    assert tcp.source_address(("127.0.0.7", 1883)) == "127.0.0.1"
    assert tcp.source_address(("no address", 1883)) is None

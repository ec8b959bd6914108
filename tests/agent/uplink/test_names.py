"""Name look-ups that fail, hang, lie or lead to a family that leads nowhere."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from agent.uplink import names, tcp
from agent.uplink.names import Names

V4 = (socket.AF_INET, ("127.0.0.1", 1))
V6 = (socket.AF_INET6, ("::1", 1, 0, 0))


class Service:
    """The name service: `answer` is what it gives, or raises; `hangs` until told otherwise."""

    def __init__(self) -> None:
        self.answer: list[Any] | OSError = []
        self.going = threading.Event()
        self.going.set()
        self.asked = 0

    def getaddrinfo(self, host: str, port: int, type: int) -> list[Any]:
        self.asked += 1
        self.going.wait(10)
        if isinstance(self.answer, OSError):
            raise self.answer
        return [(family, type, 6, "", address) for family, address in self.answer]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    made = Service()
    monkeypatch.setattr(socket, "getaddrinfo", made.getaddrinfo)
    monkeypatch.setattr(names, "LOOK_UP_S", 0.2)
    yield made
    made.going.set()


def other(n: int) -> Any:
    return (socket.AF_INET, (f"127.0.0.{n}", 1))


def test_families_take_turns_and_what_worked_goes_first(service: Service) -> None:
    known = Names()
    service.answer = [V6, (socket.AF_INET6, ("::2", 1, 0, 0)), V4, other(2)]
    assert known.addresses("broker", 1)[:2] == [V6, V4]
    known.worked("broker", 1, V4)
    assert known.addresses("broker", 1)[:2] == [V4, V6]
    service.answer = [other(9)]
    assert known.addresses("broker", 1) == [other(9)], "an address that is gone is not tried"


def test_a_service_that_fails(service: Service) -> None:
    known = Names()
    service.answer = socket.gaierror(socket.EAI_AGAIN, "try again")
    with pytest.raises(socket.gaierror, match="try again"):
        known.addresses("broker", 1)
    known.worked("broker", 1, V4)
    assert known.addresses("broker", 1) == [V4]
    with pytest.raises(socket.gaierror):
        known.addresses("broker", 2)


def test_a_service_that_hangs_is_asked_once_at_a_time(service: Service) -> None:
    known = Names()
    service.going.clear()
    for _ in range(3):
        with pytest.raises(socket.gaierror, match="no answer within"):
            known.addresses("broker", 1)
    assert service.asked == 1
    known.worked("broker", 1, V4)
    assert known.addresses("broker", 1) == [V4]
    service.answer = [other(5)]
    service.going.set()
    assert other(5) in known.addresses("broker", 1), "its late answer counts"


def test_a_name_that_is_none(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise UnicodeError("label too long")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(socket.gaierror, match="label too long"):
        Names().addresses("x" * 300, 1)


def test_an_address_that_refuses_is_passed_over(service: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        service.answer = [
            (socket.AF_INET6, ("::1", port, 0, 0)),
            (socket.AF_INET, ("127.0.0.1", port)),
        ]
        known = Names()
        with tcp.connect("broker", port, 5.0, None, known) as sock:
            assert sock.getpeername() == ("127.0.0.1", port)
        assert known.addresses("broker", port)[0][1] == ("127.0.0.1", port)

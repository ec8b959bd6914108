"""The name service fails, hangs, lies, or knows an address of a family that leads nowhere."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.authority import Authority, server
from tests.faults.brokers import begin
from tests.faults.liar import Liar, between
from tests.faults.name_service import NameService, name_service
from tests.faults.world import World

NAME, HERE = "broker.example", "127.0.0.1"


@contextlib.contextmanager
def named(world: World, **uplink: str) -> Iterator[tuple[NameService, Liar]]:
    """A broker that the agent knows by its name."""
    with between(world, broker=NAME, **uplink) as liar, name_service(world) as service:
        service.addresses = [HERE]
        yield service, liar


@pytest.mark.fault("G10", "the name service fails: the last address that worked is used")
@pytest.mark.parametrize("how", ["SERVFAIL", "NXDOMAIN", "silent"])
def test_a_service_that_fails(world: World, how: str) -> None:
    with named(world) as (service, liar):

        def breaks() -> None:
            service.code = {"SERVFAIL": 2, "NXDOMAIN": 3}.get(how, 0)
            service.silent = how == "silent"

        def heals() -> None:
            service.code, service.silent = 0, False

        breaks()
        world.dial()
        world.start()
        world.feed()
        world.until(lambda: f"the name '{NAME}' is not known" in world.log(), "it is said")
        world.accepts(50)
        heals()
        world.until(lambda: world.delivered() >= 50, "found, and connected", 60)
        breaks()
        asked, mark = service.asked, world.mark()
        liar.cut()
        world.until(lambda: "uplink up" in world.log(mark), "back by the address it knows", 60)
        assert service.asked > asked, "it asked again"
        world.settle(healed_at=time.monotonic())
        assert not world.alarms("")


class Impostor:
    """Listens where the broker should be, in TLS, with a certificate for its name."""

    def __init__(self, address: str, port: int, context: ssl.SSLContext) -> None:
        self.address, self.heard, self.attempts = address, b"", 0
        self._context = context
        self._server = socket.create_server((address, port))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._server.accept()
            except OSError:
                return
            self.attempts += 1
            with contextlib.suppress(OSError), plain:
                plain.settimeout(5.0)
                with self._context.wrap_socket(plain, server_side=True) as sock:
                    self.heard += sock.recv(4_096)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


@pytest.mark.fault("G10", "the name service lies: TLS finds out, nothing is said, one alarm")
def test_a_service_that_lies(world: World) -> None:
    ours = Authority(world.directory / "ours")
    theirs = Authority(world.directory / "theirs")
    with named(world, tls="on", ca_file=str(ours.cert)) as (service, liar):
        liar.context = server(ours.issue(NAME))
        impostor = Impostor("127.66.0.9", liar.port, server(theirs.issue(NAME)))
        try:
            service.addresses = [impostor.address]
            world.dial()
            world.start()
            world.feed()
            world.until(lambda: world.alarms("is not trusted"), "the alarm")
            world.until(lambda: impostor.attempts >= 2, "it tries again", 60)
            world.accepts(50)
            assert impostor.heard == b"" and not liar.lines
            service.addresses = [HERE]
            world.settle(healed_at=time.monotonic())
            assert len(world.alarms("")) == 1
        finally:
            impostor.close()


@pytest.mark.fault("G10", "IPv6 is broken: the name leads there too, IPv4 is used")
@pytest.mark.parametrize("nowhere", ["::1", "100::1", "fe80::1"])
def test_a_family_that_leads_nowhere(world: World, nowhere: str) -> None:
    with named(world) as (service, liar):
        service.addresses = [nowhere, HERE]
        began = time.monotonic()
        begin(world)
        world.figures["connected_ms"] = round((time.monotonic() - began) * 1000)
        mark = world.mark()
        liar.cut()
        world.until(lambda: "uplink up" in world.log(mark), "back again")
        world.settle(healed_at=time.monotonic())
        assert not world.alarms("")

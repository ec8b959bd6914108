"""TLS: nothing is said to anybody who cannot prove to be the broker, whatever the clock says."""

from __future__ import annotations

import shutil
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults.authority import Authority, Pair, server
from tests.faults.brokers import begin
from tests.faults.clocks import receiver
from tests.faults.liar import Liar, between
from tests.faults.world import World

DAY_S = 86_400.0


@pytest.fixture
def ours(world: World) -> Authority:
    return Authority(world.directory / "ours")


@contextmanager
def trusting(world: World, ours: Authority, **uplink: str) -> Iterator[Liar]:
    """A broker in TLS, which the agent knows by our authority."""
    settings = {"broker": "localhost", "tls": "on", "ca_file": str(ours.cert)} | uplink
    with between(world, **settings) as liar:
        yield liar


def refused(world: World, liar: Liar, text: str) -> None:
    """The alarm comes, recording goes on, and no byte of MQTT was said."""
    world.dial()
    world.start()
    world.feed()
    world.until(lambda: world.alarms(text), f"the alarm {text!r}")
    world.accepts(50)
    attempts = liar.accepted
    world.until(lambda: liar.accepted >= attempts + 2, "it tries again", 60)
    assert not liar.lines, "nothing was sent"


@pytest.mark.fault("G8", "the broker's certificate is no good: nothing sent, one alarm", slice=True)
@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("expired", "has expired by"),
        ("another host", "not valid for 'localhost'"),
        ("another authority", "is not trusted"),
    ],
)
def test_a_broker_not_to_be_trusted(world: World, ours: Authority, what: str, text: str) -> None:
    bad = {
        "expired": lambda: ours.issue("localhost", from_days=-9, to_days=-1),
        "another host": lambda: ours.issue("other.example"),
        "another authority": lambda: Authority(world.directory / "theirs").issue("localhost"),
    }[what]()
    with trusting(world, ours) as liar:
        liar.context = server(bad)
        refused(world, liar, text)
        liar.context = server(ours.issue("localhost"))
        world.settle(calls=1, healed_at=time.monotonic())
        assert len(world.alarms("")) == 1


@pytest.mark.fault(
    "G8", "this vehicle's certificate has expired: one alarm, renewed without a restart"
)
def test_a_vehicle_not_to_be_trusted(world: World, ours: Authority) -> None:
    mine = Pair(world.directory / "vehicle.crt", world.directory / "vehicle.key")

    def use(pair: Pair) -> None:
        for source, target in ((pair.key, mine.key), (pair.cert, mine.cert)):
            target.write_bytes(source.read_bytes())

    use(ours.issue("bus-4021", from_days=-9, to_days=-1))
    files = {"cert_file": str(mine.cert), "key_file": str(mine.key)}
    with trusting(world, ours, **files) as liar:
        liar.context = server(ours.issue("localhost"), clients=ours.cert)
        refused(world, liar, "does not accept the certificate of this vehicle")
        use(ours.issue("bus-4021"))
        world.settle(calls=1, healed_at=time.monotonic())
        assert len(world.alarms("")) == 1


@pytest.mark.fault(
    "G8", "the certificate is renewed while the old one is valid: file by file, without a restart"
)
def test_renewed_in_time(world: World, ours: Authority) -> None:
    mine = Pair(world.directory / "vehicle.crt", world.directory / "vehicle.key")
    old, new = ours.issue("bus-4021"), ours.issue("bus-4021")
    shutil.copy(old.cert, mine.cert)
    shutil.copy(old.key, mine.key)
    files = {"cert_file": str(mine.cert), "key_file": str(mine.key)}
    with trusting(world, ours, **files) as liar:
        liar.context = server(ours.issue("localhost"), clients=ours.cert)
        begin(world)
        first = serial(liar)
        shutil.copy(new.cert, mine.cert)
        delivered = world.delivered()
        world.until(lambda: world.delivered() > delivered + 30, "what is connected goes on")
        liar.cut()
        # A certificate without its key: nobody is asked to trust it.
        world.until(lambda: world.alarms("uplink.cert_file, uplink.key_file"), "it is said")
        shutil.copy(new.key, mine.key)
        world.settle(healed_at=time.monotonic())
        assert serial(liar) != first, "the new one is used"
        assert len(world.alarms("")) == 1


def serial(liar: Liar) -> str:
    """Of the certificate that the vehicle showed last."""
    sock = liar.lines[-1].agent
    assert isinstance(sock, ssl.SSLSocket)
    shown = sock.getpeercert()
    assert shown is not None
    return str(shown["serialNumber"])


@pytest.mark.fault(
    "C6", "the clock is days behind: refused with the right alarm, GNSS heals it", slice=True
)
def test_a_clock_that_is_behind(world: World, ours: Authority) -> None:
    with trusting(world, ours) as liar:
        liar.context = server(ours.issue("localhost", from_days=1, to_days=9))
        refused(world, liar, "set its clock; with a GNSS fix it connects by itself")
        with receiver(world, 2 * DAY_S) as hush:
            world.until(lambda: liar.lines, "it connects", 60)
            hush()
            world.settle(calls=1, healed_at=time.monotonic())
        assert len(world.alarms("")) == 1


@pytest.mark.fault("C6", "with GNSS time every check is still made")
@pytest.mark.parametrize("what", ["another host", "another authority", "expired by GNSS"])
def test_no_way_round(world: World, ours: Authority, what: str) -> None:
    bad = {
        "another host": lambda: ours.issue("other.example", from_days=1, to_days=9),
        "another authority": lambda: Authority(world.directory / "theirs").issue("localhost"),
        "expired by GNSS": lambda: ours.issue("localhost", from_days=-1, to_days=1),
    }[what]()
    with trusting(world, ours) as liar:
        liar.context = server(bad)
        world.start()
        with receiver(world, 2 * DAY_S) as hush:
            world.until(lambda: _clock(world) == "gnss", "GNSS time is known")
            attempts = liar.accepted
            world.until(lambda: liar.accepted >= attempts + 3, "it tries again", 60)
            assert not liar.lines, "nothing was sent"
            assert world.alarms("no uplink")
            liar.context = server(ours.issue("localhost", from_days=1, to_days=9))
            world.feed()
            hush()
            world.settle(healed_at=time.monotonic())


def _clock(world: World) -> str:
    return str(world.answer("status").get("clock", {}).get("source"))


def portal(agent: socket.socket) -> None:
    """Answers everything with its page."""
    agent.recv(4_096)
    agent.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>Log in</html>\r\n" * 3)


@pytest.mark.fault("G9", "a captive portal answers in the broker's place", slice=True)
@pytest.mark.parametrize("tls", ["on", "off"])
def test_a_captive_portal(world: World, ours: Authority, tls: str) -> None:
    with trusting(world, ours, tls=tls) as liar:
        liar.instead = portal
        world.dial()
        world.start()
        world.feed()
        text = "captive portal" if tls == "on" else "is it an MQTT broker?"
        world.until(lambda: text in world.log(), "it is said")
        world.accepts(30)
        liar.instead = None
        if tls == "on":
            liar.context = server(ours.issue("localhost"))
        world.settle(calls=int(tls == "on"), healed_at=time.monotonic())

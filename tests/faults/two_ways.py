"""A vehicle with two ways to its broker, as two network name spaces: 3G, and the depot's Wi-Fi.

The vehicle's name space holds the agent and its feeders; its interfaces wwan0 and wlan0 lead to
another one with a real broker (mosquitto) and the cloud end. The kernel counts what passes each
interface, which is what a provider would count. Needs root and iproute2.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from simulator.processes import Process
from tests.faults.injection import NotHere
from tests.faults.world import World

BROKER, PORT = "10.77.0.1", 1883
WAYS = {"wwan0": "10.77.1", "wlan0": "10.77.2"}
"""Interface: network of both of its ends, .1 the far one, .2 the vehicle's."""
METRIC = {"wwan0": 200, "wlan0": 100}
ETHERNET_BYTES = 14
_numbers = itertools.count(1)


def _ip(*argv: str) -> str:
    env = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
    return subprocess.run(["ip", *argv], check=True, capture_output=True, text=True, env=env).stdout


@dataclass(frozen=True)
class Passed:
    """What an interface has carried, without the headers of Ethernet; `packets` both ways."""

    nbytes: int
    packets: int


class TwoWays(World):
    """Offline at first: `plug` makes a way, `pull` takes it away."""

    def __init__(self, directory: Path) -> None:
        if os.getuid() or shutil.which("ip", path="/usr/sbin:/sbin:/usr/bin") is None:
            raise NotHere("faults: not run: two ways to a broker need root and iproute2")
        mosquitto = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if mosquitto is None:
            raise NotHere("faults: not run: mosquitto is missing: apt install mosquitto")
        stem = f"brain-{os.getpid()}-{next(_numbers)}"
        self.bus, self.depot = f"{stem}-bus", f"{stem}-depot"
        config = directory / "mosquitto.conf"
        config.write_text(f"listener {PORT} {BROKER}\nallow_anonymous true\nuser root\n")
        broker = Process(
            "mosquitto",
            self._inside(self.depot, mosquitto, "-c", str(config)),
            directory / "mq.log",
        )
        super().__init__(directory, broker=broker, port=PORT)
        argv = [sys.executable, "-P", "-m", "cloud", "--broker", BROKER, "--port", str(PORT)]
        argv += ["--ledger", str(self.ledger), "--prefix", "brain"]
        self.cloud = Process("cloud", self._inside(self.depot, *argv), directory / "cloud.log")
        self.within = self._inside(self.bus)
        self.sections["uplink"] = f'broker = "{BROKER}"\nlinger_s = 0.1\nack_timeout_s = 2.0\n'
        self.configure()
        self._make()

    def dial(self) -> None:
        """Broker and cloud end are there; whether a way leads to them is another matter."""
        for process in (self.broker, self.cloud):
            if not process.alive():
                process.start()
        self.until(lambda: self.cloud.said("ready"), "the cloud end is subscribed")

    def plug(self, interface: str, host: int = 2) -> None:
        """There is a way by this interface, with an address that ends in `host`."""
        net = WAYS[interface]
        _ip("-n", self.bus, "address", "flush", "dev", interface)
        _ip("-n", self.bus, "address", "add", f"{net}.{host}/24", "dev", interface)
        _ip("-n", self.bus, "link", "set", interface, "up")
        route = f"{BROKER} via {net}.1 dev {interface} metric {METRIC[interface]}"
        _ip("-n", self.bus, "route", "replace", *route.split())

    def pull(self, interface: str) -> None:
        """The way is gone."""
        _ip("-n", self.bus, "link", "set", interface, "down")

    def passed(self, interface: str) -> Passed:
        """What the kernel has counted at the vehicle's end."""
        lines = _ip("-n", self.bus, "-s", "link", "show", interface).splitlines()
        at = [n for n, line in enumerate(lines) if line.split()[0] in ("RX:", "TX:")]
        counts = [[int(word) for word in lines[n + 1].split()[:2]] for n in at]
        packets = sum(count[1] for count in counts)
        return Passed(sum(count[0] for count in counts) - ETHERNET_BYTES * packets, packets)

    def close(self) -> None:
        """End everything."""
        super().close()
        for name in (self.bus, self.depot):
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("netns", "delete", name)

    def _inside(self, name: str, *argv: str) -> list[str]:
        return ["setpriv", "--pdeathsig", "KILL", "nsenter", f"--net=/run/netns/{name}", *argv]

    def _make(self) -> None:
        try:
            for name in (self.bus, self.depot):
                _ip("netns", "add", name)
                self._quiet(name)
                _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", self.depot, "address", "add", f"{BROKER}/32", "dev", "lo")
            for interface, net in WAYS.items():
                far = ("peer", "name", interface, "netns", self.depot)
                _ip("-n", self.bus, "link", "add", interface, "type", "veth", *far)
                for name in (self.bus, self.depot):
                    # One packet a segment, as on a radio: what the kernel counts is then exact.
                    _ip("-n", name, "link", "set", interface, "gso_max_segs", "1")
                _ip("-n", self.depot, "address", "add", f"{net}.1/24", "dev", interface)
                _ip("-n", self.depot, "link", "set", interface, "up")
        except subprocess.CalledProcessError as error:
            self.close()
            said = str(error.stderr).strip()
            raise NotHere(f"faults: not run: no network name spaces: {said}") from None

    def _quiet(self, name: str) -> None:
        """No IPv6, which announces itself on each interface."""
        off = "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6"
        subprocess.run(self._inside(name, "sh", "-c", off), check=False, capture_output=True)


@contextlib.contextmanager
def two_ways(directory: Path) -> Iterator[TwoWays]:
    """One that is closed whatever happens."""
    made = TwoWays(directory)
    try:
        yield made
    finally:
        made.close()

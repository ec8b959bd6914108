"""The world outside the guest: a network name space of our own with broker and cloud end.

The broker is a real one (mosquitto) and has its own disk: what the cloud end has booked is outside
the guest's fault domain.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from simulator.processes import Process, wait_for
from tests.rig.place import NoRig

BROKER, VEHICLE = "10.99.0.1", "10.99.0.2"
PORT = 1883
_numbers = itertools.count(1)


class Network:
    """A name space with one tap for the guest's eth0; nothing in it reaches anything else."""

    def __init__(self) -> None:
        """Make it. Raises NoRig where the kernel or the user may not."""
        self.name = f"brain-rig-{os.getpid()}-{next(_numbers)}"
        self.tap = (self.name, "tap0")
        if not Path("/dev/net/tun").exists():
            raise NoRig("rig: not run: /dev/net/tun is missing, the guest can have no network")
        _sweep()
        try:
            _ip("netns", "add", self.name)
            for command in (
                "link set lo up",
                "tuntap add tap0 mode tap",
                f"address add {BROKER}/24 dev tap0",
                "link set tap0 up",
            ):
                _ip("-n", self.name, *command.split())
        except subprocess.CalledProcessError as error:
            self.close()
            raise NoRig(f"rig: not run: no network name space: {error.stderr.strip()}") from None

    def inside(self, *argv: str) -> list[str]:
        """The command line that runs `argv` in the name space; it ends with whoever started it."""
        return ["setpriv", "--pdeathsig", "KILL", "nsenter", f"--net=/run/netns/{self.name}", *argv]

    def close(self) -> None:
        """Remove it."""
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip("netns", "delete", self.name)


def _sweep() -> None:
    """Remove what test processes left that were killed themselves."""
    for left in Path("/run/netns").glob("brain-rig-*-*"):
        if not Path(f"/proc/{left.name.split('-')[2]}").exists():
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("netns", "delete", left.name)


def _ip(*arguments: str) -> None:
    env = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, env=env)


class World:
    """Broker and cloud end in a network; `ledger` is what the cloud end has booked."""

    def __init__(self, network: Network, directory: Path) -> None:
        """Start both. Raises NoRig where mosquitto is missing."""
        mosquitto = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if mosquitto is None:
            raise NoRig("rig: not run: mosquitto is missing: apt install mosquitto")
        self.network = network
        self.ledger = directory / "ledger.db"
        config = directory / "mosquitto.conf"
        config.write_text(
            f"listener {PORT} {BROKER}\nallow_anonymous true\npersistence false\n"
            "max_queued_messages 10000\n"
        )
        self.broker = Process(
            "broker", network.inside(mosquitto, "-c", str(config)), directory / "broker.log"
        )
        argv = [sys.executable, "-P", "-m", "cloud", "--broker", BROKER, "--port", str(PORT)]
        argv += ["--ledger", str(self.ledger), "--prefix", "brain"]
        self.cloud = Process("cloud", network.inside(*argv), directory / "cloud.log")
        self.broker.start()
        self.cloud.start()
        wait_for("the cloud end is subscribed", lambda: self.cloud.said("ready"), self.cloud)

    def close(self) -> None:
        """Stop both."""
        self.cloud.stop()
        self.broker.stop()


@contextlib.contextmanager
def world(directory: Path) -> Iterator[World]:
    """A network with broker and cloud end, ended whatever happens."""
    network = Network()
    try:
        outside = World(network, directory)
        try:
            yield outside
        finally:
            outside.close()
    finally:
        network.close()

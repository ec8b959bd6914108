"""What stands in for a broker, and how a run with one begins."""

from __future__ import annotations

import os
import shutil

from simulator.processes import Process
from tests.faults.injection import NotHere
from tests.faults.liar import CONNECT, Line, Packet, connack
from tests.faults.world import World


def begin(world: World, n: int = 30) -> None:
    """All is well, and `n` records have arrived."""
    world.dial()
    world.start()
    world.feed()
    world.until(lambda: world.delivered() >= n, f"{n} records arrived")


def use_mosquitto(world: World, *lines: str) -> None:
    """Debian's broker instead of the embedded one, with lines of configuration. Raises NotHere."""
    found = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if found is None:
        raise NotHere("faults: not run: mosquitto is missing: apt install mosquitto")
    config = world.directory / "mosquitto.conf"
    whole = [f"listener {world.port} 127.0.0.1", "allow_anonymous true", "user root", *lines]
    config.write_text("\n".join(whole) + "\n")
    argv = [found, "-c", str(config)]
    world.broker = Process("mosquitto", argv, world.directory / "mosquitto.log")


def only_3_1_1(one: Packet, line: Line) -> bytes | None:
    """A broker that does not know MQTT 5."""
    if one.type == CONNECT and one.v5:
        line.answer(connack(0x84))
        line.cut()
        return None
    return one.raw

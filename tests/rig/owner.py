"""The owner of a vehicle in the rig: signs orders outside the guest, reads what came of them.

Orders are published at the broker of the world, which outlives each power cut. What they did is
read from a directory of the host's that the guest writes to, and from the ledger.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.store import counter_mark
from agent.store.journal import Journal
from tests.faults.orders import OPERATIONS, TOPIC, Orders, b64, replies
from tests.rig.network import BROKER, PORT, World

ISSUER = "ops"
_SEND = """
import sys
from paho.mqtt.client import CallbackAPIVersion, Client
client = Client(CallbackAPIVersion.VERSION2)
client.connect(sys.argv[3], int(sys.argv[4]))
client.loop_start()
client.publish(sys.argv[1], sys.argv[2], qos=1).wait_for_publish(20)
client.disconnect()
client.loop_stop()
"""


class Owner(Orders):
    """Who signs. `shore` is the host's directory that the guest sees at /shore."""

    def __init__(self, world: World, shore: Path) -> None:
        self.shore = shore
        shore.mkdir()
        self.private = Ed25519PrivateKey.generate()
        self.vehicle_key = ""
        """The vehicle's own key, as PEM: whoever installed it has noted the public half."""
        self._outside = world
        self._numbers = itertools.count(time.time_ns() // 1_000_000)

    @property
    def sections(self) -> str:
        """What a vehicle's configuration says of the owner."""
        public = b64(self.private.public_key().public_bytes_raw())
        return (
            f"[commands.roles]\noperator = {json.dumps(OPERATIONS)}\n"
            f'[commands.keys.{ISSUER}]\nkey = "{public}"\nissuer = "{ISSUER}"\nrole = "operator"\n'
        )

    def send(self, message: bytes) -> None:
        """Publish it; the broker has it when this returns."""
        argv = [sys.executable, "-P", "-c", _SEND, TOPIC, message.decode(), BROKER, str(PORT)]
        subprocess.run(self._outside.network.inside(*argv), check=True, timeout=30)

    def arm(self) -> None:
        """From now on the agent stands still at its point; see tests/rig/broken/stands."""
        (self.shore / "armed").touch()

    def stands(self) -> bool:
        """Whether it does."""
        return (self.shore / "stands").exists()

    def disarm(self) -> None:
        """Before the next boot."""
        for name in ("armed", "stands"):
            (self.shore / name).unlink(missing_ok=True)

    def dump_of(self, source: str, seconds: int) -> tuple[str, bytes]:
        """An order for the last seconds of a driver: its cid, and the message."""
        claims = self.claims("dump", {"source": source, "seconds": seconds})
        return str(claims["cid"]), self.signed(json.dumps(claims).encode())

    def dumped(self, seconds: int) -> int:
        """How often the dump of so many seconds, whose order is the only such, was made."""
        file = self.shore / "effects"
        lines = file.read_text().splitlines() if file.exists() else []
        return [json.loads(line)["seconds"] for line in lines].count(seconds)

    def replies(self) -> dict[str, list[dict[str, Any]]]:
        """What the vehicle has said, by command; each is signed by the key in `vehicle_key`."""
        return replies(self._outside.ledger, self.vehicle_key)

    def final(self, cid: str) -> set[str]:
        """The states in which a command ended: `trial` is on the way."""
        return {state for state in self.states(cid) if state != "trial"}


def counted(state: Path) -> tuple[int, int]:
    """How far the owner has counted by the journal of a state directory, and by its mark.

    Raises AssertionError where the journal is not as it was written.
    """
    mark = counter_mark.read(state).get(ISSUER, 0)
    (state / counter_mark.FILE).unlink(missing_ok=True)  # the journal is to speak for itself
    journal = Journal(state)
    try:
        assert not journal.began_anew, f"{state}: the journal of commands was damaged"
        return journal.counter(ISSUER), mark
    finally:
        journal.close()

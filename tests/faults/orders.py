"""Signed commands for a world: whose key it trusts, what is sent, what came of it.

Signs with `cryptography` alone and publishes at the world's broker, as anybody there may. What an
order did is read where the agent cannot write: in the file of a driver, and in the ledger.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from paho.mqtt.enums import CallbackAPIVersion

from simulator.processes import ask
from tests.faults.feeding import CHECKOUT
from tests.faults.injection import failpoint
from tests.faults.world import VEHICLE, World

DRIVER = CHECKOUT / "tests" / "contracts" / "command_driver.py"
TOPIC = f"brain/v1/{VEHICLE}/dn/commands"
OPERATIONS = ["status", "bundle", "dump", "driver.restart", "config.set"]


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Orders:
    """Makes the world trust one key; use `broker()` where something is to be sent."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.private = Ed25519PrivateKey.generate()
        self._numbers = itertools.count(time.time_ns() // 1_000_000)
        public = b64(self.private.public_key().public_bytes_raw())
        world.configure(
            commands__roles=f"operator = {json.dumps(OPERATIONS)}\nnobody = []\n",
            commands__keys__ops=f'key = "{public}"\nissuer = "ops"\nrole = "operator"\n',
        )
        self._client: mqtt.Client | None = None

    # --- what is said ---------------------------------------------------------------------------

    def claims(self, op: str, args: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        number, now_s = next(self._numbers), int(time.time())
        claims = {
            **{"v": 1, "cid": f"{number:026d}", "aud": VEHICLE, "iss": "ops", "role": "operator"},
            **{"op": op, "args": args or {}, "iat": now_s, "nbf": now_s, "exp": now_s + 600},
            **{"ctr": number, "pur": "a fault"},
        }
        return {key: value for key, value in (claims | changes).items() if value is not ...}

    def signed(self, payload: bytes, **header: Any) -> bytes:
        head = {"alg": "Ed25519", "typ": "brain-cmd+jws", "kid": "ops"} | header
        said = f"{b64(json.dumps(head).encode())}.{b64(payload)}"
        return f"{said}.{b64(self.private.sign(said.encode()))}".encode()

    def order(self, op: str, args: dict[str, Any] | None = None, **changes: Any) -> bytes:
        return self.signed(json.dumps(self.claims(op, args, **changes)).encode())

    def dump(self, source: str = "raw", seconds: int = 5, **changes: Any) -> tuple[str, bytes]:
        """An order whose effect is a line in a driver's file: its cid, and the message.

        `seconds`, 1 to 60, is in that line: by it one order's effect is told from another's.
        """
        claims = self.claims("dump", {"source": source, "seconds": seconds}, **changes)
        return str(claims["cid"]), self.signed(json.dumps(claims).encode())

    @contextlib.contextmanager
    def broker(self) -> Iterator[Callable[..., None]]:
        """`send(message, topic=..., retain=...)`: at the world's broker, which stands still."""
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="orders", protocol=mqtt.MQTTv5)
        client.connect("127.0.0.1", self.world.port)
        client.loop_start()

        def send(message: bytes, topic: str = TOPIC, *, retain: bool = False) -> None:
            client.publish(topic, message, qos=1, retain=retain).wait_for_publish(20)

        try:
            yield send
        finally:
            client.disconnect()
            client.loop_stop()

    # --- what came of it ------------------------------------------------------------------------

    @contextlib.contextmanager
    def driver(self, name: str = "raw") -> Iterator[None]:
        """A driver that notes each command that reaches it, started again whenever it ends."""
        argv = [sys.executable, str(DRIVER), str(self.world.run_dir), name, "--dumps", "file"]
        script = 'while :; do "$@"; done'
        null = subprocess.DEVNULL
        process = subprocess.Popen(
            ["sh", "-c", script, "sh", *argv],
            cwd=CHECKOUT,
            process_group=0,
            stdout=null,
            stderr=null,
        )
        try:
            self.world.until(lambda: self.connected(name), f"{name} is connected")
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def connected(self, name: str) -> bool:
        drivers = (ask(self.world.run_dir, "status") or {}).get("drivers", {})
        return bool(drivers.get(name, {}).get("connected"))

    def effects(self, name: str = "raw") -> int:
        """How many commands reached the driver, over all lives of everybody."""
        return self.asked(name).total()

    def asked(self, name: str = "raw") -> Counter[int]:
        """How often a dump of so many seconds reached the driver."""
        file = self.world.run_dir / name / "asked"
        lines = file.read_text().splitlines() if file.exists() else []
        return Counter(int(json.loads(line)["seconds"]) for line in lines)

    def told(self) -> dict[str, Any]:
        """What `brain commands` shows."""
        return ask(self.world.run_dir, "commands") or {}

    def doomed(self, method: str, when: str, n: int) -> None:
        """Start an agent that dies at a failpoint, and what it needs; see injection.failpoint."""
        world = self.world
        world.dial()
        world.env = failpoint(method, when, n)
        world.spawn()
        world.until(lambda: (world.run_dir / "ingest.sock").exists(), "the door is open")
        world.feed()

    def refused(self) -> dict[str, int]:
        return dict(self.told().get("refused", {}))

    def replies(self) -> dict[str, list[dict[str, Any]]]:
        """The replies that the cloud end has, by command; each is the vehicle's own."""
        if not self.world.ledger.exists():
            return {}
        return replies(self.world.ledger, (self.world.state_dir / "reply.key").read_text())

    def states(self, cid: str) -> list[str]:
        """The states of the replies to a command, in order."""
        return [said["state"] for said in self.replies().get(cid, [])]

    def files(self) -> dict[str, str]:
        """File of each command, by its id: the sha256; only those that the cloud end has whole."""
        uri = f"file:{self.world.ledger}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=10)) as db:
            rows = db.execute(
                "SELECT vals, sha256 FROM record JOIN file_record USING (vehicle, epoch, seq)"
                " JOIN file USING (vehicle, sha256) WHERE whole"
            ).fetchall()
        return {json.loads(vals)["Vehicle.Bus.Command.File"]: str(sha256) for vals, sha256 in rows}


def _private(pem: str) -> bytes:
    return base64.b64decode("".join(pem.splitlines()[1:-1]))[-32:]


def _verified(token: str, public: Ed25519PublicKey) -> dict[str, Any]:
    said, _, signature = token.rpartition(".")
    public.verify(unb64(signature), said.encode())
    return dict(json.loads(unb64(said.partition(".")[2])))


def path_of(world: World) -> Path:
    """The file that changes from afar are written to."""
    return world.directory / "conf.d" / "zz-remote.toml"


def replies(ledger: Path, reply_key: str) -> dict[str, list[dict[str, Any]]]:
    """What a ledger holds of replies, by command; each is signed by `reply_key`, PEM."""
    public = Ed25519PrivateKey.from_private_bytes(_private(reply_key)).public_key()
    found: dict[str, list[dict[str, Any]]] = {}
    with contextlib.closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=10)) as db:
        rows = db.execute("SELECT vals FROM record WHERE kind = 'reply' ORDER BY epoch, seq")
        for (values,) in rows:
            said = _verified(str(json.loads(values)["Vehicle.Bus.Command.Reply"]), public)
            found.setdefault(said["cid"], []).append(said)
    return found

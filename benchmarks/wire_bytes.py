"""How far the uplink's count of bytes on the air is from what a tap of packets sees.

A real uplink sends a drive over MQTT, plain and with TLS, on lo to Debian's mosquitto, as a bus
does it: a message each second, then a backlog. The tap (needs root) sums the IP lengths of all
packets of the connection both ways; what lo passes on as one packet is counted as the segments
that a real interface makes of it. Prints the count, the tap and the difference in percent. Nothing
is asserted.
"""

from __future__ import annotations

import itertools
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from agent.record import StorageClass
from agent.signals import Catalogue
from agent.store.outbox import Outbox
from agent.store.reader import OutboxReader
from agent.store.rows import Change
from agent.uplink.accounting import Accounting
from agent.uplink.budget import BudgetConfig
from agent.uplink.pump import Uplink
from agent.uplink.settings import UplinkConfig
from benchmarks import bus_record

LIVE, BACKLOG = 60, 5_000
SEGMENT = 65_483  # lo; the tap counts what is larger as several
BOOT = "b" * 32


class Tap(threading.Thread):
    """IP bytes of packets from and to a port."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port, self.nbytes, self.packets = port, 0, 0
        self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 20)
        self._sock.bind(("lo", 3))

    def run(self) -> None:
        """Until the process ends."""
        while True:
            packet, where = self._sock.recvfrom(1 << 17)
            if where[2] == socket.PACKET_OUTGOING or packet[0] >> 4 != 4 or packet[9] != 6:
                continue
            at = (packet[0] & 15) * 4
            if self.port not in struct.unpack_from("!HH", packet, at):
                continue
            header = at + (packet[at + 12] >> 4) * 4
            more = max(0, -(-(len(packet) - header) // SEGMENT) - 1)
            self.nbytes += len(packet) + more * header
            self.packets += 1 + more


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses just now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    crt, key = folder / "crt.pem", folder / "key.pem"
    command = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
        -subj /CN=bench -addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {crt}"
    subprocess.run(command.split(), check=True, capture_output=True)
    return crt, key


@contextmanager
def broker(folder: Path, *, tls: bool) -> Iterator[tuple[int, int, Path]]:
    """mosquitto: port of the vehicle, port of the far end, the CA file."""
    crt, key = certificate(folder)
    vehicle, far = free_port(), free_port()
    lines = [f"listener {far} 127.0.0.1", "allow_anonymous true", f"listener {vehicle} 127.0.0.1"]
    if tls:
        lines += [f"certfile {crt}", f"keyfile {key}"]
    lines += ["allow_anonymous true", "user root", "max_queued_messages 0"]
    config = folder / "mosquitto.conf"
    config.write_text("\n".join(lines) + "\n")
    path = os.environ["PATH"] + ":/usr/sbin"
    process = subprocess.Popen(
        ["mosquitto", "-c", str(config)],
        env={**os.environ, "PATH": path},
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: _listens(far))
        yield vehicle, far, crt
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def wait_for(fact: object, within_s: float = 120.0) -> None:
    """Wait until a call gives true."""
    assert callable(fact)
    tick, deadline = threading.Event(), time.monotonic() + within_s
    while not fact():
        if time.monotonic() > deadline:
            sys.exit("not in time")
        tick.wait(0.02)


def far_end(port: int) -> mqtt.Client:
    """Acknowledges everything that `announced` numbers have."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="far")

    def arrived(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        if message.topic.endswith("/telemetry"):
            said = {"epoch": EPOCH[0], "ranges": [[1, 1 << 40]]}
            client.publish("brain/v1/bus-1/dn/acks", json.dumps(said), qos=1)
        elif "/catalogue/" in message.topic:
            said = {"have": [message.topic.rpartition("/")[2]]}
            client.publish("brain/v1/bus-1/dn/acks", json.dumps(said), qos=1)

    client.on_message = arrived
    client.connect("127.0.0.1", port)
    client.subscribe("brain/#", qos=1)
    client.loop_start()
    return client


EPOCH = [""]


def measure(folder: Path, *, tls: bool) -> None:
    """One line."""
    with broker(folder, tls=tls) as (vehicle, far, ca):
        tap = Tap(vehicle)
        tap.start()
        client = far_end(far)
        state = folder / "state"
        outbox = Outbox.open(state, quota_bytes=dict.fromkeys(StorageClass, 1 << 28))
        EPOCH[0] = outbox.epoch
        catalogue = Catalogue()
        catalogue.declare(bus_record.SOURCE, (bus_record.GROUP,))
        counts = Accounting(BudgetConfig(), state, lambda: 1_800_000_000_000)
        done: list[object] = []
        uplink = Uplink(
            UplinkConfig(
                port=vehicle, tls="on" if tls else "off", ca_file=str(ca) if tls else "", linger_s=0
            ),
            "bus-1",
            outbox.epoch,
            BOOT,
            lambda: OutboxReader(state),
            bus_record.group_of,
            acked=lambda epoch, ranges: done.append((epoch, ranges)),
            refuse=lambda loss: None,
            beat=lambda: None,
            catalogue=catalogue,
            accounting=counts,
        )
        uplink.start()
        wait_for(lambda: uplink.state() == "up")

        def drain() -> None:
            def emptied() -> bool:
                while done:
                    epoch, ranges = done.pop(0)  # type: ignore[misc]
                    outbox.commit(Change(acked=[(epoch, ranges)]))
                return all(c.queued == 0 for c in outbox.counters().values())

            wait_for(emptied)

        drive = bus_record.drive()
        for record in itertools.islice(drive, LIVE):
            outbox.commit(Change(records=[record], boot=BOOT))
            uplink.wake()
            drain()
        for _ in range(BACKLOG // 100):
            outbox.commit(Change(records=list(itertools.islice(drive, 100)), boot=BOOT))
        uplink.wake()
        drain()
        uplink.stop()
        client.loop_stop()
        counted = int(str(dict(uplink.budget())["spent_bytes"]))
        threading.Event().wait(0.3)  # the tap reads what is left
        error = 100 * (counted - tap.nbytes) / tap.nbytes
        name = "TLS" if tls else "plain"
        print(
            f"  {name:6}{counted:>10,} counted{tap.nbytes:>10,} seen in {tap.packets:>5,} packets"
            f"  error {error:+.2f} %"
        )
        outbox.close()


def main() -> None:
    """Two lines."""
    print(f"{LIVE} messages of a record, then {BACKLOG:,} records of backlog; IP bytes both ways")
    for tls in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), tls=tls)


if __name__ == "__main__":
    main()

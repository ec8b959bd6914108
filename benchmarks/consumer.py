"""The far end of a comparison, a process of its own: counts what arrives from a broker, once.

`python consumer.py KIND PORT N`: KIND is gateway (JSON of thingsboard-gateway, whose session it
also answers as its server would), bridge (one JSON a message) or brain (which it acknowledges).
Says "ready", "first" at the first record, then one line of JSON when N distinct records came, or on
SIGTERM what came so far.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from benchmarks.bus_record import SOURCE
from cloud import Catalogues, decode
from cloud import telemetry_pb2 as pb
from cloud.acks import about_catalogues

Key = tuple[object, ...]
LIMITS = {
    "maxPayloadSize": 65536,
    "maxInflightMessages": 100,
    "rateLimits": {},
    "gatewayRateLimits": {},
}
"""A server without rate limits, so that the gateway is not slowed down by one."""
PREFIX = "brain/v1/bus-4021"


class Consumer:
    """Counts records by identity; times are those of arrival."""

    def __init__(self, kind: str, port: int, n: int) -> None:
        self._n = n
        self._kind = kind
        self._seen: set[Key] = set()
        self._catalogues = Catalogues()
        self._hashes: set[bytes] = set()
        self._payloads: list[bytes] = []
        self._first_at = self._last_at = 0.0
        self._duplicates = self._nbytes = self._messages = 0
        self.done = threading.Event()
        self.subscribed = threading.Event()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id="consumer", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._take: Callable[[mqtt.MQTTMessage], Iterable[Key]]
        self._take = {"gateway": self._gateway, "bridge": self._bridge, "brain": self._brain}[kind]
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: self.subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def report(self) -> dict[str, float | int]:
        """`seconds`: from the first record to the last new one."""
        return {
            "records": self.decoded() if self._kind == "brain" else len(self._seen),
            "duplicates": self._duplicates,
            "messages": self._messages,
            "bytes": self._nbytes,
            "seconds": self._last_at - self._first_at,
            "first_at": self._first_at,
        }

    def _on_message(self, _client: Any, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        at = time.monotonic()
        keys = list(self._take(message))
        if not keys:
            return
        if not self._seen:
            self._first_at = at
            say("first")
        self._messages += 1
        self._nbytes += len(message.payload)
        for key in keys:
            if key in self._seen:
                self._duplicates += 1
            else:
                self._seen.add(key)
                self._last_at = at
        if len(self._seen) >= self._n:
            self.done.set()

    def _gateway(self, message: mqtt.MQTTMessage) -> Iterable[Key]:
        topic = message.topic
        if topic.startswith("v1/devices/me/rpc/request/"):
            self._client.publish(
                topic.replace("request", "response"), json.dumps(LIMITS).encode(), qos=1
            )
        elif topic == "v1/gateway/telemetry":
            for device, rows in json.loads(message.payload).items():
                yield from ((device, row["ts"]) for row in rows if "lat" in row.get("values", ()))

    def _bridge(self, message: mqtt.MQTTMessage) -> Iterable[Key]:
        if message.topic == "bus/up":
            yield (json.loads(message.payload)["ts"],)

    def _brain(self, message: mqtt.MQTTMessage) -> Iterable[Key]:
        topic, payload = message.topic, bytes(message.payload)
        if not topic.startswith(f"{PREFIX}/up/") or topic.endswith("/status"):
            return
        if "/catalogue/" in topic:
            self._nbytes += len(payload)
            name = self._catalogues.add(payload)
            self._hashes.add(bytes.fromhex(name))
            self._acknowledge(about_catalogues([("", name)], []))
            return
        # The rate is to be the sender's: what the far end decodes of it, it decodes afterwards.
        batch = pb.Batch.FromString(zlib.decompress(payload[1:]))
        if batch.catalogue and batch.catalogue not in self._hashes:
            need = [("", batch.catalogue.hex())]
            self._acknowledge(about_catalogues([], need))
            return
        self._payloads.append(payload)
        epoch, seq, ranges = batch.epoch.hex(), 0, []
        for skip, n in zip(batch.runs[::2], batch.runs[1::2], strict=True):
            ranges.append((seq + skip, seq + skip + n - 1))
            seq += skip + n
        ranges += [(drop.first, drop.last) for drop in batch.drops]
        ack = json.dumps({"epoch": epoch, "ranges": ranges}).encode()
        self._acknowledge([("", ack)])
        for first, last in ranges:
            yield from ((epoch, seq) for seq in range(first, last + 1))

    def decoded(self) -> int:
        """How many records of the bus the cloud's decoder finds in what came."""
        found = set()
        for payload in self._payloads:
            batch = decode(payload, self._catalogues)
            found |= {(batch.epoch, r.seq) for r in batch.records if r.source == SOURCE}
        return len(found)

    def _acknowledge(self, messages: Iterable[tuple[str, bytes]]) -> None:
        for _, ack in messages:
            self._client.publish(f"{PREFIX}/dn/acks", ack, qos=1)


def say(line: str) -> None:
    """One line to whoever started us."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    kind, port, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    consumer = Consumer(kind, port, n)
    signal.signal(signal.SIGTERM, lambda *_: consumer.done.set())
    consumer.subscribed.wait(10)
    say("ready")
    while not consumer.done.wait(0.2):
        pass
    say("done")
    # What comes a second time comes within a moment.
    threading.Event().wait(float(os.environ.get("AFTER_S", "2")))
    say(json.dumps(consumer.report()))


if __name__ == "__main__":
    main()

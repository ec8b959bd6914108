"""A real outbox, a real broker and a far end that acknowledges as a test tells it to."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.record import Kind, Record, StorageClass
from agent.signals import Catalogue
from agent.store.outbox import Outbox
from agent.store.reader import OutboxReader
from agent.store.rows import Change, Loss, Range
from agent.uplink import codec
from agent.uplink.accounting import Accounting
from agent.uplink.catalogue import Shapes
from agent.uplink.payload import GroupOf, Payload, Undecodable, nobody_declared
from agent.uplink.pump import Uplink
from agent.uplink.settings import UplinkConfig

BOOT = "b" * 32
VEHICLE = "bus-1"
TICK_S = 0.01
MOSQUITTO = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
needs_mosquitto = pytest.mark.skipif(
    MOSQUITTO is None, reason="mosquitto is missing: apt install mosquitto"
)


def until(reached: Callable[[], Any], what: str, within_s: float = 10.0) -> None:
    """Wait for a fact."""
    deadline = time.monotonic() + within_s
    tick = threading.Event()
    while not reached():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        tick.wait(TICK_S)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Broker:
    """A broker process on a port of 127.0.0.1 that can be killed and started again."""

    def __init__(self, argv: Sequence[str], port: int) -> None:
        self.port = port
        self._argv = argv
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self._listens, "the broker listens")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(5)
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process = None

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


@contextlib.contextmanager
def mosquitto(directory: Path, *lines: str) -> Iterator[Broker]:
    """Debian's broker with some lines of configuration more."""
    assert MOSQUITTO is not None
    port = free_port()
    config = directory / "mosquitto.conf"
    whole = [f"listener {port} 127.0.0.1", "allow_anonymous true", "user root", *lines]
    config.write_text("\n".join(whole) + "\n")
    broker = Broker([MOSQUITTO, "-c", str(config)], port)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


@contextlib.contextmanager
def embedded(directory: Path, version: str = "v5") -> Iterator[Broker]:
    """The simulator's broker; `version`: the only version of MQTT that it speaks, v4 or v5."""
    from simulator.broker import write_config

    port = free_port()
    config = directory / "broker.toml"
    write_config(config, port)
    config.write_text(config.read_text().replace("v5", version))
    broker = Broker([sys.executable, "-m", "simulator.broker", str(config)], port)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


@dataclass
class Message:
    topic: str
    payload: Payload

    @property
    def seqs(self) -> list[int]:
        return [
            seq for run in self.payload.runs for seq in range(run.range.first, run.range.last + 1)
        ]

    @property
    def ranges(self) -> list[Range]:
        drops = [Range(drop.first, drop.last) for drop in self.payload.drops]
        return [run.range for run in self.payload.runs] + drops


@dataclass
class FarEnd:
    """The application in the cloud. `answers`: how it acknowledges a message; None: not at all.

    `shapes`: the catalogue that it can read; what refers to another one is not acknowledged.
    """

    port: int
    answers: Callable[[Message], bool] = lambda message: True
    version: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5
    messages: list[Message] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    shapes: Shapes | None = None
    catalogues: list[tuple[str, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.subscribed = threading.Event()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id="far-end", protocol=self.version
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self.subscribed.set()
        self._client.on_message = self._on_message

    def start(self) -> None:
        self._client.connect("127.0.0.1", self.port)
        self._client.loop_start()
        until(self.subscribed.is_set, "the far end has subscribed")

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def say(self, payload: bytes) -> None:
        self._client.publish(f"brain/v1/{VEHICLE}/dn/acks", payload, qos=1)

    def ack(self, epoch: str, *ranges: tuple[int, int]) -> None:
        self.say(json.dumps({"epoch": epoch, "ranges": ranges}).encode())

    def ack_all(self) -> None:
        """From now on everything is acknowledged, and what came before too."""
        self.answers = lambda message: True
        for message in list(self.messages):
            self.ack(message.payload.epoch, *message.ranges)

    @property
    def seqs(self) -> list[int]:
        return [seq for message in list(self.messages) for seq in message.seqs]

    @property
    def records(self) -> dict[int, Record]:
        return {
            seq: record
            for message in list(self.messages)
            for run in message.payload.runs
            for seq, record in enumerate(run.records, run.first)
        }

    def _on_connect(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe(f"brain/v1/{VEHICLE}/up/#", qos=1)

    def _on_message(self, _client: Any, _userdata: Any, arrived: mqtt.MQTTMessage) -> None:
        if arrived.topic.endswith("/status"):
            return
        if "/up/catalogue/" in arrived.topic:
            self.catalogues.append((arrived.topic, arrived.payload))
            return
        self.raw.append(arrived.payload)
        try:
            message = Message(arrived.topic, codec.decode(arrived.payload, self.shapes))
        except Undecodable:
            return
        self.messages.append(message)
        if self.answers(message):
            self.ack(message.payload.epoch, *message.ranges)


class Box:
    """The vehicle's side: outbox and uplink. All commits happen on the test's thread."""

    def __init__(
        self,
        directory: Path,
        port: int,
        *,
        quota: int = 1 << 28,
        catalogue: Catalogue | None = None,
        group_of: GroupOf = nobody_declared,
        accounting: Accounting | None = None,
        **settings: Any,
    ) -> None:
        self.directory = directory / "state"
        quota_bytes = dict.fromkeys(StorageClass, quota)
        self.outbox = Outbox.open(self.directory, quota_bytes=quota_bytes)
        self.acked: list[tuple[str, Range]] = []
        self.refused: list[Loss] = []
        self.looks = 0
        self.max_in_flight = 0
        self._news: queue.Queue[Change] = queue.Queue()
        defaults = {"linger_s": 0.1, "ack_timeout_s": 5.0}
        self.uplink = Uplink(
            UplinkConfig(port=port, **{**defaults, **settings}),
            VEHICLE,
            self.outbox.epoch,
            BOOT,
            lambda: OutboxReader(self.directory),
            group_of,
            acked=self._on_acked,
            refuse=self._on_refused,
            beat=self._beat,
            catalogue=catalogue,
            accounting=accounting,
        )

    def _beat(self) -> None:
        self.looks += 1

    def _on_acked(self, epoch: str, ranges: Sequence[Range]) -> None:
        self.acked += [(epoch, span) for span in ranges]
        self._news.put(Change(acked=[(epoch, ranges)]))

    def _on_refused(self, loss: Loss) -> None:
        self.refused.append(loss)
        self._news.put(Change(drops=[loss]))

    def commit(self, *records: Record) -> None:
        """One row per storage class."""
        self.outbox.commit(Change(records=records, boot=BOOT))
        self.uplink.wake()

    def until(self, reached: Callable[[], Any], what: str, within_s: float = 10.0) -> None:
        """Wait for a fact while doing the pipeline's part."""

        def step() -> Any:
            with contextlib.suppress(queue.Empty):
                while True:
                    self.outbox.commit(self._news.get_nowait())
                    self.uplink.wake()
            self.max_in_flight = max(self.max_in_flight, self.in_flight)
            assert self.uplink.alive()
            return reached()

        until(step, what, within_s)

    def until_empty(self, within_s: float = 10.0) -> None:
        self.until(
            lambda: self.queued == 0 and not OutboxReader(self.directory).drops(),
            "everything is acknowledged or dropped",
            within_s,
        )

    @property
    def queued(self) -> int:
        return sum(counters.queued for counters in self.outbox.counters().values())

    @property
    def dropped(self) -> int:
        return sum(counters.dropped for counters in self.outbox.counters().values())

    @property
    def in_flight(self) -> int:
        return int(str(self.uplink.status()["in_flight"]))

    def close(self) -> None:
        self.uplink.stop()
        self.outbox.close()
        assert not self.uplink.alive()


@contextlib.contextmanager
def running(
    directory: Path,
    broker: Broker,
    *,
    answers: Callable[[Message], bool] = lambda message: True,
    version: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5,
    before: Callable[[Box], None] = lambda box: None,
    **settings: Any,
) -> Iterator[tuple[Box, FarEnd]]:
    """Box and far end at a broker. `before` fills the outbox before the uplink starts."""
    far = FarEnd(broker.port, answers, version)
    far.start()
    box = Box(directory, broker.port, **settings)
    try:
        before(box)
        box.uplink.start()
        box.until(lambda: box.uplink.state() == "up", "the uplink is up")
        yield box, far
    finally:
        box.close()
        far.stop()


def sample(number: int, text: str = "") -> Record:
    values: dict[str, float | int | str | bool] = {"Vehicle.Speed": number / 2, "n": number}
    if text:
        values["text"] = text
    return Record("fms", 1_000 + number, values)


def alarm(number: int) -> Record:
    return Record("fms", 1_000 + number, {"Vehicle.Alarm": number}, kind=Kind.EVENT)


def samples(first: int, n: int) -> list[Record]:
    return [sample(number) for number in range(first, first + n)]

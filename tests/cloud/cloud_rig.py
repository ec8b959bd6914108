"""Real processes on loopback: a broker, the cloud end, a vehicle that sends until it is heard."""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from cloud_payloads import EPOCH, VEHICLE, telemetry
from paho.mqtt.enums import CallbackAPIVersion

from cloud.intervals import IntervalSet

HERE = Path(__file__).parent
DEADLINE_S = 30.0

_MOSQUITTO = """listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_queued_messages 10000
log_dest none
"""
_IOTCORE = """id = 0
[router]
id = 0
max_connections = 50
max_outgoing_packet_count = 200
max_segment_size = 1048576
max_segment_count = 8
[v5.1]
name = "v5-1"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 5000
max_payload_size = 262144
max_inflight_count = 100
dynamic_filters = true
"""
_RUN_IOTCORE = (
    "import sys; from iotcore import Broker; b = Broker(config_path=sys.argv[1]); b.start();"
    " sys.stdin.read(); b.stop()"
)


def wait_for(fact: Callable[[], bool], what: str, within_s: float = DEADLINE_S) -> None:
    """Waits until `fact()`; fails the test if that does not come."""
    poll = threading.Event()
    deadline = time.monotonic() + within_s
    while not fact():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        poll.wait(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def mosquitto() -> str | None:
    return shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")


class BrokerProcess:
    """A broker on a port of its own; `kind` is mosquitto or iotcore."""

    def __init__(self, kind: str, folder: Path, port: int | None = None) -> None:
        self.port = port or free_port()
        # iotcore tells the format by the suffix.
        self._config = folder / f"broker-{self.port}.toml"
        if kind == "mosquitto":
            program = mosquitto()
            if program is None:
                pytest.skip("mosquitto is not installed (Debian: apt install mosquitto)")
            self._config.write_text(_MOSQUITTO.format(port=self.port))
            self._command = [program, "-c", str(self._config)]
        else:
            if importlib.util.find_spec("iotcore") is None:
                pytest.skip("iotcore is not installed")
            self._config.write_text(_IOTCORE.format(port=self.port))
            self._command = [sys.executable, "-c", _RUN_IOTCORE, str(self._config)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(self._listens, "the broker listens")

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        """iotcore's broker is a child that ends when its parent does."""
        if self._process is None:
            return
        self._process.send_signal(number)
        self._process.communicate()
        self._process = None
        wait_for(lambda: not self._listens(), "the broker is gone")

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def default_kind() -> str:
    return "mosquitto" if mosquitto() else "iotcore"


class CloudEnd:
    """`python -m cloud` on one ledger file; `ready` once it subscribed."""

    def __init__(self, folder: Path, port: int, *more: str) -> None:
        """`more`: options besides."""
        self._more = more
        self.ledger = folder / "ledger.db"
        self.state = folder / "state.json"
        self.port = port
        self.output: list[str] = []
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def start(self, *, kill_at: tuple[str, int] | None = None) -> None:
        """Starts the program, or one that kills itself at (failpoint, how many times passed)."""
        program = ["-m", "cloud"]
        if kill_at is not None:
            program = [str(HERE / "failing_cloud.py"), kill_at[0], str(kill_at[1])]
        given = ["--port", str(self.port), "--ledger", str(self.ledger), "--state", str(self.state)]
        self.output = []
        self._process = subprocess.Popen(
            [sys.executable, *program, *given, *self._more],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=HERE.parents[1],
            env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
        )
        self._reader = threading.Thread(target=self._read, name="cloud-output", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        self.output.extend(line.rstrip("\n") for line in self._process.stdout)

    def wait_ready(self) -> None:
        wait_for(lambda: "ready" in self.output, f"ready in {self.output}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ends the program; its exit code."""
        if self._process is None:
            return 0
        self._process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        assert self._process is not None
        assert self._reader is not None
        code = self._process.wait(DEADLINE_S)
        self._reader.join(5)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None
        return code

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None


class Sender:
    """A vehicle: sends batches until each is acknowledged, again after a while and a new link."""

    RESEND_S = 0.7

    def __init__(self, port: int, *, vehicle: str = VEHICLE) -> None:
        self.vehicle = vehicle
        self.acked = IntervalSet()
        self.acks = 0
        self.sent_seq = 0
        self._unacked: dict[tuple[int, int], tuple[bytes, float]] = {}
        self._heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=vehicle, protocol=mqtt.MQTTv5
        )
        # paho's types ask for int; it computes with any number.
        self._client.reconnect_delay_set(0.1, 0.5)  # type: ignore[arg-type]
        self._client.on_connect = self._on_connect
        self._client.on_message = lambda _c, _d, message: self._heard.put(bytes(message.payload))
        self._client.on_disconnect = lambda *_: self._client.drop_out_messages()
        self._client.connect_async("127.0.0.1", port, keepalive=5)
        self._client.loop_start()

    def _on_connect(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe(f"brain/v1/{self.vehicle}/dn/acks", qos=1)

    def publish(self, leaf: str, payload: bytes, *, retain: bool = False) -> None:
        self._client.publish(f"brain/v1/{self.vehicle}/up/{leaf}", payload, qos=1, retain=retain)

    def record(self, n: int) -> None:
        """Takes n new records into a batch; `step` sends it."""
        first, self.sent_seq = self.sent_seq + 1, self.sent_seq + n
        payload = telemetry(range(first, self.sent_seq + 1), vehicle=self.vehicle)
        self._unacked[first, self.sent_seq] = (payload, 0.0)

    def step(self) -> None:
        """Hears acks, sends what is due; at most 6 batches unacknowledged on their way."""
        while not self._heard.empty():
            said = json.loads(self._heard.get())
            assert said["epoch"] == EPOCH
            self.acks += 1
            for first, last in said["ranges"]:
                self.acked.add(first, last)
        for key in [key for key in self._unacked if self.acked.covers(*key)]:
            del self._unacked[key]
        if not self._client.is_connected():
            return
        now = time.monotonic()
        for key, (payload, sent_at) in list(self._unacked.items())[:6]:
            if now - sent_at > self.RESEND_S:
                self._unacked[key] = (payload, now)
                self.publish("telemetry", payload)

    def drive(self, until: Callable[[], bool], what: str, *, records: int = 0) -> None:
        """Steps, with `records` new ones each time while fewer than 12 batches wait."""

        def stepped() -> bool:
            if records and len(self._unacked) < 12:
                self.record(records)
            self.step()
            return until()

        wait_for(stepped, what)

    def drain(self) -> None:
        self.drive(lambda: not self._unacked, "everything is acknowledged")

    def acked_seqs(self) -> set[int]:
        return {seq for first, last in self.acked for seq in range(first, last + 1)}

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def seqs(ranges: Sequence[tuple[int, int]]) -> set[int]:
    return {seq for first, last in ranges for seq in range(first, last + 1)}

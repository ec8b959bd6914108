"""A mosquitto beside the sources that bridges to the far broker: one JSON a record, QoS 1."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.measured import Child, free_port, listening, wait
from benchmarks.short_names import records

WINDOW = 100


class Bridge:
    """Persistence on, autosave as it is by default; a bridge with a window of 100."""

    name = "bridge"

    def __init__(self, program: str) -> None:
        self._program = program

    def fill(self, directory: Path, n: int) -> int:
        """See Side. The far broker is not there; a clean end writes its file."""
        with self._broker(directory, free_port()) as edge:
            self._publish(directory, n)
            edge.end(60)
        return (directory / "mosquitto.db").stat().st_size

    def start(self, directory: Path, port: int) -> Child:
        """See Side."""
        return self._start(directory, port)

    def killed(self, directory: Path, n: int) -> int:
        """See Side."""
        with self._broker(directory, free_port()) as edge:
            self._publish(directory, n)
            edge.kill()
        file = directory / "mosquitto.db"
        return file.read_bytes().count(b"bus/up") if file.exists() else 0

    def _start(self, directory: Path, far_port: int) -> Child:
        self._port = free_port()
        config = directory / "edge.conf"
        config.write_text(
            f"listener {self._port} 127.0.0.1\nallow_anonymous true\nuser root\n"
            f"persistence true\npersistence_location {directory}/\nmax_queued_messages 0\n"
            f"max_inflight_messages {WINDOW}\nconnection far\naddress 127.0.0.1:{far_port}\n"
            "topic # out 1\ncleansession false\nrestart_timeout 1 2\ntry_private false\n"
            "notifications false\nbridge_protocol_version mqttv311\nremote_clientid edge\n"
        )
        return Child([self._program, "-c", str(config)], directory / "edge.log")

    @contextmanager
    def _broker(self, directory: Path, far_port: int) -> Iterator[Child]:
        with self._start(directory, far_port) as edge:
            wait(lambda: listening(self._port), "the edge broker listens")
            yield edge

    def _publish(self, directory: Path, n: int) -> None:
        """Publish, and wait until the edge broker has acknowledged each."""
        acked, lock = threading.Semaphore(0), threading.Semaphore(WINDOW)
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="source")
        client.max_queued_messages_set(0)
        client.max_inflight_messages_set(WINDOW)

        def on_publish(*_: object) -> None:
            acked.release()
            lock.release()

        client.on_publish = on_publish
        client.connect("127.0.0.1", self._port)
        client.loop_start()
        for at_ms, fields in records(n):
            lock.acquire()
            text = json.dumps({"ts": at_ms, "values": fields}, separators=(",", ":"))
            client.publish("bus/up", text, qos=1)
        for _ in range(n):
            acked.acquire()
        client.disconnect()
        client.loop_stop()

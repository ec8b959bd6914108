"""How the cloud's programs reach a broker: checked by Debian's mosquitto, which checks them."""

from __future__ import annotations

import argparse
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from cloud_payloads import VEHICLE, telemetry
from cloud_rig import BrokerProcess, CloudEnd, wait_for
from paho.mqtt.enums import CallbackAPIVersion

from cloud import broker_options, command_keys
from tests.faults.authority import Authority, Pair
from tests.faults.injection import NotHere
from tests.faults.strict_broker import strict

ROOT = Path(__file__).parents[2]


class Strict(BrokerProcess):
    """A broker with TLS alone, which wants a certificate, a name and a password."""

    def __init__(self, folder: Path, ours: Authority, mine: Pair) -> None:
        super().__init__("mosquitto", folder)
        text = strict(folder, self.port, ours, mine, {"ops": "secret-7"})
        self._config.write_text(text + "log_dest none\n")


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    if shutil.which("mosquitto_passwd") is None:
        pytest.skip("not run: mosquitto is not installed (Debian: apt install mosquitto)")
    try:
        return Authority(tmp_path / "ours")
    except NotHere as error:
        pytest.skip(str(error))


@pytest.fixture
def broker(tmp_path: Path, ours: Authority) -> Iterator[Strict]:
    made = Strict(tmp_path, ours, ours.issue("localhost"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def access(tmp_path: Path, ours: Authority) -> dict[str, str]:
    """The options by which one is let in."""
    mine = ours.issue("ops")
    (tmp_path / "password").write_text("secret-7\n")
    return {
        "--broker": "localhost",
        "--ca": str(ours.cert),
        "--cert": str(mine.cert),
        "--key-file": str(mine.key),
        "--username": "ops",
        "--password": f"file:{tmp_path / 'password'}",
    }


def flat(options: dict[str, str]) -> list[str]:
    return [word for pair in options.items() for word in pair if word]


def command(tmp_path: Path, port: int, *argv: str) -> tuple[int, str]:
    """Exit code and error of `brain-cloud command ... --no-wait`."""
    if not (tmp_path / "ops.key").exists():
        command_keys.make(tmp_path / "ops")
    line = [sys.executable, "-m", "cloud.command_line", "command", VEHICLE, "status", "--no-wait"]
    line += ["--key", str(tmp_path / "ops.key"), "--purpose", "a test", "--port", str(port)]
    done = subprocess.run(
        [*line, *argv], capture_output=True, text=True, check=False, timeout=60, cwd=ROOT
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


class Vehicle:
    """Sends one batch and keeps what the cloud says; reaches the broker by libraries alone."""

    def __init__(self, port: int, access: dict[str, str]) -> None:
        self.heard: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        self._subscribed = threading.Event()
        self._client = client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=VEHICLE, protocol=mqtt.MQTTv5
        )
        client.tls_set(access["--ca"], access["--cert"], access["--key-file"])
        client.username_pw_set("ops", "secret-7")
        client.on_message = lambda _c, _d, m: self.heard.put((m.topic, m.payload))
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.connect("localhost", port)
        client.loop_start()
        client.subscribe(f"brain/v1/{VEHICLE}/dn/#", qos=1)
        assert self._subscribed.wait(10)

    def send(self) -> None:
        self._client.publish(f"brain/v1/{VEHICLE}/up/telemetry", telemetry([1, 2, 3]), qos=1)

    def hears(self, topic: str) -> bytes:
        while True:
            name, payload = self.heard.get(timeout=20)
            if name.endswith(topic):
                return payload

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def test_a_broker_that_wants_everything(
    tmp_path: Path, broker: Strict, access: dict[str, str]
) -> None:
    end = CloudEnd(tmp_path, broker.port, *flat(access))
    end.start()
    end.wait_ready()
    vehicle = Vehicle(broker.port, access)
    try:
        vehicle.send()
        assert json.loads(vehicle.hears("dn/acks"))["ranges"] == [[1, 3]]
        os.environ["BRAIN_TEST_PASSWORD"] = "secret-7"
        by_env = flat(access | {"--password": "env:BRAIN_TEST_PASSWORD"})
        code, said = command(tmp_path, broker.port, *by_env)
        assert code == 0, said
        assert vehicle.hears("dn/commands").count(b".") == 2, "a signed token"
    finally:
        os.environ.pop("BRAIN_TEST_PASSWORD", None)
        vehicle.close()
        end.stop()


WRONG = [
    ({"--password": "env:PATH"}, "Not authorized: check --username and --password"),
    ({"--username": "", "--password": ""}, "Not authorized: check --username and --password"),
    ({"--cert": "", "--key-file": ""}, "does it want a certificate (--cert, --key-file)?"),
    ({"--ca": "", "--cert": "", "--key-file": ""}, "does it want TLS (--tls or --ca)?"),
    ({"--ca": "THEIRS"}, "is not trusted by"),
    ({"--ca": "", "--tls": "yes"}, "is not trusted by the authorities of this system"),
    ({"--broker": "127.0.0.1"}, "IP address mismatch, certificate is not valid for '127.0.0.1'"),
    ({"--cert": "THEIRS"}, "(--cert)"),
]


def wrong(tmp_path: Path, access: dict[str, str], change: dict[str, str]) -> list[str]:
    """The options with one thing in them changed; "" is to leave it out."""
    options = access | change
    theirs = Authority(tmp_path / "theirs") if "THEIRS" in change.values() else None
    if theirs is not None and "--ca" in change:
        options["--ca"] = str(theirs.cert)
    if theirs is not None and "--cert" in change:
        pair = theirs.issue("ops")
        options |= {"--cert": str(pair.cert), "--key-file": str(pair.key)}
    tls = ["--tls"] if options.pop("--tls", "") else []
    return tls + [word for name, value in options.items() if value for word in (name, value)]


@pytest.mark.parametrize(("change", "text"), WRONG)
def test_what_a_broker_refuses_names_the_option(
    tmp_path: Path, broker: Strict, access: dict[str, str], change: dict[str, str], text: str
) -> None:
    code, said = command(tmp_path, broker.port, *wrong(tmp_path, access, change))
    assert code == 2 and text in said and said.count("\n") == 1, said
    assert "secret-7" not in said


def test_tls_with_a_broker_that_has_none(tmp_path: Path, access: dict[str, str]) -> None:
    plain = BrokerProcess("mosquitto", tmp_path)
    plain.start()
    try:
        code, said = command(tmp_path, plain.port, *flat(access))
    finally:
        plain.stop()
    assert code == 2 and "instead of speaking TLS: check --port" in said, said


@pytest.mark.parametrize("days", [(-9.0, -1.0), (1.0, 9.0)])
def test_a_certificate_out_of_its_days_is_told_nothing(
    tmp_path: Path, ours: Authority, access: dict[str, str], days: tuple[float, float]
) -> None:
    bad = Strict(tmp_path, ours, ours.issue("localhost", from_days=days[0], to_days=days[1]))
    bad.start()
    try:
        code, said = command(tmp_path, bad.port, *flat(access))
    finally:
        bad.stop()
    assert code == 2 and "is not trusted by" in said, said


def test_the_receiver_uses_what_was_renewed(
    tmp_path: Path, broker: Strict, access: dict[str, str]
) -> None:
    mine, key = Path(access["--cert"]), Path(access["--key-file"])
    good = mine.read_bytes(), key.read_bytes()
    other = Authority(tmp_path / "theirs").issue("ops")
    end = CloudEnd(tmp_path, broker.port, *flat(access))
    end.start()
    try:
        end.wait_ready()
        mine.write_bytes(other.cert.read_bytes())
        key.write_bytes(other.key.read_bytes())
        broker.stop(signal.SIGKILL)
        broker.start()
        wait_for(lambda: any("(--cert)" in line for line in end.output), "it says what is wrong")
        mine.write_bytes(good[0])
        key.write_bytes(good[1])
        wait_for(lambda: any("connected again" in line for line in end.output), "it is back")
    finally:
        end.stop()


def test_the_receiver_says_who_it_does_not_trust_and_says_no_mqtt(
    tmp_path: Path, broker: Strict, access: dict[str, str]
) -> None:
    end = CloudEnd(tmp_path, broker.port, *wrong(tmp_path, access, {"--ca": "THEIRS"}))
    end.start()
    try:
        wait_for(lambda: any("is not trusted by" in line for line in end.output), "it is said")
        assert "ready" not in end.output
    finally:
        assert end.stop() == 0


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--cert", "x"], "--key-file: --cert and --key-file go together"),
        (["--key-file", "x"], "--cert: --cert and --key-file go together"),
        (["--ca", "/nowhere"], "--ca: /nowhere: No such file"),
        (["--ca", __file__], f"--ca: {__file__}: .*PEM is expected"),
        (["--cert", "/nowhere", "--key-file", "/nowhere"], "--cert, --key-file: /nowhere"),
        (["--username", "a", "--password", "secret"], "--password: expected env:NAME or file:PATH"),
        (["--username", "a", "--password", "env:NOT_SET"], "--password: the environment variable"),
        (["--username", "a", "--password", "file:/nowhere"], "--password: /nowhere: No such file"),
        (["--username", "file:/dev/null"], "--username: /dev/null is empty"),
        (["--password", "env:PATH"], "--username: MQTT brokers expect one"),
    ],
)
def test_options_that_cannot_be(argv: list[str], text: str) -> None:
    parser = argparse.ArgumentParser()
    broker_options.add(parser)
    with pytest.raises(ValueError, match=text):
        broker_options.broker(parser.parse_args(argv), "c")


@pytest.mark.parametrize(
    ("argv", "port"),
    [
        ([], 1883),
        (["--tls"], 8883),
        (["--tls", "--port", "443"], 443),
        (["--username", "a"], 1883),
    ],
)
def test_the_port(argv: list[str], port: int) -> None:
    parser = argparse.ArgumentParser()
    broker_options.add(parser)
    assert broker_options.broker(parser.parse_args(argv), "c").port == port


def test_nothing_is_signed_before_the_options_are_read(tmp_path: Path) -> None:
    code, said = command(tmp_path, 1, "--ca", "/nowhere")
    assert code == 2 and "--ca: /nowhere" in said
    assert not list(tmp_path.glob("*.counter"))


def test_a_secret_is_not_shown() -> None:
    parser = argparse.ArgumentParser()
    broker_options.add(parser)
    options = parser.parse_args(["--username", "a", "--password", "env:HOME"])
    assert os.environ["HOME"] not in repr(broker_options.broker(options, "c").access)


def test_a_hostile_tls_server_is_told_nothing(tmp_path: Path, access: dict[str, str]) -> None:
    """What is no TLS at all, as a captive portal: one line, and nothing of MQTT was said."""
    said_to_it: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]

        def portal() -> None:
            sock, _ = door.accept()
            with sock:
                said_to_it.append(sock.recv(4_096))
                sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n<html>Log in</html>" * 9)

        threading.Thread(target=portal, daemon=True).start()
        code, said = command(tmp_path, port, *flat(access))
    assert code == 2 and "not in TLS: check --port" in said
    assert b"MQTT" not in said_to_it[0]

"""TLS of the cloud's programs: certificates and names are checked; nothing is said before."""

from __future__ import annotations

import argparse
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud import broker_options, command_keys
from cloud.session import Broker
from tests.faults.authority import Authority, server
from tests.faults.injection import NotHere

ROOT = Path(__file__).parents[2]


class Tls:
    """A broker's door: shakes hands, keeps what was said to it, and refuses politely."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.heard: list[bytes] = []
        self._context = context
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._door.close()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._door.accept()
            except OSError:
                return
            try:
                with self._context.wrap_socket(sock, server_side=True) as secure:
                    self.heard.append(secure.recv(4_096))
                    secure.sendall(b"\x20\x03\x00\x87\x00")  # CONNACK of MQTT 5: not authorized
                    secure.recv(1)
            except OSError:
                continue


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    try:
        return Authority(tmp_path / "ours")
    except NotHere as error:
        pytest.skip(str(error))


@pytest.fixture
def tls(ours: Authority) -> Iterator[Tls]:
    made = Tls(server(ours.issue("localhost"), clients=ours.cert))
    yield made
    made.close()


def command(tmp_path: Path, port: int, *argv: str, host: str = "localhost") -> str:
    """What `brain-cloud command` says; it ends with 2."""
    if not (tmp_path / "ops.key").exists():
        command_keys.make(tmp_path / "ops")
    line = [sys.executable, "-m", "cloud.command_line", "command", "bus-1", "status", "--no-wait"]
    line += ["--key", str(tmp_path / "ops.key"), "--purpose", "a test", "--broker", host]
    done = subprocess.run(
        [*line, "--port", str(port), *argv],
        capture_output=True, text=True, check=False, timeout=60, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    return done.stderr


def test_who_proves_to_be_the_broker_is_spoken_to(
    tmp_path: Path, ours: Authority, tls: Tls
) -> None:
    mine = ours.issue("ops")
    (tmp_path / "password").write_text("secret-7\n")
    access = ["--ca-file", str(ours.cert), "--cert-file", str(mine.cert)]
    access += ["--key-file", str(mine.key), "--username", "ops"]
    access += ["--password-file", str(tmp_path / "password")]
    said = command(tmp_path, tls.port, *access)
    assert "Not authorized" in said and "secret-7" not in said
    (heard,) = tls.heard
    assert b"MQTT" in heard and b"secret-7" in heard


def test_who_does_not_hears_nothing(tmp_path: Path, ours: Authority, tls: Tls) -> None:
    theirs = Authority(tmp_path / "theirs")
    said = command(tmp_path, tls.port, "--ca-file", str(theirs.cert))
    assert "certificate verify failed" in said
    said = command(tmp_path, tls.port, "--ca-file", str(ours.cert), host="127.0.0.1")
    assert "certificate verify failed" in said or "mismatch" in said, "another name"
    said = command(tmp_path, tls.port, "--tls")
    assert "certificate verify failed" in said, "not one of the system's"
    assert tls.heard == []


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--cert-file", "x"], "expected both or none"),
        (["--ca-file", "/nowhere"], "--ca-file: /nowhere"),
        (["--cert-file", "/nowhere", "--key-file", "/nowhere"], "--cert-file: /nowhere"),
        (["--password-file", "/nowhere"], "--password-file: /nowhere"),
    ],
)
def test_options_that_cannot_be(argv: list[str], text: str) -> None:
    parser = argparse.ArgumentParser()
    broker_options.add(parser)
    with pytest.raises(ValueError, match=text):
        broker_options.secured(Broker("h", 1, "p", "c"), parser.parse_args(argv))

"""A broker as an operator sets it up: TLS, certificates for everybody, a name and a password.

Vehicle, cloud end and `brain-cloud` come to Debian's mosquitto with the same words.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulator.processes import Process, ask
from tests.faults.authority import Authority
from tests.faults.injection import NotHere
from tests.faults.strict_broker import strict
from tests.hil.test_signed_commands import VEHICLE, Fleet

pytestmark = pytest.mark.timeout(400)


class Guarded(Fleet):
    """A fleet whose broker lets nobody in without all three."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        ours = Authority(directory / "ours")
        mine, vehicle, cloud = (ours.issue(name) for name in ("localhost", VEHICLE, "cloud"))
        passwords = {name: f"{name}-secret" for name in ("bus", "cloud")}
        for name, password in passwords.items():
            (directory / f"{name}.password").write_text(f"{password}\n")
        config = directory / "mosquitto.conf"
        config.write_text(strict(directory, self.port, ours, mine, passwords))
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self.broker = Process("broker", [program, "-c", str(config)], directory / "broker.log")
        self.access = ["--broker", "localhost", "--ca", str(ours.cert), "--cert", str(cloud.cert)]
        self.access += ["--key-file", str(cloud.key), "--username", "cloud"]
        self.access += ["--password", f"file:{directory / 'cloud.password'}"]
        argv = [sys.executable, "-m", "cloud", "--port", str(self.port), *self.access]
        argv += ["--ledger", str(directory / "ledger.db")]
        self.cloud = Process("cloud", argv, directory / "cloud.log")
        plain = f'port = {self.port}\nlinger_s = 0.1\nack_timeout_s = 2.0\nusername = "bus"\n'
        text = self.config.read_text()
        assert plain in text
        uplink = f'broker = "localhost"\ntls = "on"\nca_file = "{ours.cert}"\n'
        uplink += f'cert_file = "{vehicle.cert}"\nkey_file = "{vehicle.key}"\n'
        text = text.replace(plain, uplink + plain)
        old = f'"file:{directory}/password"'
        assert old in text
        self.config.write_text(text.replace(old, f'"file:{directory}/bus.password"'))

    def cloud_line(self, *argv: str) -> subprocess.CompletedProcess[str]:
        more = self.access if argv[0] == "command" else []
        return super().cloud_line(*argv, *more)


@pytest.fixture
def guarded(run_dir: Path) -> Iterator[Guarded]:
    if shutil.which("mosquitto_passwd") is None:
        pytest.skip("not run: mosquitto is not installed (Debian: apt install mosquitto)")
    try:
        made = Guarded(run_dir)
    except NotHere as missing:
        pytest.skip(str(missing))
    try:
        made.start()
        yield made
    finally:
        made.close()


def test_records_are_acknowledged_and_orders_are_carried_out(guarded: Guarded) -> None:
    guarded.until(lambda: _acknowledged(guarded) > 0, "the cloud end acknowledges")
    code, said = guarded.give("status")
    assert (code, said["state"]) == (0, "done"), said
    assert said["result"]["vehicle"] == VEHICLE


def _acknowledged(fleet: Fleet) -> int:
    audit = ask(fleet.directory / "run", "audit") or {}
    return int(audit.get("acknowledged", 0))

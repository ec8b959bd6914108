"""Signed commands from `brain-cloud` through a real broker to a vehicle, and its signed replies."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from agent.uplink.client import MAX_PACKET
from simulator.broker import write_config
from simulator.processes import Process, ask, free_port, listening, wait_for
from tests.hil.conftest import ROOT

VEHICLE = "bus-1"
DRIVER = ROOT / "tests" / "contracts" / "command_driver.py"
ROLES = (
    '[commands.roles]\noperator = ["status", "bundle", "dump", "driver.restart", "config.set"]\n'
)
ROLES += 'clips = ["status"]\n'
CANARY = "canary-4c8d1f90"
CAMERA = f'[drivers.cam]\ntype = "camera"\nurl = "rtsp://admin:{CANARY}@10.0.0.5/1"\n'
CAMERA += f'pin = "{CANARY}"\n'
DEVICES = '[drivers.gnss]\ntype = "gnss_nmea0183"\nport = "/dev/gnss"\n'
DEVICES += '[drivers.fms]\ntype = "fms_j1939"\ninterface = "socketcan"\nchannel = "can0"\n'

pytestmark = pytest.mark.timeout(400)
"""A command of `brain-cloud` is a process of its own: seconds, where the machine is busy."""


class Fleet:
    """A broker, the cloud end, one vehicle with `brain up`, and two keys."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        write_config(directory / "broker.toml", self.port)
        argv = [sys.executable, "-m", "simulator.broker", str(directory / "broker.toml")]
        self.broker = Process("broker", argv, directory / "broker.log")
        argv = [sys.executable, "-m", "cloud", "--port", str(self.port)]
        argv += ["--ledger", str(directory / "ledger.db")]
        self.cloud = Process("cloud", argv, directory / "cloud.log")
        self.config = directory / "brain.toml"
        self.state = directory / "state"
        argv = [sys.executable, "-m", "agent.cli.main", "run", "--config", str(self.config)]
        argv += ["--run-dir", str(directory / "run"), "--state-dir", str(self.state)]
        self.agent = Process("agent", argv, directory / "agent.log")
        sections = [self.keys("ops", "ops", "operator"), self.keys("clips", "clips", "clips")]
        text = f'[vehicle]\nid = "{VEHICLE}"\n[uplink]\nport = {self.port}\nlinger_s = 0.1\n'
        text += f'ack_timeout_s = 2.0\nusername = "bus"\npassword = "file:{directory}/password"\n'
        (directory / "password").write_text(CANARY)
        self.config.write_text(text + ROLES + "".join(sections) + DEVICES + CAMERA)

    def keys(self, name: str, issuer: str, role: str) -> str:
        argv = ["keys", str(self.directory / name), "--issuer", issuer, "--role", role]
        return self.cloud_line(*argv).stdout

    def cloud_line(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cloud.command_line", *argv],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            cwd=ROOT,
        )

    def start(self) -> None:
        self.broker.start()
        wait_for("the broker listens", lambda: listening(self.port), self.broker)
        self.cloud.start()
        wait_for("the cloud end is ready", lambda: self.cloud.said("ready"), self.cloud)
        self.start_agent()

    def start_agent(self) -> None:
        self.agent.start()
        self.until(lambda: self.status().get("uplink", {}).get("state") == "up", "the uplink is up")

    def until(self, fact: Callable[[], object], what: str, within_s: float = 40.0) -> None:
        wait_for(what, lambda: bool(fact()), self.agent, within_s)

    def status(self) -> dict[str, Any]:
        return ask(self.directory / "run", "status") or {}

    @property
    def pid(self) -> int:
        return int(self.status()["pid"])

    def commands(self) -> dict[str, Any]:
        return ask(self.directory / "run", "commands") or {}

    def give(self, *argv: str, key: str = "ops", role: str = "operator") -> tuple[int, Any]:
        """A command; the exit code and what came."""
        reply_key = self.commands()["reply_key"]
        done = self.cloud_line(
            *("command", VEHICLE, *argv, "--key", str(self.directory / f"{key}.key")),
            *("--issuer", key, "--role", role, "--purpose", "a test", "--port", str(self.port)),
            *("--ledger", str(self.directory / "ledger.db"), "--reply-key", reply_key),
        )
        assert done.stdout, done.stderr + self.agent.tail(20)
        return done.returncode, json.loads(done.stdout.splitlines()[-1])

    def connected(self, name: str) -> bool:
        return bool(self.status()["drivers"].get(name, {}).get("connected"))

    def files(self) -> list[tuple[str, str, str, int]]:
        """(command, name, sha256, whole) of each file that the cloud end was told of."""
        with contextlib.closing(sqlite3.connect(self.directory / "ledger.db")) as db:
            rows = db.execute(
                "SELECT json_extract(vals, '$.\"Vehicle.Bus.Command.File\"'), path, sha256, whole"
                " FROM file JOIN file_record USING (vehicle, sha256)"
                " JOIN record USING (vehicle, epoch, seq) ORDER BY seq"
            ).fetchall()
        return [(str(a), str(b), str(c), int(d)) for a, b, c, d in rows]

    def settled(self) -> bool:
        """Whether nothing of bulk waits any more, and the spool is empty."""
        audit = ask(self.directory / "run", "audit") or {}
        return not audit["by_class"]["bulk"]["queued"] and not any((self.state / "files").iterdir())

    def close(self) -> None:
        for process in (self.agent, self.cloud, self.broker):
            process.stop()


def brain(fleet: Fleet, *words: str) -> str:
    """What a command of the vehicle's own prints; it must succeed."""
    where = ["--run-dir", str(fleet.directory / "run"), "--config", str(fleet.config)]
    shown = subprocess.run(
        [sys.executable, "-m", "agent.cli.main", *words, *where],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=30,
    )
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


@pytest.fixture
def fleet(run_dir: Path) -> Iterator[Fleet]:
    made = Fleet(run_dir)
    try:
        made.start()
        yield made
    finally:
        made.close()


def test_operations_and_refusals_from_end_to_end(fleet: Fleet) -> None:
    code, said = fleet.give("status")
    assert code == 0, said
    assert (said["state"], said["veh"], said["op"]) == ("done", VEHICLE, "status")
    assert said["result"]["vehicle"] == VEHICLE
    code, said = fleet.give("status", key="clips", role="clips")
    assert code == 0, said
    code, said = fleet.give("bundle", key="clips", role="clips")
    assert (code, said["state"], said["code"]) == (1, "refused", "role")
    code, said = fleet.give("shell", "--unchecked", "--arg", "line=id")
    assert (code, said["code"]) == (1, "unknown_operation")
    code, said = fleet.give("dump", "--arg", "source=fms", "--arg", "seconds=5")
    assert (code, said["state"]) == (1, "failed")
    assert 'no driver "fms" is connected' in said["text"]
    assert fleet.commands()["refused"] == {"role": 1, "unknown_operation": 1}
    audit = ask(fleet.directory / "run", "audit") or {}
    assert audit["balanced"] and audit["by_class"]["alarm"]["accepted"] == 5
    assert "ops, operator: may" in (shown := brain(fleet, "commands")) and "1 role" in shown
    brain(fleet, "bundle", "--out", str(fleet.directory / "support.tar.gz"))
    assert tarfile.is_tarfile(fleet.directory / "support.tar.gz")


def test_a_support_archive_reaches_the_cloud_without_a_secret(fleet: Fleet) -> None:
    archive = fleet.directory / "here.tar.gz"
    code, said = fleet.give("bundle", "--out", str(archive))
    assert code == 0, said
    about = said["result"]["file"]
    assert about["size"] == archive.stat().st_size
    assert about["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert fleet.files() == [(said["cid"], f"bundle-{said['cid']}.tar.gz", about["sha256"], 1)]
    with tarfile.open(archive) as opened:
        parts = {name: opened.extractfile(name).read() for name in opened.getnames()}  # type: ignore[union-attr]
    assert sorted(parts) == [
        *("audit.json", "configuration.json", "host.json", "log.txt", "status.json"),
    ]
    assert b"10.0.0.5" in parts["configuration.json"], "it holds what the secret stands beside"
    for name, content in parts.items():
        assert CANARY.encode() not in content, name
    fleet.until(fleet.settled, "the box has forgotten it")


@contextlib.contextmanager
def driver(fleet: Fleet, name: str, *options: str) -> Iterator[None]:
    """A driver that is started again whenever it ends."""
    argv = [sys.executable, str(DRIVER), str(fleet.directory / "run"), name, *options]
    script = 'while :; do "$@"; done'
    process = subprocess.Popen(
        ["sh", "-c", script, "sh", *argv], process_group=0, stderr=subprocess.DEVNULL, cwd=ROOT
    )
    try:
        fleet.until(lambda: fleet.connected(name), "the driver is connected")
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_the_raw_input_of_a_driver_reaches_the_cloud(fleet: Fleet) -> None:
    """The file is the driver's: its host passes it open, and nothing else of the driver's."""
    argv = ("dump", "--arg", "source=raw", "--arg", "seconds=5")
    out = fleet.directory / "here.log"
    with driver(fleet, "raw", "--dumps", "file"):
        code, said = fleet.give(*argv, "--out", str(out))
        assert code == 0, said
        about = said["result"]["file"]
        assert (said["result"]["lines"], about["media_type"]) == (2_000, "text/plain")
        assert about["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
        assert out.read_bytes().count(b"18FEF100") == 2_000
        asked = fleet.directory / "run" / "raw" / "asked"
        assert asked.read_text() == '{"seconds": 5, "mask": true}\n', "masked unless asked for"
        assert [f[1] for f in fleet.files()] == [f"dump-raw-{said['cid']}.log"]
        fleet.until(fleet.settled, "the box has forgotten it")
    for what, word in (("pipe", "file_unreadable"), ("link", "file_missing"), ("gone", None)):
        with driver(fleet, what, "--dumps", what):
            code, said = fleet.give("dump", "--arg", f"source={what}", "--arg", "seconds=5")
            assert (code, said["state"], said["code"]) == (1, "failed", word or "file_missing")
    assert len(fleet.files()) == 1
    assert fleet.commands()["running"] == []


def test_a_driver_is_restarted(fleet: Fleet) -> None:
    with driver(fleet, "good"):
        code, said = fleet.give("driver.restart", "--arg", "source=good")
        assert code == 0, said
        assert fleet.connected("good")
        code, said = fleet.give("dump", "--arg", "source=good", "--arg", "seconds=5")
        assert (code, said["state"]) == (1, "failed")
        assert "has no verb 'dump'" in said["text"]


def test_a_setting_is_changed_on_trial_and_stays(fleet: Fleet) -> None:
    code, said = fleet.give("config.set", "--set", "store.commit_interval_s=0.5")
    assert (code, said["state"], said["code"]) == (0, "done", "confirmed"), said
    file = fleet.directory / "conf.d" / "zz-remote.toml"
    assert "commit_interval_s = 0.5" in file.read_text()
    inode = file.stat().st_ino
    code, said = fleet.give("config.set", "--set", "store.commit_interval_s=0.5")
    assert (code, said["code"]) == (0, "unchanged")
    assert file.stat().st_ino == inode, "nothing was written, nothing was loaded again"
    before = file.read_text()
    # With the two above as many as an issuer may give at once.
    for key, value, why in (
        ("uplink.broker", "evil.example", "cannot be set from afar"),
        ("store.quota_mb.history", "1", "it cannot be tried without a restart"),
        ("vehicle.id", "bus-2", "cannot be set from afar"),
        ("commands.keys.x.key", "A" * 43, "cannot be set from afar"),
        ("drivers.gnss.port", "/dev/mem", "paths and references"),
        ("drivers.gnss.address", "evil.example:2947", "cannot be set from afar"),
        ("store.commit_interval_s", "9999", "expected a number"),
        ("budget.monthly_mbb", "1", "unknown key"),
    ):
        code, said = fleet.give("config.set", "--set", f"{key}={value}")
        assert code == 1 and said["state"] in ("refused", "failed"), said
        assert why in said["text"], said
    assert file.read_text() == before


def test_one_that_cuts_the_link_is_taken_back(fleet: Fleet) -> None:
    """The ten minutes are cut short by what each start costs: 21 starts are more than that."""
    code, said = fleet.give("status")
    assert code == 0
    argv = ("config.set", "--set", "uplink.enabled=false")
    fleet.cloud_line(
        *("command", VEHICLE, *argv, "--key", str(fleet.directory / "ops.key"), "--no-wait"),
        *("--purpose", "a mistake", "--port", str(fleet.port)),
    )
    fleet.until(lambda: fleet.status()["uplink"]["state"] == "off", "the uplink is off")
    for _ in range(20):
        fleet.agent.kill()
        fleet.agent.start()
        fleet.until(lambda: fleet.commands().get("state") == "on", "the agent is there again")
    fleet.until(lambda: fleet.status().get("uplink", {}).get("state") == "up", "the uplink is back")
    assert not (fleet.directory / "conf.d" / "zz-remote.toml").exists()
    code, said = fleet.give("status")
    assert code == 0, said
    assert fleet.agent.said("is taken back")


def test_a_start_that_the_change_prevents_takes_it_back(fleet: Fleet) -> None:
    fleet.cloud.stop()  # nobody acknowledges
    argv = ("config.set", "--set", "store.commit_interval_s=0.5")
    fleet.cloud_line(
        *("command", VEHICLE, *argv, "--key", str(fleet.directory / "ops.key"), "--no-wait"),
        *("--purpose", "a test", "--port", str(fleet.port)),
    )
    file = fleet.directory / "conf.d" / "zz-remote.toml"
    fleet.until(file.exists, "the change is written")
    fleet.agent.kill()
    file.write_text("[store]\ncommit_interval_s = 'broken'\n")
    fleet.start_agent()
    assert not file.exists()
    assert fleet.agent.said("taken back")
    fleet.cloud.start()
    fleet.until(lambda: fleet.commands()["running"] == [], "the trial is over")
    code, said = fleet.give("status")
    assert code == 0, said


def test_a_flood_from_a_hostile_broker_costs_nothing(fleet: Fleet) -> None:
    """Thousands of replays, forgeries and shelf copies while telemetry goes on; memory is flat."""
    code, said = fleet.give("status")
    assert code == 0, said
    heard: list[bytes] = []
    topic = f"brain/v1/{VEHICLE}/dn/commands"
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="evil", protocol=mqtt.MQTTv5)
    client.on_message = lambda _c, _d, message: heard.append(bytes(message.payload))
    client.on_connect = lambda c, *_: c.subscribe(topic, qos=1)
    client.connect("127.0.0.1", fleet.port)
    client.loop_start()
    try:
        code, said = fleet.give("status")
        assert code == 0 and heard, said
        before_kb = resident_kb(fleet.pid)
        done = fleet.commands()["done"]
        own = heard[0]
        # The largest packet that the agent announces it takes: 4 bytes of header, the topic with
        # its length, no properties. Beyond that the connection is given up.
        large = b"x" * (MAX_PACKET - 4 - 2 - len(topic) - 1)
        batch = [own, own[:-9] + b"AAAAAAAAA", large, own.replace(b".", b"..", 1), b""]
        sent, deadline = 0, time.monotonic() + 5.0
        while time.monotonic() < deadline:
            for message in batch:
                client.publish(topic, message, qos=0)
            sent += len(batch)
            wait_for("the client has sent", lambda: len(client._out_packet) < 50)
        client.publish(topic, own, qos=1, retain=True)
        fleet.until(lambda: sum(fleet.commands()["refused"].values()) > 1_000, "they arrived")
        counts = fleet.commands()["refused"]
        assert counts["flood"] > 100 and counts["too_large"] > 100, counts
        assert fleet.commands()["done"] == done
        assert resident_kb(fleet.pid) - before_kb < 12_000
        maps = Path(f"/proc/{fleet.pid}/maps").read_text()
        assert "cryptography" not in maps, "10 MB that Python's own OpenSSL makes unnecessary"
        assert fleet.status()["uplink"]["state"] == "up"
    finally:
        client.disconnect()
        client.loop_stop()
    # The shelf copy comes at each new connection.
    fleet.agent.kill()
    fleet.start_agent()
    fleet.until(lambda: fleet.commands()["refused"].get("retained"), "the copy on the shelf")
    code, said = fleet.give("status")
    assert code == 0, said


def resident_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError(pid)

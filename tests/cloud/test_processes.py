"""The real program against a real broker: kills at any point, a broker that goes, bad starts."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cloud_payloads import BOOT, EPOCH, VEHICLE, books
from cloud_rig import HERE, BrokerProcess, CloudEnd, Sender, default_kind, free_port, wait_for

from cloud.report import report


class Rig:
    """What one test started; all of it ends with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ends: list[Callable[[], object]] = []

    def broker(self, kind: str | None = None, *, start: bool = True) -> BrokerProcess:
        made = BrokerProcess(kind or default_kind(), self.folder)
        self._ends.append(made.stop)
        if start:
            made.start()
        return made

    def cloud(self, port: int) -> CloudEnd:
        made = CloudEnd(self.folder, port)
        self._ends.append(lambda: made.stop(signal.SIGKILL))
        return made

    def sender(self, port: int, vehicle: str = VEHICLE) -> Sender:
        made = Sender(port, vehicle=vehicle)
        self._ends.append(made.stop)
        return made

    def end(self) -> None:
        for end in reversed(self._ends):
            end()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.end()


@pytest.mark.parametrize("kind", ["mosquitto", "iotcore"])
def test_from_vehicle_to_ledger_to_ack(rig: Rig, kind: str) -> None:
    broker = rig.broker(kind)
    cloud = rig.cloud(broker.port)
    cloud.start()
    cloud.wait_ready()
    one, other = rig.sender(broker.port), rig.sender(broker.port, "bus-2")
    status = {"online": True, "vehicle": VEHICLE, "epoch": EPOCH, "boot": BOOT}
    wait_for(one._client.is_connected, "the vehicle is connected")
    one.publish("status", json.dumps(status).encode(), retain=True)
    one.publish("telemetry", b"\x01damaged")
    for sender in (one, other):
        sender.record(500)
        sender.record(1)
        sender.drain()
    wait_for(lambda: _state(cloud).get("acks_sent", 0) >= 2, "the state file counts acks")
    assert _state(cloud)["link"] == "up"
    assert cloud.stop() == 0
    assert cloud.output[0] == "ready"
    assert [line for line in cloud.output if "refused" in line] == cloud.output[1:]
    found = report(cloud.ledger)
    assert found["vehicles"][VEHICLE]["online"] is True
    assert found["counters"]["rejected"] == 1
    for vehicle in (VEHICLE, "bus-2"):
        epoch = found["vehicles"][vehicle]["epochs"][EPOCH]
        assert (epoch["records"], epoch["last"], epoch["gaps"]) == (501, 501, [])


def _state(cloud: CloudEnd) -> dict[str, object]:
    return json.loads(cloud.state.read_text()) if cloud.state.exists() else {}


KILLS = [
    ("begin", 1),
    ("before-commit", 1),
    ("after-commit", 1),
    ("before-ack", 1),
    ("after-ack", 1),
    ("before-commit", 3),
    ("after-commit", 3),
]


def test_nothing_acked_is_lost_at_any_failpoint(rig: Rig) -> None:
    """Killed at each point of the commit: what the vehicle was told is in the file, every time."""
    broker = rig.broker()
    cloud = rig.cloud(broker.port)
    sender = rig.sender(broker.port)
    for point, times in KILLS:
        cloud.start(kill_at=(point, times))
        sender.drive(lambda: not cloud.running, f"killed at {point}", records=7)
        assert cloud.wait() == -signal.SIGKILL
        sender.step()
        booked = books(cloud.ledger).seqs.get((VEHICLE, EPOCH), set())
        assert sender.acked_seqs() <= booked, f"acknowledged but lost at {point}"
    _drained_and_balanced(cloud, sender)


def test_nothing_acked_is_lost_by_random_kills(rig: Rig) -> None:
    broker = rig.broker()
    cloud = rig.cloud(broker.port)
    sender = rig.sender(broker.port)
    chance = random.Random(7)
    for _ in range(6):
        cloud.start()
        cloud.wait_ready()
        enough = sender.acks + chance.randint(1, 4)
        sender.drive(lambda enough=enough: sender.acks >= enough, "some acks", records=20)  # type: ignore[misc]
        cloud.stop(signal.SIGKILL)
        sender.step()
        assert sender.acked_seqs() <= books(cloud.ledger).seqs[VEHICLE, EPOCH]
    _drained_and_balanced(cloud, sender)


def test_a_broker_that_goes_and_comes_back(rig: Rig) -> None:
    broker = rig.broker()
    cloud = rig.cloud(broker.port)
    cloud.start()
    sender = rig.sender(broker.port)
    for _ in range(2):
        enough = sender.acks + 2
        sender.drive(lambda enough=enough: sender.acks >= enough, "some acks", records=20)  # type: ignore[misc]
        broker.stop(signal.SIGKILL)
        sender.record(20)
        wait_for(lambda: _state(cloud)["link"] == "down", "the cloud end knows")
        broker.start()
    sender.drain()
    assert cloud.stop() == 0
    lost = [line for line in cloud.output if "trying again" in line]
    assert lost
    assert sum("connected again" in line for line in cloud.output) == 2
    _drained_and_balanced(cloud, sender)


def _drained_and_balanced(cloud: CloudEnd, sender: Sender) -> None:
    cloud.start()
    cloud.wait_ready()
    sender.drain()
    assert cloud.stop() == 0
    booked = books(cloud.ledger)
    assert booked.seqs[VEHICLE, EPOCH] == set(range(1, sender.sent_seq + 1))
    assert booked.spans[VEHICLE, EPOCH] == [(1, sender.sent_seq)]
    assert booked.conflicts == 0


def test_a_broker_that_is_not_there_yet_is_said_once(rig: Rig) -> None:
    broker = rig.broker(start=False)
    cloud = rig.cloud(broker.port)
    cloud.start()
    wait_for(lambda: bool(cloud.output), "it says so")
    broker.start()
    cloud.wait_ready()
    assert cloud.stop(signal.SIGINT) == 0
    assert cloud.output == [
        f"cloud: broker 127.0.0.1:{broker.port}: Connection refused; trying again until it works",
        "ready",
    ]


def test_it_ends_while_there_is_no_broker(rig: Rig) -> None:
    cloud = rig.cloud(free_port())
    cloud.start()
    wait_for(lambda: bool(cloud.output), "it says so")
    assert cloud.stop() == 0


def test_a_second_instance_is_refused(rig: Rig) -> None:
    port = free_port()
    first = rig.cloud(port)
    first.start()
    wait_for(lambda: bool(first.output), "the first one runs")
    second = rig.cloud(port)
    second.start()
    assert second.wait() == 2
    assert len(second.output) == 1
    assert f"{second.ledger} is in use by another cloud end" in second.output[0]
    assert first.running


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (["--port", "0", "--ledger", "x"], "not a port"),
        (["--ledger", "x", "--prefix", "a/#"], "no topic prefix"),
        ([], "--ledger"),
        (["--ledger", "/nowhere/at/all.db"], "/nowhere/at/all.db"),
        (["report", "--ledger", "/nowhere/at/all.db"], "there is no ledger"),
    ],
)
def test_bad_starts_are_one_clear_line(given: list[str], text: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cloud", *given],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=HERE.parents[1],
    )
    assert done.returncode == 2
    assert text in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr

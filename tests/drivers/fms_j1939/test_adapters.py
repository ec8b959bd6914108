"""Interfaces of python-can, on its virtual bus."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import can
import pytest

from agent.sdk import DeviceUnavailable
from drivers.fms_j1939 import adapters, status
from drivers.fms_j1939.driver import FmsConfig, FmsJ1939

CHANNEL = "fms-test"
PAYLOAD = bytes([0xF3, 0, 50, 0, 0, 0, 0, 0])


@pytest.fixture
def other() -> Iterator[can.BusABC]:
    with can.Bus(interface="virtual", channel=CHANNEL) as bus:
        yield bus


def test_frames_of_all_kinds(
    other: can.BusABC, start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "STATUS_MS", 50)
    driver = FmsJ1939(FmsConfig(channel=CHANNEL, interface="virtual"))
    running = start(driver.run)
    ctx = running.ctx
    ctx.wait(lambda: bool(ctx.of("bus")))  # it is open
    for message in (
        can.Message(arbitration_id=0x18FEF100, data=PAYLOAD),
        can.Message(arbitration_id=0x18FEF100, data=PAYLOAD),
        can.Message(arbitration_id=0x123, is_extended_id=False, data=b"\1"),
        can.Message(arbitration_id=0x18EAFF00, is_remote_frame=True),
        can.Message(arbitration_id=0x18FEF100, is_fd=True, data=bytes(64)),
        can.Message(is_error_frame=True),
    ):
        other.send(message)
    ctx.wait(lambda: ctx.of("bus")[-1]["Vehicle.Bus.Can.ErrorFrames"] == 1)
    assert ctx.of("bus")[-1]["Vehicle.Bus.Can.FramesRead"] == 5
    assert ctx.of("bus")[-1]["Vehicle.Bus.Can.FramesRejected"] == 3
    assert [values["Vehicle.Speed"] for values in ctx.of("ccvs1")][:1] == [50.0]
    assert running.end() is None
    assert other.recv(0) is None  # nothing was ever sent


@pytest.mark.parametrize(
    ("interface", "why"),
    [
        ("socketcan", r"nocan0 is not there.*ip -br link show type can"),
        ("nosuch", r"cannot be opened"),
        ("udp_multicast", r"cannot be opened"),
    ],
)
def test_what_cannot_be_opened(interface: str, why: str) -> None:
    with pytest.raises(DeviceUnavailable, match=why):
        FmsJ1939(FmsConfig(channel="nocan0", interface=interface)).probe()


def test_an_adaptor_that_stays_active_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[dict[str, object]] = []

    class Active:
        state = can.BusState.ACTIVE

        def __init__(self, **config: object) -> None:
            opened.append(config)

        def shutdown(self) -> None:
            opened.append({})

    monkeypatch.setattr(can, "Bus", Active)
    with pytest.raises(DeviceUnavailable, match="listen-only"):
        FmsJ1939(FmsConfig(channel="x", interface="pcan")).probe()
    assert opened[0]["state"] is can.BusState.PASSIVE
    assert opened[1] == {}


def test_python_can_is_imported_only_where_it_is_needed() -> None:
    code = "import sys, drivers.fms_j1939.driver; print('can' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_only_reading_is_ever_asked_of_python_can() -> None:
    text = Path(adapters.__file__).read_text()
    assert set(re.findall(r"self\._bus\.(\w+)", text)) == {"recv", "shutdown", "state"}

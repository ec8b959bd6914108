"""Virtual CAN interfaces in a guest: who sends, who listens, and the driver alone on one."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.rig.machine import Machine
from tests.rig.place import NoRig
from tests.rig.program import Program
from tests.rig.rig import Rig

PYTHON = ("/opt/brain/venv/bin/python", "-P")
SCRIPTS = "/opt/brain/src/tests/rig/guest"
BROKEN = "/opt/brain/src/tests/rig/broken"
READ, REJECTED = "Vehicle.Bus.Can.FramesRead", "Vehicle.Bus.Can.FramesRejected"
LOST, ERRORS = "Vehicle.Bus.Can.FramesLost", "Vehicle.Bus.Can.ErrorFrames"
STATE, SPEED = "Vehicle.Bus.Can.State", "Vehicle.Speed"


@dataclass(frozen=True)
class Sent:
    """What a sender did: frames without error frames, when it said what (boot time in ms)."""

    frames: int
    first_ms: int
    said: Mapping[str, int]


@dataclass(frozen=True)
class Said:
    """One emission of the driver; times are boot time of the guest in ms."""

    group: str
    values: Mapping[str, Any]
    states: Mapping[str, str]
    at_ms: int | None
    now_ms: int


class Alone:
    """The FMS driver in a process of its own, without the agent."""

    def __init__(self, machine: Machine, program: Program) -> None:
        self.program = program
        self._machine = machine

    def lines(self) -> list[dict[str, Any]]:
        """All that it has printed, but for a line that is not whole yet."""
        whole = self.program.output.rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def said(self, group: str) -> list[Said]:
        """What it emitted in a group, in order."""
        return [Said(**line) for line in self.lines() if line.get("group") == group]

    def values(self, path: str) -> list[Any]:
        """What it stated of a signal, in order."""
        return [line["values"][path] for line in self.lines() if path in line.get("values", {})]

    def latest(self, path: str) -> Any:
        """The last value of a signal; None before the first."""
        return (self.values(path) or [None])[-1]

    def devices(self) -> list[str]:
        """What it said about its device, in order."""
        return [line["device"] for line in self.lines() if "device" in line]

    def until(self, fact: Callable[[], object], what: str, timeout_s: float = 20.0) -> None:
        """Wait for a fact."""
        self._machine.until(fact, what, timeout_s, also=lambda: self.program.output[-4000:])

    def read(self, frames: int) -> None:
        """Wait until it has read so many frames."""
        self.until(lambda: (self.latest(READ) or 0) >= frames, f"{frames} frames are read")

    def pause(self) -> None:
        """Stop it in its tracks."""
        self.program.kill(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self.program.kill(signal.SIGCONT)

    def stop(self) -> str:
        """Tell it to end; with what exception it did, "" for none."""
        self.program.kill(signal.SIGTERM)
        self.program.wait(20)
        return str(self.lines()[-1]["ended"])

    def memory_kb(self) -> int:
        """Resident memory."""
        script = f"cat /proc/$(pgrep -f 'can_driver.p[y] {self.program.argv[-1]}')/status"
        words = self._machine.shell(script).split()
        return int(words[words.index("VmRSS:") + 1])


class Can:
    """The CAN interfaces of one guest. `sent`: all frames that the tests put on any of them."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.sent = 0
        self._count = 0
        machine.shell("modprobe -a vcan can-raw")
        self._ear = machine.start(*PYTHON, f"{SCRIPTS}/can_watch.py")
        self._ear.says("listening")

    def interface(self) -> str:
        """Another vcan, up; nobody else is on it."""
        self._count += 1
        name = f"vcan{self._count}"
        self.machine.shell(f"ip link add {name} type vcan && ip link set {name} up")
        return name

    def sender(self, channel: str, lines: Iterable[str], rate: float = 0.0) -> Program:
        """Start to send what guest/can_send.py takes; finish it with `sent_by`."""
        self._count += 1
        script = f"frames-{self._count}"
        (self.machine.control / script).write_text("".join(line + "\n" for line in lines))
        return self.machine.start(
            *PYTHON, f"{SCRIPTS}/can_send.py", channel, f"/rig/{script}", str(rate)
        )

    def sent_by(self, sender: Program, timeout_s: float = 60.0) -> Sent:
        """Wait for the end of a sender. Raises GuestFailed where it failed."""
        ended = sender.wait(timeout_s)
        if ended.code:
            raise self.machine.failed("the sender failed", ended.output)
        *said, last = [line.rsplit(" ", 1) for line in ended.output.splitlines()]
        _, frames, first_ms = last[0].split()
        self.sent += int(frames)
        return Sent(int(frames), int(first_ms), {text: int(at_ms) for text, at_ms in said})

    def send(self, channel: str, lines: Iterable[str], rate: float = 0.0) -> Sent:
        """Send all of it; `rate` in frames a second, 0 for as fast as it goes."""
        return self.sent_by(self.sender(channel, lines, rate))

    def driver(self, channel: str, *, broken: str = "", **section: object) -> Alone:
        """The driver on an interface, open. `broken`: the name of a folder in tests/rig/broken."""
        words = [f"{key}={json.dumps(value)}" for key, value in section.items()]
        env = {"PYTHONPATH": f"{BROKEN}/{broken}"} if broken else {}
        program = self.machine.start(*PYTHON, f"{SCRIPTS}/can_driver.py", *words, channel, env=env)
        alone = Alone(self.machine, program)
        alone.until(lambda: alone.said("bus"), "the driver has its interface open")
        return alone

    def heard(self) -> dict[str, int]:
        """End the second socket; what it counted."""
        self._ear.kill(signal.SIGTERM)
        ended = self._ear.wait(20)
        return dict(json.loads(ended.output.splitlines()[-1]))

    def ends_unheard(self) -> None:
        """A driver reads once more; of all that was ever on any interface, none sent a frame."""
        channel = self.interface()
        driver = self.driver(channel)
        self.send(channel, ["18FEF100#F30032FFFFFFFFFF"] * 10)
        driver.read(10)
        assert driver.stop() == ""
        assert self.heard() == {"frames": self.sent, "errors": 0, "lost": 0}


def guest_with_can(directory: Path) -> Iterator[Can]:
    """For a fixture of a module: one guest for all of its tests, which skip where there is none."""
    try:
        rig = Rig(directory)
    except NoRig as reason:
        pytest.skip(str(reason))
    try:
        yield Can(rig.boot())
    finally:
        rig.close()

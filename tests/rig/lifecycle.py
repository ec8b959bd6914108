"""One table of what the agent owes in each situation, whoever plays PID 1.

Each row is run under systemd in a guest (test_systemd_lifecycle.py) and under `brain up` on this
machine (test_lifecycle_up.py). `check` injects the fault, waits for what the row expects, and then
for an agent that is whole again; what was accepted must have come through.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.books import Books, books


@dataclass(frozen=True)
class State:
    """One process as its supervisor sees it. `pid` is None where there is none."""

    pid: int | None
    restarts: int
    ready: bool


class Supervisor(Protocol):
    """systemd or `brain up`. Names are `run` and those of the drivers."""

    kind: str
    names: tuple[str, ...]

    def states(self) -> dict[str, State]: ...
    def whole(self) -> bool: ...
    def signal(self, name: str, number: int) -> None: ...
    def break_it(self, name: str, *faults: str) -> None: ...
    def mark(self) -> str: ...
    def log(self, since: str = "") -> str: ...
    def until(self, fact: Callable[[], object], what: str, timeout_s: float = 60.0) -> None: ...
    def answer(self, *argv: str) -> dict[str, Any]: ...
    def hold_over(self) -> tuple[dict[str, Any], dict[str, Any]]: ...


@dataclass(frozen=True)
class Row:
    """A situation: what is done to `target`, and what must then be seen.

    `restarts`: how often the target at least is started again; all others keep their process.
    `said`: a pattern that the log must hold, by kind of supervisor or under "any".
    """

    id: str
    situation: str
    target: str
    inject: Callable[[Supervisor], None]
    restarts: int = 1
    said: Mapping[str, str] = field(default_factory=dict)
    limit_s: float = 90.0


def breaks(name: str, *faults: str) -> Callable[[Supervisor], None]:
    return lambda supervisor: supervisor.break_it(name, *faults)


def sends(name: str, number: int) -> Callable[[Supervisor], None]:
    return lambda supervisor: supervisor.signal(name, number)


def leaks(supervisor: Supervisor) -> None:
    """Memory without end. Under `brain up`, without a cgroup, the kernel would end it so."""
    if supervisor.kind == "systemd":
        supervisor.break_it("gnss", "leak")
    else:
        supervisor.signal("gnss", signal.SIGKILL)


_STACK = r"(?s)Fatal Python error: Aborted.*File "
TABLE = [
    Row(
        "A12",
        "a loop of the coordinator hangs: no watchdog feed, SIGABRT with all stacks, restart",
        "run",
        breaks("run", "hang"),
        said={
            "any": r"(?s)stalled: ingest.*Fatal Python error: Aborted.*wait_for_ever",
            "systemd": r"Watchdog timeout",
            "brain up": "run: no sign of life within its watchdog limit",
        },
    ),
    Row(
        "A10",
        "the coordinator is stopped (SIGSTOP): killed by its watchdog, restart",
        "run",
        sends("run", signal.SIGSTOP),
        said={"systemd": r"Watchdog timeout", "brain up": "run: no sign of life"},
    ),
    Row(
        "A3",
        "the coordinator is killed: back with all it accepted",
        "run",
        sends("run", signal.SIGKILL),
        said={"systemd": r"code=killed, status=9/KILL", "brain up": r"run: ended \(signal 9\)"},
    ),
    Row(
        "I2",
        "a driver's loop hangs: killed by its watchdog, its sibling and the coordinator go on",
        "fms",
        breaks("fms", "hang"),
        said={
            "any": r"(?s)fms: stalled: the driver does not beat.*" + _STACK.removeprefix("(?s)"),
            "systemd": r"Watchdog timeout",
        },
    ),
    Row(
        "I1",
        "a driver crashes in C (SIGSEGV)",
        "fms",
        breaks("fms", "segfault"),
        said={
            "any": "Fatal Python error: Segmentation fault",
            "systemd": r"status=11/SEGV",
            "brain up": r"fms: ended \(signal 11\)",
        },
    ),
    Row(
        "I1",
        "a driver ends with code 1",
        "fms",
        breaks("fms", "exit_1"),
        said={"systemd": r"status=1/FAILURE", "brain up": r"fms: ended \(exit code 1\)"},
    ),
    Row(
        "H1",
        "a driver takes memory without end: killed alone",
        "gnss",
        leaks,
        said={"systemd": "oom-kill", "brain up": r"gnss: ended \(signal 9\)"},
    ),
]


def toml(sections: Mapping[str, str]) -> str:
    """The text of a configuration."""
    return "".join(f"[{name}]\n{text}" for name, text in sections.items())


def check(supervisor: Supervisor, row: Row) -> int:
    """Run one row; how many ms it took until the agent was whole again.

    Raises AssertionError (GuestFailed is one) where what the row expects does not come.
    """
    until_whole(supervisor)
    before, since, began = supervisor.states(), supervisor.mark(), time.monotonic()
    row.inject(supervisor)
    wanted = before[row.target].restarts + row.restarts
    supervisor.until(
        lambda: supervisor.states()[row.target].restarts >= wanted,
        f"{row.target} is started again: {row.situation}",
        row.limit_s,
    )
    until_whole(supervisor)
    heal_ms = round((time.monotonic() - began) * 1000)
    for kind, pattern in row.said.items():
        if kind in ("any", supervisor.kind):
            supervisor.until(
                lambda p=pattern: re.search(p, supervisor.log(since)), f"the log: {pattern}", 20.0
            )
    after = supervisor.states()
    assert after[row.target].restarts == wanted, f"{row.target}: {after[row.target]}"
    for name in supervisor.names:
        if name != row.target:
            assert after[name] == before[name], f"{name} was not to be touched: {row.situation}"
    for name, of in supervisor.answer("status")["drivers"].items():
        # What a driver's ring could not hold was never accepted, so no book would show it.
        lost = {key: of["counters"].get(key, 0) for key in ("lost_samples", "lost_important")}
        assert not any(lost.values()), f"{name}: {lost}: {row.situation}"
    return heal_ms


def until_whole(supervisor: Supervisor, timeout_s: float = 60.0) -> None:
    """Wait until all run, the drivers have their devices and the uplink is up."""
    supervisor.until(supervisor.whole, "the agent is whole", timeout_s)


def settle(supervisor: Supervisor, ledger: Path) -> Books:
    """Everything that was accepted until now reaches the far end; the agent's own books agree."""
    log = supervisor.log()
    supervisor.until(lambda: books(ledger, [log]).lost == 0, "all that was accepted is delivered")
    audit, verify = supervisor.hold_over()
    assert audit["accepted"] == audit["acknowledged"] + audit["queued"] + audit["dropped"], audit
    assert verify["sound"] is True, verify
    found = books(ledger, [log])
    assert found.invented == 0, found.examples
    return found

"""The agent under systemd in a guest: the units that install.py installed, spoken to through PID 1.

What a test lays over a unit besides comes through `drop_in` and says why.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.rig.feed import Feed
from tests.rig.install import CONFIG, FAULTS, NAMES, PYTHON, SECTIONS, STATE, unit
from tests.rig.lifecycle import State, toml
from tests.rig.machine import Machine
from tests.rig.network import VEHICLE as ADDRESS
from tests.rig.program import Ended

HOLDER = """
import os, signal, sys
from pathlib import Path
from agent.store.room import Lock
lock = Lock(Path(sys.argv[1]))
print("held by", os.getpid(), flush=True)
signal.pause()
"""

HOLD_OVER = f"""
from agent.cli.main import main
where = ["--json", "--config", {CONFIG!r}, "--run-dir", "/run/brain", "--state-dir", {STATE!r}]
main(["audit", *where])
main(["outbox", "verify", *where])
"""

# The clock of the guest decides: a request from the host takes time of its own.
IGNITION_OFF = """
began=$(cut -d' ' -f1 /proc/uptime)
systemctl stop --no-block {units}
for i in $(seq 20); do
	sleep 0.1
	took=$(awk "{{print \\$1 - $began}}" /proc/uptime)
	systemctl show -P ActiveState {units} | grep -qE '^(de)?activ' || break
	[ "$(awk "BEGIN {{print ($took > 2)}}")" = 1 ] && systemctl kill -s KILL {units} && break
done
systemctl stop {units}
echo $took
"""


class Units:
    """What PID 1 of the guest does with the shipped units. Names are `run` and the drivers'."""

    kind = "systemd"
    names = NAMES

    def __init__(self, machine: Machine, feed: Feed) -> None:
        """A guest that was booted with `installed()` before."""
        self.machine = machine
        self.feed = feed
        self.sections = dict(SECTIONS)
        machine.shell(f"mkdir -p {FAULTS}")

    # --- files --------------------------------------------------------------------------------

    def write(self, path: str, text: str) -> None:
        """A file in the guest."""
        (self.machine.control / "file").write_text(text)
        self.machine.shell(f"install -D -m 644 /rig/file '{path}'")

    def configure(self, **sections: str | None) -> None:
        """Write the configuration; None takes a section away."""
        for name, text in sections.items():
            section = name.replace("__", ".")
            self.sections.pop(section, None)
            if text is not None:
                self.sections[section] = text
        self.write(CONFIG, toml(self.sections))

    def drop_in(self, name: str, file: str, text: str) -> None:
        """Lay a drop-in over a unit."""
        self.write(f"/run/systemd/system/{unit(name)}.d/{file}.conf", text)
        self.machine.shell("systemctl daemon-reload")

    def dial(self) -> None:
        """The way to the world comes up."""
        self.machine.shell(f"ip addr add {ADDRESS}/24 dev eth0; ip link set eth0 up")

    # --- units --------------------------------------------------------------------------------

    def start(self, *names: str) -> None:
        """Start units, all without names; do not wait for READY."""
        units = [unit(name) for name in names or self.names]
        self.machine.shell(f"systemctl start --no-block {' '.join(units)}")

    def stop(self, *names: str) -> None:
        """Stop units, all without names, the drivers first, and wait."""
        wanted = names or self.names
        for name in wanted:
            self.hush(name)
        for group in ([n for n in wanted if n != "run"], [n for n in wanted if n == "run"]):
            if group:
                self.machine.shell(f"systemctl stop {' '.join(map(unit, group))}")

    def reload(self, *names: str) -> None:
        """`systemctl reload` of units."""
        self.machine.shell(f"systemctl reload {' '.join(map(unit, names))}")

    def hush(self, name: str) -> None:
        """A driver's device says nothing until the driver runs again: see Feed.silent."""
        if name != "run":
            self.feed.silent.add(name)

    def outbox_exists(self) -> bool:
        """Whether the coordinator has made its outbox."""
        return self.machine.run("test", "-e", f"{STATE}/outbox.db", check=False).code == 0

    @contextmanager
    def outbox_held(self) -> Iterator[int]:
        """Somebody else holds the outbox; their pid."""
        holder = self.machine.start(PYTHON, "-c", HOLDER, STATE)
        holder.says("held by")
        yield int(holder.output.split()[-1])
        holder.kill()

    def second(self) -> tuple[Ended, float]:
        """Another coordinator on the same state directory; how it ended and after how long."""
        began = time.monotonic()
        where = ("--config", CONFIG, "--run-dir", "/run/second", "--state-dir", STATE)
        ended = self.machine.run("brain", "run", *where, check=False)
        return ended, time.monotonic() - began

    def read_only(self, state: bool) -> None:
        """The file system of the state directory refuses to be written, or takes it again."""
        if state:
            self.machine.shell(f"mount --bind {STATE} {STATE}; mount -o remount,bind,ro {STATE}")
        else:
            self.machine.shell(f"umount {STATE}")

    def ignition_off(self) -> float:
        """SIGTERM to all; SIGKILL after 2 s. Seconds that the slowest took to end."""
        for name in self.names:
            self.hush(name)
        units = " ".join(map(unit, self.names))
        return float(self.machine.shell(IGNITION_OFF.format(units=units)).split()[-1])

    def show(self, *names: str, properties: str) -> list[dict[str, str]]:
        """Properties of units, in the order of the names."""
        units = [unit(name) for name in names]
        output = self.machine.run("systemctl", "show", f"-p{properties}", *units).output
        return [
            dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            for block in output.split("\n\n")
        ]

    def states(self) -> dict[str, State]:
        """All three."""
        shown = self.show(*self.names, properties="MainPID,NRestarts,SubState,StatusText")
        return {
            name: State(
                int(of["MainPID"]) or None, int(of["NRestarts"]), of["SubState"] == "running"
            )
            for name, of in zip(self.names, shown, strict=True)
        }

    def status(self, name: str) -> str:
        """Its last STATUS=."""
        return self.show(name, properties="StatusText")[0]["StatusText"]

    def whole(self) -> bool:
        """Whether all run, the devices are there and the uplink is up."""
        shown = self.show(*self.names, properties="SubState,StatusText")
        for name, of in zip(self.names, shown, strict=True):
            if of["SubState"] == "running":
                self.feed.silent.discard(name)
        run, *drivers = [of["StatusText"] for of in shown]
        return (
            all(of["SubState"] == "running" for of in shown)
            and re.fullmatch(rf"recording; {len(drivers)} drivers; .* queued; uplink up", run)
            is not None
            and all(text == "ok; connected" for text in drivers)
        )

    def signal(self, name: str, number: int) -> None:
        """A signal to its main process."""
        self.hush(name)
        self.machine.shell(f"systemctl kill --kill-whom=main -s {int(number)} {unit(name)}")

    def break_it(self, name: str, *faults: str) -> None:
        """Make it do what FAULTS of tests/rig/broken/on_demand lists."""
        self.write(f"{FAULTS}/{name}", " ".join(faults))
        self.signal(name, 10)

    def mark(self) -> str:
        """A place in the journal, for `log`."""
        shown = self.machine.run("journalctl", "-b", "-n0", "--show-cursor", "--no-pager").output
        return shown.partition("cursor: ")[2].strip()

    def log(self, since: str = "") -> str:
        """What was said since a mark, by the agent and by PID 1 about it."""
        after = [f"--after-cursor={since}"] if since else []
        argv = ["journalctl", "-b", "-o", "cat", "--no-pager", "-u", "brain*", *after]
        return self.machine.run(*argv).output

    def until(self, fact: Callable[[], object], what: str, timeout_s: float = 60.0) -> None:
        """Wait for a fact; the end of the log is shown where it does not come."""
        self.machine.until(fact, what, timeout_s, also=lambda: self.log()[-6000:])

    def brain(self, *argv: str, check: bool = True) -> Ended:
        """A verb of `brain` that asks the running agent."""
        where = ("--config", CONFIG, "--run-dir", "/run/brain")
        if argv[0] != "status":
            where = (*where, "--state-dir", STATE)
        return self.machine.run("brain", *argv, *where, check=check)

    def answer(self, *argv: str) -> dict[str, Any]:
        """The same with --json; exit codes are the caller's affair."""
        ended = self.brain(*argv, "--json", check=False)
        return dict(ended.json()) if "{" in ended.output else {}

    def hold_over(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """`brain audit` and `brain outbox verify`, in one process: a start costs seconds here."""
        output = self.machine.run(PYTHON, "-c", HOLD_OVER).output
        audit, end = json.JSONDecoder().raw_decode(output)
        return audit, json.loads(output[end:])

    def journal(self, *matches: str) -> list[dict[str, Any]]:
        """Entries of the journal with all their fields."""
        text = self.machine.run("journalctl", "-b", "-o", "json", "--no-pager", "--all", *matches)
        return [json.loads(line) for line in text.output.splitlines() if line.startswith("{")]

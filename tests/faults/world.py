"""A vehicle's agent, what feeds it and its far end: real processes in a place of their own.

`World` is what the fixture `world` gives. The agent (`brain run`) is the process that faults are
injected into; feeders, broker and cloud end stand outside of the fault's domain, and so do all
ledgers and logs. `settle` is the oracle: every test ends with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from simulator.broker import write_config
from simulator.processes import Process, ask, brain, free_port, listening
from tests.books import Books, accepted_in, records
from tests.faults import injection, statements
from tests.faults.calls import calls_heard, untold
from tests.faults.feeding import CHECKOUT, Feeder
from tests.faults.oracle import judge
from tests.faults.soundness import MAX_RSS_KB, Sizes, alarms, on_flash, repeated
from tests.faults.spending import Spending

HEAL_S = 30.0
VEHICLE = "bus-4021"


class World:
    """Nothing runs yet. `figures` goes into the report, `directory` is outside all faults."""

    def __init__(self, directory: Path, *, broker: Process | None = None, port: int = 0) -> None:
        """`broker`: another one than the embedded, listening at `port`; started by `dial`."""
        self.directory = directory
        self.run_dir, self.state_dir = directory / "run", directory / "state"
        self.config, self.ledger = directory / "brain.toml", directory / "ledger.db"
        self.log_file = directory / "agent.log"
        self.port = port or free_port()
        self.figures: dict[str, Any] = {}
        self.env: dict[str, str] = {}
        """Of the agent, beside ours."""
        self.within: Sequence[str] = ()
        """What goes before the command lines of agent and feeders."""
        self.feeders: dict[str, Feeder] = {}
        self.deaths: dict[str, list[int]] = {}
        """The last number that each feeder had begun to emit when it was killed, each time."""
        self.forgotten = 0
        """Records that the far end says it had and has no more."""
        self.agent: subprocess.Popen[bytes] | None = None
        self.spending = Spending()
        self.begun: Sizes | None = None
        """What the present life of the agent had when it said that it records."""
        self.sections = {
            "vehicle": f'id = "{VEHICLE}"\n',
            "agent": 'log_level = "debug"\n',
            "store": "commit_interval_s = 0.2\n",
            "uplink": f"port = {self.port}\nlinger_s = 0.1\nack_timeout_s = 2.0\n",
        }
        self.configure()
        if broker is None:
            write_config(directory / "broker.toml", self.port)
            argv = [sys.executable, "-P", "-m", "simulator.broker", str(directory / "broker.toml")]
            broker = Process("broker", argv, directory / "broker.log")
        self.broker = broker
        argv = [sys.executable, "-P", "-m", "cloud", "--port", str(self.port)]
        argv += ["--ledger", str(self.ledger), "--prefix", "brain"]
        self.cloud = Process("cloud", argv, directory / "cloud.log")
        self._pause = threading.Event()

    # --- what stands around the agent ---------------------------------------------------------

    def configure(self, **sections: str | None) -> None:
        """Write the configuration; `store__quota_mb` is [store.quota_mb], None takes it away."""
        for name, text in sections.items():
            self.sections.pop(name.replace("__", "."), None)
            if text is not None:
                self.sections[name.replace("__", ".")] = text
        text = "".join(f"[{name}]\n{body}" for name, body in self.sections.items())
        self.config.write_text(text)

    def dial(self) -> None:
        """Broker and cloud end are there."""
        if not self.broker.alive():
            self.broker.start()
            self.until(lambda: listening(self.port), "the broker listens")
        if not self.cloud.alive():
            self.cloud.start()
            self.until(lambda: self.cloud.said("ready"), "the cloud end is subscribed")

    def offline(self) -> None:
        """The network is gone; feeders go on."""
        self.broker.kill()

    def feed(self, name: str = "count", rate: float = 50.0) -> Feeder:
        """A driver that emits numbers, once the agent has its sockets."""
        socket, after = self.run_dir / "ingest.sock", (self.deaths.get(name) or [0])[-1]
        self.feeders[name] = Feeder(self.directory, socket, name, rate, self.within, after)
        return self.feeders[name]

    def kill_driver(self, name: str) -> None:
        """SIGKILL to a feeder; the next life of the same driver goes on with its numbers."""
        feeder = self.feeders.pop(name)
        self.deaths.setdefault(name, []).append(feeder.kill())
        self.feed(name, feeder.rate)

    # --- the agent ----------------------------------------------------------------------------

    def spawn(self, *before: str) -> subprocess.Popen[bytes]:
        """Start the agent and wait for nothing; `before` goes before its command line."""
        where = ["--config", str(self.config), "--run-dir", str(self.run_dir)]
        argv = [*before, *self.within, *brain("run", *where, "--state-dir", str(self.state_dir))]
        with self.log_file.open("ab") as log:
            self.agent = subprocess.Popen(
                argv, stdout=log, stderr=log, cwd=CHECKOUT, env={**os.environ, **self.env}
            )
        return self.agent

    def ends(self, within_s: float = HEAL_S) -> int:
        """Wait for the agent's end; its exit code, negative for a signal."""
        assert self.agent is not None
        return self.agent.wait(within_s)

    def start(self, *before: str, within_s: float = HEAL_S) -> float:
        """Start the agent and wait until it records; the seconds that this took."""
        mark, began = self.mark(), time.monotonic()
        agent = self.spawn(*before)
        self.until(
            lambda: "recording for" in self.log(mark) or agent.poll() is not None,
            "the agent records",
            within_s,
        )
        assert agent.poll() is None, f"the agent ended ({agent.returncode})\n{self.log(mark)}"
        self.begun = Sizes.of(self.pid)
        self.spending.look(self.run_dir)
        return time.monotonic() - began

    @property
    def pid(self) -> int:
        """The agent's process. Where strace stands before it, that one's child."""
        assert self.agent is not None
        children = Path(f"/proc/{self.agent.pid}/task/{self.agent.pid}/children").read_text()
        own = (Path(f"/proc/{self.agent.pid}/comm")).read_text().strip()
        return int(children.split()[0]) if own == "strace" and children else self.agent.pid

    def kill(self, number: int = signal.SIGKILL) -> None:
        """A signal to the agent; waits for its end where that is SIGKILL."""
        assert self.agent is not None
        if number in (signal.SIGKILL, signal.SIGTERM):
            self.spending.look(self.run_dir)
        with contextlib.suppress(ProcessLookupError):
            self.agent.send_signal(number)
        if number == signal.SIGKILL:
            self.agent.wait(10)

    def stop(self, within_s: float = 10.0) -> int:
        """SIGTERM; the exit code."""
        self.kill(signal.SIGTERM)
        assert self.agent is not None
        return self.agent.wait(within_s)

    @contextlib.contextmanager
    def failing(self, *injections: str, files: Sequence[Path] = ()) -> Iterator[Path]:
        """While this lasts, system calls of the agent fail; see injection.failing."""
        files = files or injection.outbox_files(self.state_dir)
        log = self.directory / "strace.log"
        with injection.failing(self.pid, *injections, files=files, log=log) as written:
            yield written

    # --- what can be seen ---------------------------------------------------------------------

    def mark(self) -> int:
        """A place in the agent's log."""
        return self.log_file.stat().st_size if self.log_file.exists() else 0

    def log(self, since: int = 0) -> str:
        """What the agent has said since a mark, over all its lives."""
        if not self.log_file.exists():
            return ""
        with self.log_file.open("rb") as file:
            file.seek(since)
            return file.read().decode(errors="replace")

    def alarms(self, text: str, since: int = 0) -> list[str]:
        """The lines of level ERROR that hold `text`: what a fleet operator is called for."""
        return [line for line in alarms(self.log(since)) if text in line]

    def said_on_flash(self, since_s: float, until_s: float) -> list[str]:
        """The lines that say that something is on flash, between two moments of the wall clock."""
        return on_flash(self.log(), since_s, until_s)

    def accepted(self) -> int:
        """How many records the agent has said are on flash, over all its lives."""
        return sum(accepted_in([self.log()]).values())

    def accepts(self, n: int, within_s: float = HEAL_S) -> float:
        """Wait until `n` more records are on flash; the seconds that this took."""
        began, target = time.monotonic(), self.accepted() + n
        self.until(lambda: self.accepted() >= target, f"{n} more records on flash", within_s)
        return time.monotonic() - began

    def delivered(self) -> int:
        """How many records the cloud end has booked."""
        return records(self.ledger) if self.ledger.exists() else 0

    def until(self, fact: Callable[[], object], what: str, within_s: float = HEAL_S) -> None:
        """Wait for a fact; the end of the agent's log is shown where it does not come."""
        deadline = time.monotonic() + within_s
        while not fact():
            if time.monotonic() > deadline:
                raise AssertionError(f"not seen in {within_s:.0f} s: {what}\n{self.log()[-5000:]}")
            self._pause.wait(0.05)

    def answer(self, *argv: str) -> dict[str, Any]:
        """A verb of `brain` with --json; its exit code is of no interest. Empty: no answer."""
        where = ["--run-dir", str(self.run_dir)]
        if argv[0] != "explain":
            where += ["--config", str(self.config)]
        if argv[0] not in ("explain", "status"):
            where += ["--state-dir", str(self.state_dir)]
        done = subprocess.run(
            brain(*argv, "--json", *where), capture_output=True, text=True, timeout=60, check=False
        )
        with contextlib.suppress(ValueError):
            return dict(json.loads(done.stdout))
        return {}

    def healthy(self) -> bool:
        """Whether the agent says that all is well."""
        status = ask(self.run_dir, "status")
        return status is not None and status["health"] == "ok"

    # --- the oracle ---------------------------------------------------------------------------

    def books(self) -> Books:
        """What has become of all so far."""
        fed = {name: feeder.emitted() for name, feeder in self.feeders.items()}
        return judge(self.ledger, [self.log()], fed, self.deaths, self.forgotten)

    def salvaged(self) -> bool:
        """Whether all that was damaged has been looked through."""
        audit = ask(self.run_dir, "audit")
        return audit is not None and not audit["salvaging"]

    def settle(
        self,
        *,
        healed_at: float | None = None,
        within_s: float = 60.0,
        calls: int | None = None,
        again: bool = False,
        peak_kb: int = MAX_RSS_KB,
    ) -> Books:
        """End the feeding, wait until all is booked, judge; every test ends with this.

        `healed_at`: time.monotonic() when the fault was over; until healthy is `heal_ms`. `calls`:
        how many alarms there must be in all; None: at most one of a kind in each life of the agent,
        unless the fault came `again`. `peak_kb`: the most memory of the last life, ever.
        """
        self.dial()
        began = time.monotonic() if healed_at is None else healed_at
        self.until(self.healthy, "health is restored", HEAL_S)
        heal_ms = round((time.monotonic() - began) * 1000)
        for feeder in self.feeders.values():
            feeder.tell("rate 0")
        deadline = time.monotonic() + within_s
        while (found := self.books()).lost or self._outstanding():
            if time.monotonic() > deadline:
                break
            self._pause.wait(0.1)
        sizes, called = Sizes.of(self.pid), self.alarms("")
        self.figures |= {
            "alarms": len(called),
            "rss_kb": sizes.rss_kb,
            "peak_kb": sizes.peak_kb,
            "runs": self.figures.get("runs", 1),
            "accepted": found.accepted,
            "delivered": found.delivered,
            "dropped": found.dropped,
            "lost": found.lost,
            "invented": found.invented,
        }
        if healed_at is not None:
            self.figures["heal_ms"] = heal_ms
        assert not found.lost and not found.invented, f"{found}\n{self.log()[-5000:]}"
        statements.judge(self.answer, self.spending)
        silent = untold(self.ledger, called)
        assert not silent, f"records were given up and nobody was called: {silent}"
        if calls is not None:
            assert len(called) == calls, called
        elif not again:
            assert not repeated(self.log()), repeated(self.log())
        if self.begun is not None:
            grown = sizes.grown(self.begun, peak_kb)
            assert not grown, grown
        return found

    def told(self) -> set[str]:
        """The kinds of the alarms that left the vehicle."""
        return calls_heard(self.ledger)

    def _outstanding(self) -> bool:
        """Whether the agent still has records or drops that the far end did not acknowledge."""
        audit = ask(self.run_dir, "audit")
        return audit is None or bool(audit["queued"]) or bool(audit["drops"])

    def close(self) -> None:
        """End everything."""
        for feeder in self.feeders.values():
            feeder.close()
        if self.agent is not None and self.agent.poll() is None:
            with contextlib.suppress(OSError, ValueError):
                for child in self._children():
                    subprocess.run(["kill", "-9", str(child)], check=False)
            self.agent.kill()
            self.agent.wait()
        for process in (self.cloud, self.broker):
            process.kill()

    def _children(self) -> list[int]:
        assert self.agent is not None
        path = Path(f"/proc/{self.agent.pid}/task/{self.agent.pid}/children")
        return [int(word) for word in path.read_text().split()]

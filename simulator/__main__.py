"""`python -m simulator`: one run from the first byte on the wires to the judged books."""

from __future__ import annotations

import hashlib
import heapq
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from simulator.emission import NO_FAULTS, Emission
from simulator.faults import WORLD, unjudged, world_faults
from simulator.gtfs import GtfsError
from simulator.gtfs_journey import trip_journey
from simulator.injector import Injector, boottime_ms
from simulator.ledger import Ledger
from simulator.processes import StartFailed, ask, brain
from simulator.replay import ReplayError, replay_can, replay_nmea
from simulator.report import CloudLedger, make
from simulator.scenario import SOURCE_OF_REPLAY, Misuse, Scenario, arguments
from simulator.screen import books, clock_text, fault_words, progress, say
from simulator.stage import VEHICLE, Stage
from simulator.vehicle import Vehicle

TICK_S = 0.01
DRAIN_S = 30.0
SETTLE_S = 1.5
"""What was on the wires last is accepted by then: a driver repeats what was thinned within 1 s."""
RETURN_S = 5.0
"""Restart, reconnection and a commit, of a part that was killed in the last seconds."""
COUNTED_SETTLE_S = 8.0
"""The count of what was read may be thinned for 5 s after the last frame."""
POLL_S = 0.25
QUIET_POLLS = 3
"""An outbox that was empty this often in a row is empty."""
COUNTERS = {
    "can": ("Vehicle.Bus.Can.FramesRead", "Vehicle.Bus.Can.FramesRejected"),
    "nmea": ("Vehicle.Bus.Gnss.SentencesRead", "Vehicle.Bus.Gnss.SentencesRejected"),
}
"""What the drivers count: read and rejected. A frame that was rejected was read before."""


class Run:
    """One run of a scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._stop = threading.Event()
        # Before anything is started: a corrupt capture is refused here.
        self._replays = self._open_replays()
        journey = None
        if scenario.gtfs is not None:
            journey = trip_journey(
                scenario.gtfs, scenario.seed, scenario.gtfs_route, scenario.gtfs_trip
            )
        self._journey = journey
        self._stage = Stage(scenario)
        self._ledger = Ledger()
        replayed = {SOURCE_OF_REPLAY[kind] for kind in scenario.replay}
        self._vehicle = Vehicle(
            scenario.seed,
            sources=tuple({"gnss", "fms"} - replayed),
            kind=scenario.vehicle,
            quirks=scenario.quirks,
            journey=journey,
            utc_start_ms=scenario.utc_start_ms,
        )
        self._replay_done = not scenario.replay
        self._replayed: dict[str, int] = dict.fromkeys(scenario.replay, 0)
        self._next = next(self._replays, None)
        self._digest = hashlib.sha256()
        self._boundaries = sorted(
            {t for f in scenario.faults if f.name in WORLD for t in (f.start_s, f.end_s)}
        )
        self._now_s = 0.0
        self._zero_ms = 0

    def _open_replays(self) -> Iterator[Emission]:
        openers = {"can": replay_can, "nmea": replay_nmea}
        streams = [openers[kind](path) for kind, path in self._scenario.replay.items()]
        return heapq.merge(*streams, key=lambda emission: emission.at_s)

    def go(self) -> int:
        """Run, judge, print; the exit code."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._stop.set())
        try:
            self._stage.raise_curtain()
            self._greet()
            injector = self._injector()
            self._drive(injector)
            injector.heal()
            audit = self._drain()
            self._ledger_collect()
            self._stage.strike()
            report = self._report(audit)
        finally:
            self._stage.strike()
            self._stage.clear()
        for line in books(report):
            say(line)
        return 0 if report["ok"] else 1

    def _injector(self) -> Injector:
        stage = self._stage
        return Injector(
            self._scenario.faults,
            self._ledger,
            stage.link,
            stage.supervisor,
            stage.broker,
            stage.cloud,
            stage.work / "failpoints",
        )

    def _greet(self) -> None:
        s = self._scenario
        say(f"Simulated bus {VEHICLE}, {s.vehicle}   seed {s.seed}   x{s.speed:g}")
        if self._journey is not None:
            say(f"Timetable: {self._journey.name}")
        for quirk in s.quirks:
            say(f"Quirk: {quirk}")
        say(
            f"MQTT 127.0.0.1:{self._stage.broker_port}   "
            f"(try: mosquitto_sub -V 5 -p {self._stage.broker_port} -t 'brain/#' -v)"
        )
        say(f"From another terminal: brain status, brain watch --run-dir {self._stage.run_dir}")
        for fault in s.faults:
            say(f"  at {clock_text(fault.start_s)} {fault_words(fault.name, fault.driver)}")
        if s.duration_s is None and not s.replay:
            say("Ctrl-C stops and shows the books.")

    def _drive(self, injector: Injector) -> None:
        s = self._scenario
        self._zero_ms = boottime_ms()
        started = time.monotonic()
        told, shown = -1, frozenset[str]()
        to_come = sorted(s.faults, key=lambda fault: fault.start_s)
        while not self._stop.is_set():
            now_s = (time.monotonic() - started) * s.speed
            if s.duration_s is not None:
                now_s = min(now_s, s.duration_s)
            self._advance(now_s)
            injector.step(now_s)
            self._ledger_collect()
            self._stage.check()
            while to_come and to_come[0].start_s <= now_s and not s.headless:
                fault = to_come.pop(0)
                say(f"{clock_text(now_s):>6}  --- {fault_words(fault.name, fault.driver)}")
            active = frozenset(str(fault) for fault in injector.active(now_s))
            if not s.headless and (active != shown or int(now_s) != told):
                told, shown = int(now_s), active
                self._tell(now_s, active)
            over = s.duration_s is not None and now_s >= s.duration_s
            if over or (s.duration_s is None and s.replay and self._replay_done):
                return
            self._stop.wait(TICK_S)

    def _tell(self, now_s: float, active: frozenset[str]) -> None:
        line = progress(now_s, self._vehicle.world.speed_kmh, ask(self._stage.run_dir, "audit"))
        say(line + (f"   [{', '.join(sorted(active))}]" if active else ""))

    def _advance(self, to_s: float) -> None:
        """All that is due until `to_s`, in pieces within which the same faults are active."""
        cuts = [t for t in self._boundaries if self._now_s < t < to_s]
        for until_s in (*cuts, to_s):
            faults = world_faults(self._scenario.faults, self._now_s) or NO_FAULTS
            for emission in self._vehicle.advance(until_s, faults):
                self._put(emission)
            self._now_s = until_s
        while self._next is not None and self._next.at_s <= to_s:
            self._put(self._next)
            for kind, source in SOURCE_OF_REPLAY.items():
                if source == self._next.source and kind in self._replayed:
                    self._replayed[kind] += 1
            self._next = next(self._replays, None)
        self._replay_done = self._next is None

    def _put(self, emission: Emission) -> None:
        self._digest.update(emission.data)
        self._stage.wires[emission.source].write(emission)

    def _ledger_collect(self) -> None:
        for wire in self._stage.wires.values():
            self._ledger.enter(wire.heard())
            self._ledger.stalled_ms = max(self._ledger.stalled_ms, wire.stalled_ms)

    def _drain(self) -> dict[str, object]:
        """Wait until all is acknowledged; the audit as `brain audit --json` prints it."""
        deadline = time.monotonic() + DRAIN_S
        pause = threading.Event()
        counted = self._scenario.replay or any(f.name == "can_flood" for f in self._scenario.faults)
        pause.wait(COUNTED_SETTLE_S if counted else SETTLE_S)
        # A part that died at the end must be back, and have taken what the rings hold for it.
        if self._ledger.died_after(boottime_ms() - round(RETURN_S * 1000)):
            pause.wait(RETURN_S)
        quiet = 0
        while time.monotonic() < deadline and quiet < QUIET_POLLS:
            self._ledger_collect()
            pause.wait(POLL_S)
            audit = ask(self._stage.run_dir, "audit")
            quiet = quiet + 1 if audit is not None and audit.get("queued") == 0 else 0
        # Status goes on being stated while we look: what counts is an audit with an empty queue.
        while True:
            audit = self._asked("audit")
            if audit.get("queued") == 0 or time.monotonic() > deadline:
                return audit

    def _asked(self, verb: str) -> dict[str, Any]:
        """What a verb of the command line says, also once the vehicle has ended."""
        done = subprocess.run(
            brain(verb, "--json", *self._stage.arguments),
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        try:
            return dict(json.loads(done.stdout))
        except ValueError:
            raise StartFailed(f"brain {verb} --json failed: {done.stderr.strip()}") from None

    def _report(self, audit: dict[str, object]) -> dict[str, object]:
        s, stage = self._scenario, self._stage
        cloud = CloudLedger(stage.ledger_file)
        up_bytes, down_bytes = stage.link.passed()
        about: dict[str, object] = {
            "seed": s.seed,
            "duration_s": round(self._now_s, 3),
            "speed": s.speed,
            "faults": [str(fault) for fault in s.faults],
            "vehicle": s.vehicle,
            "quirks": list(s.quirks),
            "journey": self._journey.name if self._journey else None,
            "wire_bytes": up_bytes + down_bytes,
            "wire_bytes_up": up_bytes,
            "budget_bytes": _counted(self._asked("budget")),
            "digest": self._digest.hexdigest(),
        }
        if s.replay:
            about["replayed"] = {
                kind: {
                    "written": self._ledger.written.get(SOURCE_OF_REPLAY[kind], 0),
                    "emitted": self._replayed[kind],
                    "read": cloud.total(COUNTERS[kind][0]),
                    "rejected": cloud.total(COUNTERS[kind][1]),
                }
                for kind in s.replay
            }
        report = make(
            about,
            self._ledger,
            cloud,
            audit,
            zero_ms=self._zero_ms,
            judged=s.judged,
            not_judged=sorted({*unjudged(s.faults), *(SOURCE_OF_REPLAY[k] for k in s.replay)}),
        )
        if s.report is not None:
            _write(s.report, report)
        return report


def _counted(budget: Mapping[str, Any]) -> int:
    """All that the vehicle counted on its way to the broker, whatever its clock said meanwhile."""
    counts = [*budget["months"].values(), budget["undated"]]
    return sum(count[way]["total"] for count in counts for way in ("metered", "unmetered"))


def _write(path: Path, report: dict[str, object]) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(json.dumps(report, indent=1) + "\n")
    temporary.replace(path)


def main(argv: list[str] | None = None) -> int:
    """Entry point; errors are one line each."""
    try:
        return Run(arguments(sys.argv[1:] if argv is None else argv)).go()
    except (Misuse, GtfsError, ReplayError, StartFailed) as error:
        sys.stderr.write(f"brain simulate: {error}\n")
        return 1 if isinstance(error, StartFailed) else 2
    except OSError as error:
        sys.stderr.write(f"brain simulate: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())

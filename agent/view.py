"""What the coordinator says of itself over control.sock: status, audit, signals."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from agent import clock
from agent.config import Config
from agent.control import Answer
from agent.explain import Explainer
from agent.pipeline import Pipeline
from agent.processors.clock import ClockTable
from agent.record import StorageClass
from agent.signals import Catalogue
from agent.store.reader import READ_ERRORS, OutboxReader
from agent.uplink.pump import Uplink
from agent.values import MAX_TEXT


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of the coordinator that can be asked; a reload replaces those behind a callable.

    `refused` is what was wrong with the configuration at the last reload, empty where it was taken.
    """

    config: Callable[[], Config]
    boot: str
    directory: Path
    quota: Mapping[StorageClass, int]
    catalogue: Catalogue
    clock: ClockTable
    pipeline: Pipeline
    explainer: Explainer
    uplink: Callable[[], Uplink]
    refused: Callable[[], Sequence[str]]
    uptime_s: Callable[[], float]
    utc: Callable[[int], str | None]


class View:
    """Answers questions from snapshots that the loops leave behind; it never waits for them."""

    def __init__(self, parts: Parts) -> None:
        self._of = parts

    def answers(self) -> Mapping[str, Answer]:
        """The verbs of control.sock."""
        return {
            "status": self.status,
            "audit": self.audit,
            "signals": self.signals,
            "budget": self.budget,
            "explain": self.explain,
        }

    def report(self, verb: str) -> Mapping[str, Any]:
        """The answer to a verb that wants no arguments."""
        answer = self.answers()[verb]({})
        assert isinstance(answer, Mapping)
        return answer

    def support(self) -> Mapping[str, object]:
        """What goes into the support archive."""
        config = self._of.config().model_dump(by_alias=True)
        return {
            "status": self.report("status"),
            "audit": self.report("audit"),
            "configuration": config,
            "host": {
                "python": sys.version,
                "machine": platform.machine(),
                "os": platform.release(),
            },
        }

    def explain(self, request: Mapping[str, object]) -> object:
        """Who gives a signal and why. Raises ValueError where none is named."""
        asked = request.get("signal")
        if not isinstance(asked, str) or not 1 <= len(asked) <= MAX_TEXT:
            raise ValueError('signal: expected a path like "Vehicle.Speed"')
        return self._of.explainer.explain(asked, clock.boottime_ms())

    def status(self, request: Mapping[str, object]) -> object:
        """One screen of how it goes."""
        of = self._of
        drivers = self._drivers()
        uplink = dict(of.uplink().status())
        config = of.config()
        problems = [
            f"{name}: {view['device'] if view['connected'] else 'not connected'}"
            for name, view in drivers.items()
            if not view["connected"] or view["device"] != "ok"
        ]
        problems[:0] = filter(None, (of.pipeline.problem, of.pipeline.losses.problem))
        if uplink["state"] == "down" or uplink.get("error"):
            problems.append(f"uplink: {uplink.get('error') or 'down'}")
        budget = of.uplink().budget()
        if budget["waits"]:
            problems.append(f"budget of this month: {budget['meaning']}")
        problems += [f"configuration not taken: {text}" for text in of.refused()]
        rows = of.clock.rows
        mine = [row for row in rows if row.boot == of.boot]
        return {
            "vehicle": config.vehicle.id,
            "pid": os.getpid(),
            "version": version("computing-brain"),
            "uptime_s": round(of.uptime_s(), 1),
            "health": "degraded" if problems else "ok",
            "problems": problems,
            "clock": {
                "source": max((r.source for r in mine), key=list(clock.OffsetSource).index).value,
                "utc": of.utc(clock.boottime_ms()),
            },
            "arbitration": {
                "followed": of.explainer.followed(),
                "disagreements": of.explainer.disagreements(clock.boottime_ms()),
            },
            "drivers": drivers,
            "outbox": self._outbox(),
            "uplink": uplink,
        }

    def _drivers(self) -> dict[str, dict[str, object]]:
        of = self._of
        now_ms = clock.boottime_ms()
        shown: dict[str, dict[str, object]] = {}
        config = of.config()
        names = {**dict.fromkeys(config.drivers), **dict.fromkeys(of.pipeline.drivers)}
        for name in names:
            view = of.pipeline.drivers.get(name)
            section = config.drivers.get(name)
            age_s = None
            if view is not None and view.last_boottime_ms is not None:
                age_s = max(0.0, (now_ms - view.last_boottime_ms) / 1000)
            shown[name] = {
                "type": view.type if view else (str(section["type"]) if section else ""),
                "connected": bool(view and view.connected),
                "device": view.device if view else "not connected",
                "last_record_age_s": age_s,
                "records": view.records if view else 0,
                "rate_hz": round(view.records / max(of.uptime_s(), 1.0), 2) if view else 0.0,
                "counters": dict(view.counters) if view else {},
            }
        return shown

    def _outbox(self) -> dict[str, object]:
        of = self._of
        shown: dict[str, object] = {
            storage_class.value: {
                "accepted": c.accepted,
                "acknowledged": c.acknowledged,
                "queued": c.queued,
                "dropped": c.dropped,
                "bytes": c.nbytes,
                "quota_bytes": of.quota[storage_class],
            }
            for storage_class, c in of.pipeline.counters.items()
        }
        shown["directory"] = str(of.directory)
        return shown

    def audit(self, request: Mapping[str, object]) -> object:
        """The equation: accepted = acknowledged + queued + dropped, per class and in all."""
        of = self._of
        try:
            reader = OutboxReader(of.directory)
            try:
                summary = dict(reader.summary())
            finally:
                reader.close()
        except READ_ERRORS as error:
            # The reader has asked the pipeline to look the file through.
            text = f"the outbox cannot be read just now ({error}); it is looked through, ask again"
            raise ValueError(text) from error
        return {
            "vehicle": of.config().vehicle.id,
            **summary,
            "duplicates_sent": of.uplink().status().get("duplicates_sent", 0),
        }

    def budget(self, request: Mapping[str, object]) -> object:
        """What the SIM card cost this month, and what that means for what is sent."""
        return {"vehicle": self._of.config().vehicle.id, **self._of.uplink().budget()}

    def signals(self, request: Mapping[str, object]) -> object:
        """The merged catalogue."""
        return [
            {
                "source": source,
                "group": group.name,
                "path": s.path,
                "datatype": s.datatype.value,
                "unit": s.unit,
                "meaning": s.meaning,
                "keep": s.thinning.keep.value,
                "interval_s": s.thinning.interval_s,
                "deadband": s.thinning.deadband,
                "minimum": s.minimum,
                "maximum": s.maximum,
                "steps_per_unit": s.steps_per_unit,
                "definition": s.source,
            }
            for source, group, s in self._of.catalogue
        ]

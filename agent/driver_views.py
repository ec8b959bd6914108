"""What the coordinator knows of each driver, from what the door passes on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.ingest_messages import Arrival, Joined, Left, Reported

log = logging.getLogger("brain.pipeline")


@dataclass
class DriverView:
    """What the coordinator knows of one driver."""

    type: str = ""
    version: str = ""
    pid: int = 0
    connected: bool = False
    device: str = "starting"
    records: int = 0
    last_boottime_ms: int | None = None
    counters: Mapping[str, int] = field(default_factory=dict)


class DriverViews(dict[str, DriverView]):
    """By source; a driver that left stays, not connected."""

    def pid(self, source: str) -> int | None:
        """The process of a driver, None where it is not connected."""
        view = self.get(source)
        return view.pid if view is not None and view.connected else None

    def note(self, item: Arrival | Joined | Left | Reported) -> None:
        """Take in one message of the door."""
        view = self.setdefault(item.source, DriverView())
        match item:
            case Arrival():
                view.records += len(item.records)
                if item.records:
                    view.last_boottime_ms = item.records[-1].boottime_ms
            case Joined():
                view.type, view.version, view.pid = item.type, item.version, item.pid
                view.connected = True
            case Left():
                view.connected = False
            case Reported():
                if view.device != item.device:
                    about = {"brain_driver": item.source}
                    log.info("%s: device %s", item.source, item.device, extra=about)
                view.device, view.counters = item.device, item.counters

"""A driver that loads the uplink: records that no compression makes smaller, and events."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Annotated

from agent.sdk import EVERY, Context, Datatype, Driver, DriverConfig, Group, Kind, Meta, Signal

TEXT, EVENT = "Vehicle.Bus.Rig.Ballast", "Vehicle.Bus.Event.Rig"
LOAD = Group("load", (Signal(TEXT, Datatype.STRING, "", "Text of no meaning.", EVERY),))
ALARM = Group("alarm", (Signal(EVENT, Datatype.UINT32, "", "Counts the events.", EVERY),))
PERIOD_S = 0.05


class Config(DriverConfig, frozen=True):
    """How much of it."""

    load: Annotated[str, Meta(description="File with the number of records owed in all.")]
    event_every_s: Annotated[float, Meta(description="Seconds between events.", ge=0.1)] = 3.0
    record_bytes: Annotated[int, Meta(description="Bytes of a record.", ge=2, le=4000)] = 500


class Ballast(Driver[Config]):
    """Emits what the file asks for, and an event now and then."""

    config_model = Config
    groups = (LOAD, ALARM)

    def run(self, ctx: Context) -> None:
        """Look at the file every 50 ms."""
        pause, noise = threading.Event(), random.Random(1)
        emitted = events = rounds = 0
        while ctx.running():
            owed = int(Path(self.config.load).read_text() or 0)
            for _ in range(min(200, owed - emitted)):
                emitted += 1
                ctx.emit(LOAD, {TEXT: noise.randbytes(self.config.record_bytes // 2).hex()})
            rounds += 1
            if rounds * PERIOD_S >= (events + 1) * self.config.event_every_s:
                events += 1
                ctx.emit(ALARM, {EVENT: events}, kind=Kind.EVENT)
            pause.wait(PERIOD_S)

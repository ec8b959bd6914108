"""A driver that makes files on demand: an order is a JSON file in a folder."""

from __future__ import annotations

import hashlib
import json
import random
import threading
from pathlib import Path
from typing import Annotated

from agent.sdk import (
    EVERY,
    Blob,
    Context,
    Datatype,
    Driver,
    DriverConfig,
    Group,
    Kind,
    Meta,
    Signal,
    sampled,
)

ALARM, COUNT, MADE = (f"Vehicle.Bus.Filer.{name}" for name in ("Alarm", "Count", "Made"))
ALARMS = Group("alarms", (Signal(ALARM, Datatype.INT64, "", "Number of an alarm.", EVERY),))
COUNTS = Group("counts", (Signal(COUNT, Datatype.INT64, "", "Counts up.", sampled(0.05, 0.0)),))
FILES = Group("files", (Signal(MADE, Datatype.STRING, "", "Name of a file.", EVERY),))


class Config(DriverConfig):
    """Where the orders are."""

    orders: Annotated[str, Meta(description="Folder of the orders.")]
    period_s: Annotated[float, Meta(description="Time between counts.", ge=0.01, le=60)] = 0.1


class Filer(Driver[Config]):
    """Makes what is ordered, counts, and raises an alarm at each fifth count."""

    config_model = Config
    groups = (ALARMS, COUNTS, FILES)

    def run(self, ctx: Context) -> None:
        """Until told to stop."""
        pause = threading.Event()
        count = 0
        while ctx.running():
            count += 1
            ctx.emit(COUNTS, {COUNT: count})
            if count % 5 == 0:
                ctx.emit(ALARMS, {ALARM: count}, kind=Kind.EVENT)
            for order in sorted(Path(self.config.orders).glob("*.order")):
                self._make(ctx, order)
            pause.wait(self.config.period_s)

    def _make(self, ctx: Context, order: Path) -> None:
        said = json.loads(order.read_text())
        content = random.Random(said["seed"]).randbytes(said["size"])
        name = order.stem
        (ctx.workdir / name).write_bytes(content)
        sha256 = said.get("sha256") or hashlib.sha256(content).hexdigest()
        blob = Blob(name, said.get("media_type", "video/mp4"), len(content), sha256)
        ctx.emit(FILES, {MADE: name}, kind=Kind.FILE, blob=blob, durable=True)
        # Durable: what is here may go.
        (ctx.workdir / name).unlink()
        order.rename(order.with_suffix(".done"))

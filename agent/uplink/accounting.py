"""Counts what the uplink costs and says what the budget allows. Used by the pump's thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.alarms import Alarm, of
from agent.uplink.budget import MEANING, UNLIMITED, Budget, BudgetConfig, Step, budget_of
from agent.uplink.plan import Priority
from agent.uplink.statement import statement
from agent.uplink.traffic import CLASSES, Meter, Traffic
from agent.uplink.traffic_file import SYNC_BYTES, SYNC_S, TrafficFile, decode, encode
from agent.uplink.wire import Passed, Wire

log = logging.getLogger("brain.uplink")

LOOK_S = 0.25
MQTT_BYTES = 12
"""Of a PUBLISH beside topic and payload: header, lengths, message id, expiry."""
CLASS_OF: Mapping[Priority, str] = {
    Priority.ALARM: "alarm",
    Priority.LIVE: "live",
    Priority.HISTORY: "history",
    Priority.BULK: "bulk",
}


class Accounting:
    """`wire` is told by the connection's thread; everything else happens on the pump's."""

    def __init__(
        self,
        config: BudgetConfig,
        directory: Path | None,
        utc_ms: Callable[[], int | None] = lambda: None,
        wire: Wire | None = None,
    ) -> None:
        """`directory` keeps the counts, None keeps them in memory. `utc_ms`: what time it is."""
        self._config = config
        self._file = TrafficFile(directory) if directory is not None else None
        self._utc_ms = utc_ms
        self._traffic = Traffic(self._file.counted if self._file is not None else None)
        self._meter = Meter()
        self.wire = wire or Wire()
        self._snapshot = encode(self._traffic.counted)
        self._looked_at = self._synced_at = time.monotonic()
        self._synced = self._traffic.spent()
        self._live_at: float | None = None
        self._said: Step = self.step

    def start(self) -> None:
        """Before the first count."""
        if self._file is not None:
            self._file.start()

    def stop(self) -> None:
        """Count what the last connection cost and keep it."""
        self.look(at_once=True)
        self._meter.ended()
        self._keep(sync=True)
        if self._file is not None:
            self._file.stop()

    @property
    def unmetered(self) -> bool:
        """Whether the present connection has no limits."""
        return self.wire.interface in self._config.unmetered

    @property
    def step(self) -> Step:
        """How far the budget of this month is used up."""
        return self._config.step(self._traffic.spent())

    def budget(self, linger_s: float) -> Budget:
        """What may be sent now; `linger_s` is what samples wait for company without a budget."""
        if self.unmetered or not self._config.monthly_mb:
            return UNLIMITED
        since = None if self._live_at is None else time.monotonic() - self._live_at
        # What was handed over is as good as spent: on a quick link it is much in one look.
        step = self._config.step(self._traffic.spent() + self._meter.owed)
        return budget_of(self._config, step, linger_s=linger_s, since_live_s=since)

    def connected(self) -> None:
        """A new connection stands; the old one is counted."""
        self.look(at_once=True)
        self._meter.ended()
        self._keep(sync=False)

    def handed(self, priority: Priority, nbytes: int) -> None:
        """A message of so many bytes, topic and payload, goes to the connection."""
        if priority is Priority.LIVE:
            self._live_at = time.monotonic()
        self._meter.handed(CLASS_OF[priority], nbytes + MQTT_BYTES)
        self._keep(sync=False)

    def put(self, nbytes: int, passed: Passed) -> None:
        """So many bytes of files went up beside MQTT, which cost `passed` on the wire."""
        self._meter.handed(CLASS_OF[Priority.BULK], nbytes)
        self.wire.add(passed.up, passed.down)

    def look(self, *, at_once: bool = False) -> None:
        """Take over what the connections cost since the last time; seldom, unless `at_once`."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_S and not at_once:
            return
        utc_ms = self._utc_ms()
        self._traffic.passed(now - self._looked_at, utc_ms)
        self._looked_at = now
        changed = False
        for interface, passed in self.wire.take().items():
            metered = interface not in self._config.unmetered
            counts = dict(self._meter.seen(passed.up))
            counts["overhead"] += passed.down
            for storage_class in CLASSES:
                if counts[storage_class]:
                    changed = True
                    self._traffic.add(
                        storage_class, counts[storage_class], metered=metered, utc_ms=utc_ms
                    )
        due = now - self._synced_at >= SYNC_S or (
            self._traffic.spent() - self._synced >= SYNC_BYTES
        )
        if changed:
            self._keep(sync=due)
            self._say()

    def status(self) -> Mapping[str, object]:
        """What `brain budget` shows. From any thread."""
        shown = statement(self._config, decode(self._snapshot), self._utc_ms())
        metered = not self.unmetered
        return {
            **shown,
            "waits": bool(shown["waits"]) and metered,
            "link": {"interface": self.wire.interface, "metered": metered},
        }

    def _keep(self, *, sync: bool) -> None:
        if sync:
            self._synced, self._synced_at = self._traffic.spent(), time.monotonic()
        self._traffic.counted.owed = self._meter.owed
        snapshot = encode(self._traffic.counted)
        if self._file is not None:
            self._file.write(snapshot, sync=sync)
        # After that: what was ever shown survives a kill.
        self._snapshot = snapshot

    def _say(self) -> None:
        """A step is said once, when it is reached or left."""
        step = self.step
        if step == self._said:
            return
        self._said = step
        spent, monthly = self._traffic.spent() / 1_000_000, self._config.monthly_mb
        text = "budget: %.1f of %d MB of this month are spent: %s"
        log.warning(text, spent, monthly, MEANING[step], extra=of(Alarm.BUDGET))

"""The composition root of the coordinator: the one place that knows everything.

It builds the parts, joins them by queues and callables, starts their threads, feeds the watchdog
from its main thread and takes all down in order.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Sequence
from pathlib import Path

from agent import clock
from agent.alarm_events import ALARM, AlarmEvents
from agent.alarms import Alarm, of
from agent.arbitration import apply, arbiter
from agent.board import Board
from agent.clock_alarm import ClockAlarm
from agent.commanding import Commanding, Remote
from agent.commands.replies import COMMAND_FILE, REPLY
from agent.config import Config, ConfigInvalid, SecretUnavailable
from agent.config_problems import log_lines
from agent.control import Control
from agent.dates import Dates
from agent.declared import Declared
from agent.doors import listeners, may_speak_for
from agent.explain import Explainer
from agent.health import AGENT, SOURCE, Supervision, self_report
from agent.heartbeat import Heartbeat
from agent.ingest import Inbound, Ingest
from agent.local_commands import LocalCommands
from agent.pipeline import Pipeline
from agent.processors.arbitrated import ARBITRATED
from agent.processors.clock import ClockTable
from agent.processors.thin import Thin
from agent.protocol import Notifier, watchdog_s
from agent.reload import Source, budget_settings, compare, store_limits, uplink_settings
from agent.signals import Catalogue
from agent.spool import Spool
from agent.store.outbox import Outbox
from agent.store.reader import OutboxReader
from agent.store.rows import Loss, Range
from agent.told import Told
from agent.uplink.accounting import Accounting
from agent.uplink.pump import Uplink
from agent.uplink.settings import UplinkConfig
from agent.view import Parts, View

log = logging.getLogger("brain")

INBOX_ITEMS = 256
SELF_REPORT_S = 60.0
STOP_S = 2.0
"""Ignition off: how long the last commit may take."""


class Coordinator:
    """All parts of `brain run`."""

    def __init__(
        self,
        config: Config,
        run_dir: Path,
        state_dir: Path,
        source: Source,
        remote: Remote,
        alarms: AlarmEvents,
    ) -> None:
        """`alarms` hears the log already.

        Raises ConfigInvalid, OutboxLocked where another coordinator owns `state_dir`, OutboxTooNew
        where a newer agent wrote it, OutboxFull where the disk does not let it.
        """
        self.started = time.monotonic()
        self.config = config
        self._source = source
        self._notifier = Notifier()
        self._told = Told()
        self.refused = source.refused
        self._table = Supervision()
        self._heartbeat = Heartbeat(self._notifier, self._table)
        self.boot = clock.boot_id()
        self.directory = state_dir
        state_dir.mkdir(parents=True, exist_ok=True)
        limits = store_limits(config.store)
        self.outbox = Outbox.open(state_dir, quota_bytes=limits.nbytes, limits=limits)
        self.spool = Spool(state_dir / "files", config.store.files_mb * 1_000_000)
        self.catalogue = Catalogue()
        self.thin = Thin()
        self._declared = Declared(self.catalogue, self.thin)
        own = (AGENT, ALARM, ARBITRATED, REPLY, COMMAND_FILE)
        self._declared.restore(self.outbox.catalogue(), SOURCE, own)
        rows = [*self.outbox.offsets()]
        if all(row.boot != self.boot for row in rows):
            rows.append(clock.system_offset(self.boot))
        self.clock = ClockTable(self.boot, rows, config.arbitration.clock.order)
        self._clock_alarm = ClockAlarm(self.clock)
        self.dates = Dates(self.clock, self.boot)
        self.arbiter = arbiter(SOURCE, config.arbitration, self.clock)
        self.board = Board()
        inbox: queue.Queue[Inbound] = queue.Queue(INBOX_ITEMS)
        doors = listeners(run_dir)
        commands = LocalCommands()
        self.ingest = Ingest(
            doors["ingest"],
            self.outbox.marks(),
            inbox,
            self._table.loop("ingest", 15.0),
            names=may_speak_for,
            answered=commands.answered,
            left=commands.left,
            spool=self.spool,
        )
        commands.open(self.ingest.send, self.ingest.connected)
        self.pipeline = Pipeline(
            self.outbox,
            self.boot,
            self.thin,
            self.clock,
            self.arbiter,
            self.catalogue,
            inbox,
            commit_interval_s=config.store.commit_interval_s,
            alarm_commit_s=config.store.alarm_commit_ms / 1000,
            durable=self.ingest.durable,
            committed=self._wake_uplink,
            observe=self.board.observe,
            # A disk may take long without being dead: 60 s, see faults of slow media.
            beat=self._table.loop("pipeline", 60.0),
        )
        self._alarms = alarms
        alarms.listen(self.pipeline.state, lambda: self.pipeline.problem is None)
        parts = Parts(
            lambda: self.config,
            self.boot,
            state_dir,
            limits.nbytes,
            self.catalogue,
            self.clock,
            self.pipeline,
            Explainer(self.arbiter, self.clock, self.board, self.catalogue),
            lambda: self.uplink,
            lambda: self.refused,
            self.uptime_s,
            self.dates.text,
        )
        view = View(parts)
        self._commanding = Commanding(
            state_dir,
            remote,
            spool=self.spool,
            status=lambda: view.report("status"),
            parts=view.support,
            give=commands.give,
            send=self.ingest.send,
            sources=self.ingest.connected,
            pid=self.pipeline.drivers.pid,
            say=self.pipeline.state,
            utc_ms=self.dates.now_ms,
            beat=lambda: self._table.loop("commands", 60.0),
            reload=self._told.reload,
        )
        self.pipeline.written = self._commanding.written
        self._commanding.apply(config)
        self.uplink = self._new_uplink(uplink_settings(config))
        self._control = Control(
            doors["control"],
            {**view.answers(), **self._commanding.answers()},
            self.board,
            self._declared.unit,
            self.dates.text,
            self._table.loop("control", 15.0),
            commands,
        )

    def uptime_s(self) -> float:
        """Seconds since the process began to build its parts."""
        return time.monotonic() - self.started

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; 0, or 1 where a part failed. SIGHUP: read again."""
        self._told.listen()
        parts = (self.pipeline, self.ingest, self.uplink, self._control)
        for part in parts:
            part.start()
        self._notifier.send(READY=1, STATUS="recording")
        log.info(
            "recording for %s, outbox %s (%s)",
            self.config.vehicle.id,
            self.directory,
            self.outbox.opened,
            extra=of(Alarm.RECORDING),
        )
        self._source.keep()
        failed = self._watch()
        self._notifier.send(STOPPING=1)
        # All at once: with the ignition off there are 2 s.
        self.uplink.leave()
        self._control.leave()
        self.ingest.stop()
        self._commanding.stop()
        ended = self.pipeline.stop(STOP_S)
        self.uplink.stop()
        self._control.stop()
        if ended:
            self.outbox.close()
        return 1 if failed else 0

    def _watch(self) -> bool:
        """Feed the watchdog while every loop is alive; True where a part failed."""
        limit_s = watchdog_s()
        period_s = min(1.0, limit_s / 4) if limit_s else 1.0
        next_report = time.monotonic() + 5.0
        while True:
            self._told.wait(period_s)
            self._alarms.flush()
            self._clock_alarm.look(clock.boottime_ms())
            if self._told.ending:
                return False
            if self._told.to_reload():
                self._reload()
            if self.pipeline.failure is not None:
                text = "the pipeline failed: %s; restarting"
                log.error(text, self.pipeline.failure, extra=of(Alarm.FAILED))
                return True
            if self._heartbeat.beat(self._status_line) and time.monotonic() >= next_report:
                next_report = time.monotonic() + SELF_REPORT_S
                self._report()

    def _reload(self) -> None:
        """Read the configuration again and apply what can be; an invalid one changes nothing."""
        self._notifier.reloading()
        waiting: Sequence[str] = ()
        try:
            changes = compare(self.config, self._source.reread())
            settings = uplink_settings(changes.config)
        except (ConfigInvalid, SecretUnavailable) as error:
            problems = error.problems if isinstance(error, ConfigInvalid) else ()
            self.refused = log_lines(problems) or [str(error)]
            for text in self.refused:
                log.error("configuration not taken: %s", text, extra=of(Alarm.CONFIG_REFUSED))
        else:
            self.refused, waiting = (), changes.waiting
            self.config = changes.config
            self.pipeline.pace(
                self.config.store.commit_interval_s, self.config.store.alarm_commit_ms / 1000
            )
            apply(self.config.arbitration, self.arbiter, self.clock)
            self._commanding.apply(self.config)
            if changes.uplink:
                self._replace_uplink(settings)
            log.info("configuration read again: %s", changes, extra=of(Alarm.CONFIG_APPLIED))
            self._source.keep()
        self._told.answer(self.refused, waiting)
        self._notifier.send(READY=1, STATUS=self._status_line())

    def _new_uplink(self, settings: UplinkConfig) -> Uplink:
        return Uplink(
            settings,
            self.config.vehicle.id,
            self.outbox.epoch,
            self.boot,
            lambda: OutboxReader(self.directory),
            self._declared.group_of,
            acked=self._acknowledge,
            refuse=self._refuse,
            beat=self._table.loop("uplink", 30.0),
            catalogue=self.catalogue,
            accounting=Accounting(budget_settings(self.config), self.directory, self.dates.now_ms),
            certificates_utc_ms=self.dates.certificates_ms,
            spool=self.spool,
            ear=self._commanding.ear,
        )

    def _replace_uplink(self, settings: UplinkConfig) -> None:
        """End the session and begin another; what was under way is sent again."""
        self.uplink.stop()
        self.uplink = self._new_uplink(settings)
        self.uplink.start()

    def _report(self) -> None:
        connected = {n: v.counters for n, v in self.pipeline.drivers.items() if v.connected}
        queued = sum(counters.nbytes for counters in self.pipeline.counters.values())
        if self.pipeline.problem is None:
            # While nothing is committed for weeks, what nobody waits for must not pile up in RAM.
            now_ms = clock.boottime_ms()
            self.pipeline.state(self_report(now_ms, self.uptime_s(), queued, connected))
        if self._commanding.retry(self.config):
            self._replace_uplink(uplink_settings(self.config))

    def _status_line(self) -> str:
        queued = sum(c.queued for c in self.pipeline.counters.values())
        drivers = sum(v.connected for v in self.pipeline.drivers.values())
        state = self.pipeline.problem or "recording"
        return f"{state}; {drivers} drivers; {queued:,} queued; uplink {self.uplink.state()}"

    # The uplink and the pipeline know each other through these three alone.
    def _wake_uplink(self) -> None:
        self.uplink.wake()

    def _acknowledge(self, epoch: str, ranges: Sequence[Range]) -> None:
        self.pipeline.acknowledge(epoch, ranges)
        self._commanding.acked()

    def _refuse(self, loss: Loss) -> None:
        self.pipeline.refuse(loss)

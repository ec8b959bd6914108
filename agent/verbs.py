"""What the coordinator asks of a driver: commands and records for a sink, on their own thread."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Mapping
from typing import Any

from agent.clock import boottime_ms
from agent.context import HostContext
from agent.protocol import Command, Deliver
from agent.record import Kind, Record, Scalar, State
from agent.sdk import Commandable, Driver, Sink

log = logging.getLogger(__name__)

WAITING = 32
"""Commands and deliveries that wait for a slow driver; more are counted and dropped."""


class Verbs:
    """Thread "verbs", only for drivers that take commands or records.

    The result of a command is emitted durably as a REPLY of the group that declares its paths.
    """

    def __init__(self, name: str, driver: Driver[Any], ctx: HostContext) -> None:
        self.failures = 0
        self._name = name
        self._driver = driver
        self._ctx = ctx
        self._queue: queue.Queue[Command | Deliver | None] = queue.Queue(WAITING)
        self._thread: threading.Thread | None = None
        if isinstance(driver, (Commandable, Sink)):
            self._thread = threading.Thread(target=self._run, name="verbs", daemon=True)

    def replace(self, driver: Driver[Any]) -> None:
        """Another instance of the same class takes the next message."""
        self._driver = driver

    def start(self) -> None:
        """Start the thread where the driver has a use for it."""
        if self._thread is not None:
            self._thread.start()

    def stop(self) -> None:
        """Let the thread end after what it is at; does not wait for it."""
        if self._thread is not None:
            try:
                self._queue.put_nowait(None)
            except queue.Full:
                log.debug("%s: verbs still wait at the end", self._name)

    def take(self, message: Command | Deliver) -> None:
        """Queue a message; what does not fit or concern the driver counts as a failure."""
        try:
            if self._thread is None:
                raise queue.Full
            self._queue.put_nowait(message)
        except queue.Full:
            self.failures += 1

    def _run(self) -> None:
        while (message := self._queue.get()) is not None:
            try:
                self._do(message)
            # Third-party code, as in the driver's loop: a verb that fails costs that verb.
            except BaseException as error:
                self.failures += 1
                what = message.verb if isinstance(message, Command) else "deliver"
                log.error("%s: %s: %s: %s", self._name, what, type(error).__name__, error)

    def _do(self, message: Command | Deliver) -> None:
        driver = self._driver
        if isinstance(message, Deliver):
            if isinstance(driver, Sink):
                states = {path: State(state) for path, state in message.states.items()}
                record = Record(
                    message.source, message.boottime_ms, message.values, states, Kind(message.kind)
                )
                driver.deliver(record)
            return
        if not isinstance(driver, Commandable) or message.verb not in driver.verbs:
            raise ValueError(f"{type(driver).__name__} has no such verb")
        if boottime_ms() > message.deadline_boottime_ms:
            raise TimeoutError("the deadline passed before it began")
        self._reply(driver.command(message.verb, message.args))

    def _reply(self, result: Mapping[str, Scalar]) -> None:
        for group in self._driver.groups:
            if result and result.keys() <= group.index.keys():
                self._ctx.emit(group, result, kind=Kind.REPLY, durable=True)
                return
        if result:
            raise ValueError(f"no group declares all of {', '.join(sorted(result))}")

"""What the coordinator asks of a driver: commands and records for a sink, on their own thread."""

from __future__ import annotations

import logging
import math
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from agent.clock import boottime_ms
from agent.context import HostContext
from agent.protocol import MAX_DATAGRAM, Answer, Command, Deliver, encode
from agent.record import Kind, Record, Scalar, State
from agent.sdk import Commandable, DeviceUnavailable, Driver, Sink
from agent.values import MAX_TEXT

log = logging.getLogger(__name__)

WAITING = 32
"""Commands and deliveries that wait for a slow driver; more are counted and refused."""


class Verbs:
    """Thread "verbs", only for drivers that take commands or records.

    Each command is answered by a call of `answer`. Its result is emitted durably, too, as a REPLY
    of the group that declares its paths, unless it came from this computer.
    """

    def __init__(
        self,
        name: str,
        driver: Driver[Any],
        ctx: HostContext,
        answer: Callable[[Answer, str], None],
    ) -> None:
        """`answer` is given an Answer and the path of the file that goes with it, "" for none."""
        self.failures = 0
        self._answer = answer
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
                self._fail(message, f"{type(self._driver).__name__} takes no commands")
                return
            self._queue.put_nowait(message)
        except queue.Full:
            self._fail(message, f"{WAITING} commands wait already")

    def _run(self) -> None:
        while (message := self._queue.get()) is not None:
            try:
                self._do(message)
            # Third-party code, as in the driver's loop: a verb that fails costs that verb.
            except BaseException as error:
                what = message.verb if isinstance(message, Command) else "deliver"
                log.error("%s: %s: %s: %s", self._name, what, type(error).__name__, error)
                self._fail(message, _text(error))

    def _fail(self, message: Command | Deliver, why: str) -> None:
        self.failures += 1
        if isinstance(message, Command):
            self._answer(Answer(message.id, False, {}, why[:MAX_TEXT]), "")

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
            verbs = driver.verbs if isinstance(driver, Commandable) else ()
            known = f"it has: {', '.join(sorted(verbs))}" if verbs else "it has none"
            raise ValueError(f"{type(driver).__name__} has no verb {message.verb!r}, {known}")
        if boottime_ms() > message.deadline_boottime_ms:
            raise TimeoutError("the deadline passed before it began")
        result = driver.command(message.verb, message.args)
        answer = _answer(message.id, result)
        if not message.local:
            self._reply(result)
        self._answer(answer, str(result.get("path", "")) if message.attach else "")

    def _reply(self, result: Mapping[str, Scalar]) -> None:
        for group in self._driver.groups:
            if result and result.keys() <= group.index.keys():
                self._ctx.emit(group, result, kind=Kind.REPLY, durable=True)
                return
        if result:
            raise ValueError(f"no group declares all of {', '.join(sorted(result))}")


def _answer(number: str, result: Mapping[str, Scalar]) -> Answer:
    """The result as it may be sent. Raises ValueError."""
    for key, value in result.items():
        if not isinstance(value, str | int | float):
            raise ValueError(f"result {key!r}: a {type(value).__name__} is no text or number")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"result {key!r}: expected a finite number, got {value}")
    answer = Answer(number, True, dict(result), "")
    if (size := len(encode(answer))) > MAX_DATAGRAM:
        raise ValueError(f"a result of {size} bytes, at most {MAX_DATAGRAM}")
    return answer


def _text(error: BaseException) -> str:
    """On one line; with the type where the driver did not mean to raise it."""
    text = " ".join(str(error).split())
    meant = isinstance(error, ValueError | OSError | DeviceUnavailable)
    return text if meant and text else f"{type(error).__name__}: {text}"

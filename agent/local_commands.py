"""Commands that somebody at this computer gives to a driver: sent, awaited, answered or given up.

Each is answered exactly once: by the driver, or because it left, does not read or takes too long.
Nothing here blocks; `reply` is called from whichever thread knows the answer.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from agent.clock import boottime_ms
from agent.config_problems import did_you_mean
from agent.protocol import Answer, Command, Downward
from agent.record import Scalar
from agent.values import INT64_MAX, INT64_MIN, MAX_TEXT

MAX_PENDING = 32
MAX_PENDING_A_DRIVER = 8
MAX_ARGS = 64
DEFAULT_TIMEOUT_S = 10.0
MAX_TIMEOUT_S = 4 * 3600.0
"""The longest recording takes an hour, and it may wait for another one."""

Reply = Callable[[Mapping[str, Scalar] | None, str], None]
"""The result and "", or None and what went wrong."""

TakeFile = Callable[[int], None]
"""Gets a descriptor of the file that the result names, to close; called before the reply."""


@dataclass(frozen=True, slots=True)
class _Pending:
    source: str
    verb: str
    timeout_s: float
    began: float
    reply: Reply
    file: TakeFile | None


class LocalCommands:
    """Those under way. Thread-safe. `clock` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._send: Callable[[str, Downward], bool] = lambda source, message: False
        self._sources: Callable[[], Iterable[str]] = tuple
        self._clock = clock
        self._lock = threading.Lock()
        self._pending: dict[str, _Pending] = {}
        self._numbers = itertools.count(1)

    def open(
        self, send: Callable[[str, Downward], bool], sources: Callable[[], Iterable[str]]
    ) -> None:
        """The way to the drivers. `send(source, message)` queues a message for one, False where it
        is not connected or does not read; `sources` are those that are connected.
        """
        self._send, self._sources = send, sources

    def give(
        self, request: Mapping[str, object], reply: Reply, file: TakeFile | None = None
    ) -> None:
        """Take a request of the control door: source, command, args, timeout_s.

        `file`: who takes the file that the driver names in its result, None where it stays there.
        Raises ValueError where it cannot be given at all; `reply` is not called then.
        """
        source, verb = _text(request, "source"), _text(request, "command")
        args, timeout_s = _args(request.get("args", {})), _timeout(request.get("timeout_s"))
        connected = sorted(self._sources())
        if source not in connected:
            hint = did_you_mean(source, connected, "connected") if connected else "none is"
            raise ValueError(f'no driver "{source}" is connected, {hint}')
        number = f"local-{next(self._numbers)}"
        with self._lock:
            waiting = [p for p in self._pending.values() if p.source == source]
            if len(self._pending) >= MAX_PENDING or len(waiting) >= MAX_PENDING_A_DRIVER:
                raise ValueError(f"{len(waiting)} commands wait for {source} already: try again")
            now = self._clock()
            self._pending[number] = _Pending(source, verb, timeout_s, now, reply, file)
        deadline_ms = boottime_ms() + round(timeout_s * 1000)
        attach = file is not None
        sent = self._send(source, Command(number, verb, args, deadline_ms, True, attach))
        # Where it left just now, `left` has answered already.
        if not sent and self._take(number):
            raise ValueError(f"{source} does not take the command: it left, or does not read")

    def answered(self, source: str, answer: Answer, files: Sequence[int] = ()) -> None:
        """A driver's host answered; what nobody waits for any more is dropped.

        `files` are open until this returns.
        """
        with self._lock:
            pending = self._pending.get(answer.id)
            if pending is None or pending.source != source:
                return
            del self._pending[answer.id]
        if answer.ok and files and pending.file is not None:
            # Without it where descriptors are short: the answer says so.
            with contextlib.suppress(OSError):
                pending.file(os.dup(files[0]))
        if answer.ok:
            pending.reply(answer.values, "")
        else:
            error = answer.error or "it failed without a reason"
            pending.reply(None, f"{source}: {pending.verb}: {error}")

    def left(self, source: str) -> None:
        """The driver's connection ended: what it was asked is not answered any more."""
        for number, pending in self._now().items():
            if pending.source == source and self._take(number):
                text = f"{source} left before it answered {pending.verb}; brain status says why"
                pending.reply(None, text)

    def expire(self) -> None:
        """Give up on what has taken too long. Call it a few times a second."""
        now, waiting = self._clock(), self._now()
        for number, pending in waiting.items():
            if now - pending.began >= pending.timeout_s and self._take(number):
                pending.reply(None, self._late(pending, waiting.values(), now))

    def _late(self, late: _Pending, waiting: Iterable[_Pending], now: float) -> str:
        text = f"{late.source} did not answer {late.verb} within {late.timeout_s:g} s"
        before = next((p for p in waiting if p.source == late.source and p is not late), None)
        if before is not None and before.began <= late.began:
            busy_s = now - before.began
            return f"{text}; {before.verb}, asked {busy_s:.0f} s ago, comes first"
        return f"{text}; it may still be done"

    def _now(self) -> dict[str, _Pending]:
        with self._lock:
            return dict(self._pending)

    def _take(self, number: str) -> bool:
        """Whether the caller is the one that answers this."""
        with self._lock:
            return self._pending.pop(number, None) is not None


def _text(request: Mapping[str, object], key: str) -> str:
    value = request.get(key)
    if not isinstance(value, str) or not 1 <= len(value) <= 64:
        raise ValueError(f"{key}: expected a text of 1 to 64 characters")
    return value


def _timeout(value: object) -> float:
    if value is None:
        return DEFAULT_TIMEOUT_S
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < float(str(value)) <= MAX_TIMEOUT_S:
        raise ValueError(f"timeout_s: expected a number of seconds, at most {MAX_TIMEOUT_S:g}")
    return float(str(value))


def _args(value: object) -> dict[str, Scalar]:
    if not isinstance(value, dict) or len(value) > MAX_ARGS:
        raise ValueError(f"args: expected an object of at most {MAX_ARGS} entries")
    for key, item in value.items():
        if len(key) > 64 or not _scalar(item):
            raise ValueError(f"args: {key[:64]!r}: expected a text, a number, true or false")
    return value


def _scalar(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_TEXT
    if isinstance(value, int):
        return INT64_MIN <= value <= INT64_MAX
    return isinstance(value, float) and math.isfinite(value)

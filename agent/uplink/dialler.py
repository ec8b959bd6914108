"""Keeps a session with the broker: dials, serves, dials again. Its thread may block, the pump not.

Name look-ups and connecting are the declared allowance of this thread.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from dataclasses import dataclass, replace
from typing import Literal

from agent.alarms import Alarm, of
from agent.uplink import tcp
from agent.uplink.endpoint import (
    CANNOT_SERVE,
    QOS_NOT_SUPPORTED,
    RETAIN_NOT_SUPPORTED,
    TAKEN_OVER,
    Connected,
    Endpoint,
    Events,
    Lost,
    Terms,
    Version,
)
from agent.uplink.names import Names
from agent.uplink.pace import MIN_PAUSE_S, STABLE_S, Reconnect, Segments, Takeovers
from agent.uplink.refused import Refused, Why
from agent.uplink.session import Session
from agent.uplink.watch import Watch

log = logging.getLogger("brain.uplink")

STEP_S = 0.5
STOP_S = 3.0

_ALARMS = {
    Why.UNTRUSTED: Alarm.UPLINK_UNTRUSTED,
    Why.CLOCK: Alarm.UPLINK_CLOCK,
    Why.DENIED: Alarm.UPLINK_DENIED,
}
"""What somebody has to see to. All else mends itself, or is nobody's fault on a road."""


@dataclass(frozen=True, slots=True)
class LinkState:
    """What people may know of the connection. `since`, `retry_at`: seconds of time.monotonic.

    `deaf_to`: topics that the broker does not let us hear.
    """

    state: Literal["up", "down"]
    since: float
    retry_at: float | None = None
    error: str | None = None
    version: Version | None = None
    deaf_to: tuple[str, ...] = ()

    @property
    def problem(self) -> str | None:
        """Why it is not all that it should be, None where it is."""
        if self.error or not self.deaf_to:
            return self.error
        return (
            f"the broker does not allow the subscription to {' and '.join(self.deaf_to)}: "
            "correct its access rules"
        )


class Dialler:
    """Owns the thread "uplink-session". `events` gets what happens, in order."""

    def __init__(
        self, endpoint: Endpoint, events: Events, *, reconnect: Reconnect | None = None
    ) -> None:
        self._endpoint = endpoint
        self._events = events
        self._reconnect = reconnect or Reconnect(random.uniform)
        self._segments = Segments()
        self._takeovers = Takeovers()
        self._names = Names()
        self._terms = Terms(retain=endpoint.config.broker_takes.retain)
        self._deaf_to: tuple[str, ...] = ()
        self._told: set[Why | Alarm] = set()
        self._silent = False
        self._peer: tuple[str, int] | None = None
        self._stop = threading.Event()
        self._session: Session | None = None
        self._generation = 0
        self._state = LinkState("down", time.monotonic())
        self._thread = threading.Thread(target=self._run, name="uplink-session", daemon=True)

    @property
    def state(self) -> LinkState:
        """The connection as it is now."""
        return self._state

    @property
    def alive(self) -> bool:
        """Whether the thread still runs; it ends only with `stop`."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Dial at once."""
        self._thread.start()

    def stop(self) -> None:
        """Say goodbye and end. A look-up that hangs is left behind with its daemon thread."""
        self._stop.set()
        self._thread.join(STOP_S)

    def publish(self, generation: int, topic: str, payload: bytes) -> int | None:
        """Send a message on that connection; None where it is no more."""
        session = self._session
        if session is None or generation != self._generation:
            return None
        return session.publish(topic, payload)

    def acked_bytes(self, generation: int) -> int | None:
        """Bytes that the far end's TCP has of that connection; None where nobody can tell."""
        watch = self._watch(generation)
        return watch.acked_bytes if watch is not None else None

    def rtt_s(self, generation: int) -> float:
        """The shortest round trip of that connection so far; 0 where none is known."""
        watch = self._watch(generation)
        return watch.rtt_s if watch is not None else 0.0

    def owed(self, generation: int) -> int:
        """Messages of any kind that the broker has not confirmed on that connection."""
        session = self._session
        return session.owed if session is not None and generation == self._generation else 0

    def _watch(self, generation: int) -> Watch | None:
        session = self._session
        return session.watch if session is not None and generation == self._generation else None

    def reset(self, generation: int, reason: str) -> None:
        """Give up that connection and dial again."""
        session = self._session
        if session is not None and generation == self._generation:
            session.reset(reason)

    def probing(self, generation: int) -> None:
        """That connection is risked to learn whether a message is to blame for the last cuts."""
        if generation == self._generation:
            self._reconnect.probing()

    def useful(self) -> None:
        """The far end answered: a cut now may be followed by a quick attempt."""
        self._reconnect.useful()

    def _run(self) -> None:
        version: Version = 5
        while not self._stop.is_set():
            self._generation += 1
            session = Session(
                *(self._endpoint, version, self._generation, self._events, self._stop),
                segment=self._segments.limit(time.monotonic()),
                terms=self._terms,
                names=self._names,
            )
            try:
                connected = session.open()
            except Refused as e:
                session.close()
                self._segments.failed()
                if self._adapt(e):
                    continue
                if e.other_version and version == 5:
                    version = 4
                    continue
                version = 5
                self._takeovers.refused()
                self._say(str(e), self._why(e))
                self._pause(str(e), answered=e.answered)
                continue
            lost = self._serve(session, connected)
            if lost is None:
                return
            if lost.stalled:
                self._segments.stalled(useful=self._reconnect.was_useful)
            taken_over = self._taken_over(lost)
            version = 5
            if taken_over:
                self._clone()
            reason = self._clone_text() if taken_over else lost.reason
            self._pause(reason, taken_over=taken_over, answered=lost.code in CANNOT_SERVE)

    def _adapt(self, refusal: Refused) -> bool:
        """Do without what the broker does not support; False where that is not the trouble."""
        before = self._terms
        if refusal.code == RETAIN_NOT_SUPPORTED:
            self._terms = replace(before, retain=False)
        elif refusal.code == QOS_NOT_SUPPORTED:
            self._terms = replace(before, qos=0)
        return self._terms != before

    def _serve(self, session: Session, connected: Connected) -> Lost | None:
        """One connection until its end; None where we are to stop."""
        now = time.monotonic()
        self._reconnect.connected(now)
        self._segments.connected(now)
        if session.watch is not None and session.watch.peer is not None:
            self._peer = session.watch.peer
        self._silent = False
        self._told -= {why for why in self._told if why is not Alarm.UPLINK_TAKEN_OVER}
        self._session = session
        self._state = LinkState(
            "up", time.monotonic(), version=connected.version, deaf_to=connected.deaf_to
        )
        if set(connected.deaf_to) - set(self._deaf_to):
            log.error("%s", self._state.problem, extra=of(Alarm.UPLINK_DENIED))
        self._deaf_to = connected.deaf_to
        self._put(connected)
        lost = None
        try:
            while not self._stop.is_set():
                lost = session.step(STEP_S)
                if lost is not None:
                    self._put(lost)
                    return lost
            return None
        finally:
            self._session = None
            session.close(say_goodbye=lost is None)

    def _taken_over(self, lost: Lost) -> bool:
        held_s = time.monotonic() - self._state.since
        if held_s >= STABLE_S:
            self._told.discard(Alarm.UPLINK_TAKEN_OVER)
        if lost.code is not None:
            return lost.code == TAKEN_OVER
        return self._takeovers.cut(held_s=held_s, by_peer=lost.by_peer, owed=lost.owed)

    def _clone(self) -> None:
        if Alarm.UPLINK_TAKEN_OVER not in self._told:
            self._told.add(Alarm.UPLINK_TAKEN_OVER)
            log.error("%s", self._clone_text(), extra=of(Alarm.UPLINK_TAKEN_OVER))

    def _why(self, refusal: Refused) -> Why:
        """What kind of trouble it is. Rules of a broker hang up each time, a road does it once."""
        before, self._silent = self._silent, refusal.silent
        return Why.UNREACHABLE if refusal.silent and not before else refusal.why

    def _say(self, text: str, why: Why) -> None:
        """Tell why there is no connection: once, until there was one."""
        if why not in self._told:
            self._told.add(why)
            alarm = _ALARMS.get(why)
            level = logging.WARNING if alarm is None else logging.ERROR
            log.log(level, "no uplink: %s", text, extra=of(alarm or Alarm.UPLINK_DOWN))

    def _pause(self, error: str, *, taken_over: bool = False, answered: bool = False) -> None:
        now = time.monotonic()
        pause_s = self._reconnect.pause_s(now, taken_over=taken_over, answered=answered)
        since = self._state.since if self._state.state == "down" else now
        self._state = LinkState("down", since, now + pause_s, error)
        if taken_over:
            self._stop.wait(pause_s)
        else:
            self._rest(now, now + pause_s)

    def _rest(self, began: float, end: float) -> None:
        """Wait, but not longer than until another way to the broker appears: 3G is back, Wi-Fi."""
        before = tcp.source_address(self._peer)
        while not self._stop.wait(min(STEP_S, max(0.0, end - time.monotonic()))):
            now = time.monotonic()
            here = tcp.source_address(self._peer)
            if here is None:
                before = None
            elif here != before:
                end = min(end, began + MIN_PAUSE_S)
            if now >= end:
                return

    def _clone_text(self) -> str:
        return (
            f"another client takes over the session of {self._endpoint.client_id!r} at "
            f"{self._endpoint.address}: does a second box or process run with this vehicle.id?"
        )

    def _put(self, event: Connected | Lost) -> None:
        while not self._stop.is_set():
            try:
                self._events.put(event, timeout=STEP_S)
                return
            except queue.Full:
                continue

"""The life of trouble codes: appeared, changed, gone, for each sender of DM1. Pure.

A hostile or broken bus must flood neither memory nor the outbox, so both are rationed; what is
held back is not lost: once its turn comes, what is then true is stated.
"""

from __future__ import annotations

from typing import NamedTuple

from agent.sdk import Scalar, State
from drivers.fms_j1939 import dm1
from drivers.fms_j1939.buckets import Bucket
from drivers.fms_j1939.dm1 import LAMPS, OC_UNKNOWN, Dtc
from drivers.fms_j1939.dtc_signals import (
    COUNT,
    DTC,
    DTC_CM,
    DTC_FMI,
    DTC_OC,
    DTC_SA,
    DTC_SPN,
    LAMP_PATHS,
)  # fmt: skip

SILENCE_MS = 5_000
"""A sender says DM1 once a second; one that is silent for so long has no active codes."""

MAX_DTCS = 1024
MAX_DTCS_OF_A_SENDER = 128
"""Codes followed at a time. Fifty of one sender were seen on a road; a message can hold 445."""

CHANGED_MS = 60_000
"""A code that counts up is stated as changed at most once in this time."""

# A code that comes and goes: three edges at once, then one a minute.
_EDGES, _EDGE_MS = 3, 60_000
# All codes together. A vehicle's ignition may bring hundreds; what goes on after that is an attack.
_EVENTS, _EVENT_MS = 256, 5_000

_LOOK_MS = 1_000
_STRENGTH = ("off", "on", "flashing")

Lamps = dict[str, str | None]
Key = tuple[int, int, int]  # SA, SPN, FMI


class Event(NamedTuple):
    """One change of one code, as it is emitted; `at_ms` is when it was heard or concluded."""

    at_ms: int
    values: dict[str, Scalar]
    states: dict[str, State]


class _Sender:
    """One source address: what it said last. `crowded`: not all of its codes are followed."""

    __slots__ = ("active", "crowded", "lamps", "payload", "seen_ms")

    def __init__(self) -> None:
        self.payload = b""
        self.lamps: Lamps = dict.fromkeys(LAMPS)
        self.active: set[Key] = set()
        self.crowded = False
        self.seen_ms = 0


class _Followed:
    """One code: what is true of it, and what was stated. `stated` is None while it is gone."""

    __slots__ = ("active", "changed_ms", "dtc", "edges", "lamps", "stated")

    def __init__(self, dtc: Dtc, lamps: Lamps) -> None:
        self.dtc = dtc
        self.lamps = lamps
        self.active = True
        self.stated: tuple[Dtc, Lamps] | None = None
        self.changed_ms: int | None = None
        self.edges = Bucket(_EDGES, _EDGE_MS)


class ActiveDtcs:
    """The trouble codes of one bus. A code is one SPN with one FMI of one source address.

    `hear` each DM1, ask `events` for what is to be emitted. `heard`: some sender has said DM1.
    """

    def __init__(self) -> None:
        self.heard = False
        self._senders: dict[int, _Sender] = {}
        self._followed: dict[Key, _Followed] = {}
        # In the order in which they went: may be forgotten.
        self._gone: dict[Key, None] = {}
        # What is true and not yet stated.
        self._pending: dict[Key, None] = {}
        self._events: list[Event] = []
        self._budget = Bucket(_EVENTS, _EVENT_MS)
        self._looked_ms = 0

    @property
    def count(self) -> int:
        """Active codes over all senders."""
        return sum(len(sender.active) for sender in self._senders.values())

    def hear(self, sa: int, payload: bytes, at_ms: int) -> None:
        """Take one DM1 of the sender `sa`. One that is too short to be one says nothing."""
        sender = self._senders.get(sa)
        if sender is not None and payload == sender.payload and not sender.crowded:
            sender.seen_ms = at_ms
            return
        try:
            message = dm1.decode(payload)
        except ValueError:
            return
        if sender is None:
            sender = self._senders[sa] = _Sender()
        self.heard = True
        sender.payload, sender.lamps, sender.seen_ms = payload, message.lamps, at_ms
        # The later one of a code that is there twice.
        codes = {(sa, dtc.spn, dtc.fmi): dtc for dtc in message.dtcs}
        for key in sender.active - codes.keys():
            self._end(sender, key, at_ms)
        sender.crowded = False
        for key, dtc in codes.items():
            self._begin(sender, key, dtc, at_ms)

    def events(self, now_ms: int) -> list[Event]:
        """What became known since the last call, in order. Call it once a second or more often."""
        if now_ms - self._looked_ms >= _LOOK_MS:
            self._looked_ms = now_ms
            for sender in self._senders.values():
                if now_ms - sender.seen_ms >= SILENCE_MS and sender.payload:
                    sender.payload, sender.lamps = b"", dict.fromkeys(LAMPS)
                    for key in list(sender.active):
                        self._end(sender, key, now_ms)
            for key in list(self._pending):
                self._settle(key, now_ms)
        said, self._events = self._events, []
        return said

    def state(self) -> tuple[dict[str, Scalar], dict[str, State]]:
        """How many codes are active, and each lamp: the strongest that any sender says."""
        values: dict[str, Scalar] = {}
        states: dict[str, State] = {}
        if self.heard:
            values[COUNT] = self.count
        else:
            states[COUNT] = State.NOT_AVAILABLE
        for name, path in LAMP_PATHS.items():
            said = [lamp for sender in self._senders.values() if (lamp := sender.lamps[name])]
            if said:
                values[path] = max(said, key=_STRENGTH.index)
            else:
                states[path] = State.NOT_AVAILABLE
        return values, states

    def _begin(self, sender: _Sender, key: Key, dtc: Dtc, at_ms: int) -> None:
        followed = self._followed.get(key)
        if key not in sender.active:
            full = followed is None and not self._room()
            if full or len(sender.active) >= MAX_DTCS_OF_A_SENDER:
                sender.crowded = True
                return
            sender.active.add(key)
        if followed is None:
            followed = self._followed[key] = _Followed(dtc, sender.lamps)
        followed.dtc, followed.lamps, followed.active = dtc, sender.lamps, True
        self._gone.pop(key, None)
        self._settle(key, at_ms)

    def _end(self, sender: _Sender, key: Key, at_ms: int) -> None:
        sender.active.discard(key)
        self._followed[key].active = False
        self._settle(key, at_ms)

    def _room(self) -> bool:
        """Whether one more code can be followed, if need be instead of one that is gone."""
        if len(self._followed) < MAX_DTCS:
            return True
        oldest = next(iter(self._gone), None)
        if oldest is None:
            return False
        del self._gone[oldest]
        del self._followed[oldest]
        return True

    def _settle(self, key: Key, at_ms: int) -> None:
        """State what is true of a code where that is news and its turn has come."""
        followed = self._followed[key]
        what = self._news(followed)
        if what and not self._may_say(followed, what, at_ms):
            self._pending[key] = None
            return
        self._pending.pop(key, None)
        if what:
            followed.stated = (followed.dtc, followed.lamps) if followed.active else None
            self._events.append(_event(what, key, followed.dtc, at_ms))
        if not followed.active:
            self._gone[key] = None

    @staticmethod
    def _news(followed: _Followed) -> str:
        if not followed.active:
            return "gone" if followed.stated is not None else ""
        if followed.stated is None:
            return "appeared"
        return "changed" if followed.stated != (followed.dtc, followed.lamps) else ""

    def _may_say(self, followed: _Followed, what: str, at_ms: int) -> bool:
        if what != "changed":
            # In this order: what may not be said must cost the others nothing.
            may = followed.edges.ready(at_ms) and self._budget.take(at_ms)
            return may and followed.edges.take(at_ms)
        if followed.changed_ms is not None and at_ms - followed.changed_ms < CHANGED_MS:
            return False
        if not self._budget.take(at_ms):
            return False
        followed.changed_ms = at_ms
        return True


def _event(what: str, key: Key, dtc: Dtc, at_ms: int) -> Event:
    values: dict[str, Scalar] = {
        DTC: what,
        DTC_SA: key[0],
        DTC_SPN: dtc.spn,
        DTC_FMI: dtc.fmi,
        DTC_CM: dtc.cm,
    }
    if dtc.oc == OC_UNKNOWN:
        return Event(at_ms, values, {DTC_OC: State.NOT_AVAILABLE})
    return Event(at_ms, values | {DTC_OC: dtc.oc}, {})

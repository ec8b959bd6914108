"""What a bus says about its units beside signals, trouble codes and addresses, and its emission."""

from __future__ import annotations

from agent.sdk import Context, Kind, Scalar, State
from drivers.fms_j1939.addresses import ADDRESS_CLAIMED, AddressConflicts
from drivers.fms_j1939.buckets import Bucket
from drivers.fms_j1939.dm1 import DM1
from drivers.fms_j1939.dtc_signals import DTC_GROUP, DTC_STATE
from drivers.fms_j1939.dtcs import SILENCE_MS, ActiveDtcs
from drivers.fms_j1939.pgn import Pgn

WATCHED = frozenset({DM1, ADDRESS_CLAIMED})
"""PGNs that are no parameter groups of signals and yet are listened to."""

GROUPS = (DTC_GROUP, DTC_STATE)

# State that does not change is repeated a few times: what is thinned must not stay out.
_REPEATS, _REPEAT_MS = 4, 2_000
# Lamps that flicker: twenty statements at once, then one in ten seconds.
_STATEMENTS, _STATEMENT_MS = 20, 10_000


class Dynamics:
    """Hears what `WATCHED` names and messages that changed; emits when it is asked to."""

    def __init__(self) -> None:
        self.dtcs = ActiveDtcs()
        self.addresses = AddressConflicts()
        self._stated: tuple[dict[str, Scalar], dict[str, State]] | None = None
        self._ration = Bucket(_STATEMENTS, _STATEMENT_MS)
        self._begun_ms: int | None = None
        self._due_ms = 0
        self._repeats = 0

    def watched(self, number: int, sa: int, payload: bytes, at_ms: int) -> None:
        """Take a message of one of the PGNs in `WATCHED`; others are ignored."""
        if number == DM1:
            self.dtcs.hear(sa, payload, at_ms)
        elif number == ADDRESS_CLAIMED:
            self.addresses.claim(sa, payload)

    def changed(self, pgn: Pgn, sa: int, multiplexer: int, payload: bytes, at_ms: int) -> None:
        """Take a message of a known parameter group that differs from the one before it."""
        self.addresses.hear(pgn, sa, multiplexer, payload, at_ms)

    def emit(self, ctx: Context, now_ms: int) -> None:
        """Emit what became known. Call it after each read of the bus."""
        for at_ms, values, states in self.dtcs.events(now_ms):
            ctx.emit(DTC_GROUP, values, states=states, at_boottime_ms=at_ms, kind=Kind.EVENT)
        if self._begun_ms is None:
            self._begun_ms = now_ms
        if not self.dtcs.heard and now_ms - self._begun_ms < SILENCE_MS:
            return  # a sender has until then to say that there is something
        said = self.dtcs.state()
        if said != self._stated:
            if not self._ration.take(now_ms):
                self._due_ms = now_ms + _REPEAT_MS  # what flickers is not repeated either
                return
            self._stated, self._repeats = said, _REPEATS
        elif self._repeats and now_ms >= self._due_ms:
            self._repeats -= 1
        else:
            return
        self._due_ms = now_ms + _REPEAT_MS
        ctx.emit(DTC_STATE, said[0], states=said[1], kind=Kind.STATUS)

"""From a message to an entry of the journal: whose it is, whether it is new, whether it may run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from agent.commands import token
from agent.commands.door import Bucket
from agent.commands.judge import Now, check_again, check_allowed, check_fresh, check_right
from agent.commands.operation import Operation
from agent.commands.refusal import Refused, Why
from agent.store.journal import Entry, Journal

MAX_RUNNING = 4
ISSUER_BURST, ISSUER_RATE_HZ = 10.0, 1 / 60
"""Ten commands at once, one a minute in the long run, for each issuer."""


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose commands count: keys by their ids, operations by role."""

    keys: Mapping[str, token.Key]
    roles: Mapping[str, Collection[str]]


@dataclass(frozen=True, slots=True)
class Admitted:
    """A command of a trusted key that was never seen before. `refused`: why it may not run.

    `known_s`: UTC in s that it proves; 0 where no clock confirms it.
    """

    entry: Entry
    refused: Refused | None
    known_s: int


class Gate:
    """Used from the thread of the journal; `trust` may be replaced at any time."""

    def __init__(
        self,
        vehicle: str,
        trust: Trust,
        journal: Journal,
        operations: Mapping[str, Operation],
        utc_ms: Callable[[], int | None],
    ) -> None:
        self.trust = trust
        self._vehicle = vehicle
        self._journal = journal
        self._operations = operations
        self._limits = {name: operation.limits for name, operation in operations.items()}
        self._utc_ms = utc_ms
        self.buckets: dict[str, Bucket] = {}

    def admit(self, message: bytes, running: int) -> Admitted:
        """Judge a message while `running` commands are under way.

        Raises Refused for what deserves no answer, JournalRefuses.
        """
        trust = self.trust
        key, kid, claims = token.verify(message, trust.keys)
        check_right(claims, key, self._vehicle)
        now = self._now(claims.iss)
        check_fresh(claims, now, self._journal.born_s or 0)
        if self._journal.entry(claims.cid) is not None:
            raise Refused(Why.REPLAYED, f"{claims.cid} was seen before")
        bucket = self.buckets.setdefault(claims.iss, Bucket(ISSUER_BURST, ISSUER_RATE_HZ))
        if not bucket.take():
            raise Refused(Why.QUOTA, f"too many commands of {claims.iss}")
        entry = Entry(
            *(claims.cid, claims.iss, claims.ctr, kid, claims.op, claims.args, claims.pur),
            expires_s=claims.exp,
        )
        refused = self._refusal(claims, trust, now, running)
        if refused is not None:
            # Its arguments are of no use any more, and may be large.
            why, text = refused.why.value, refused.text
            entry = replace(entry, args={}, state="refused", code=why, text=text)
        # Only a time that a clock confirms may hold back later commands.
        known_s = 0 if now.utc_s is None else min(claims.iat, int(now.utc_s))
        return Admitted(entry, refused, known_s)

    def again(self, entry: Entry) -> Refused | None:
        """Why what an earlier life began must not be begun anew, None where it may."""
        trust, operation = self.trust, self._operations[entry.op]
        try:
            check_again(
                *(trust.keys.get(entry.kid), entry.issuer, entry.op, entry.expires_s),
                *(trust.roles, operation.limits, self._now(entry.issuer)),
            )
            operation.check(entry.args)
        except Refused as error:
            return error
        except ValueError as error:
            return Refused(Why.ARGUMENTS, str(error)[:200])
        return None

    def _now(self, issuer: str) -> Now:
        utc_ms = self._utc_ms()
        utc_s = None if utc_ms is None else utc_ms / 1000
        return Now(utc_s, self._journal.floor_s, self._journal.counter(issuer))

    def _refusal(
        self, claims: token.Claims, trust: Trust, now: Now, running: int
    ) -> Refused | None:
        try:
            check_allowed(claims, trust.roles, self._limits, now)
            self._operations[claims.op].check(claims.args)
        except Refused as error:
            return error
        except ValueError as error:
            return Refused(Why.ARGUMENTS, str(error)[:200])
        if running >= MAX_RUNNING:
            return Refused(Why.BUSY, f"{MAX_RUNNING} commands are under way")
        return None

"""Whether a signed command may run now: audience, right, counter, time. Pure.

The counter is the protection against replay that needs no clock; the clock only adds an end to a
command's life. Time never goes back here: what was once signed at 12:00 proves that it is not
earlier, whatever a clock says.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from agent.commands.refusal import Refused, Why
from agent.commands.token import Claims, Key

SKEW_S = 120
"""How far the clocks of the cloud and of a vehicle may differ."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for an operation: its longest life, and whether it may run without a clock."""

    life_s: int
    without_clock: bool = False


@dataclass(frozen=True, slots=True)
class Now:
    """The moment of judging. `utc_s`: UTC by the best clock, None where there is none.

    `floor_s`: it is not earlier than that. `counter`: the last one seen of the issuer.
    """

    utc_s: float | None
    floor_s: int
    counter: int


def check_right(claims: Claims, key: Key, vehicle: str) -> None:
    """Whether the command is for `vehicle` and from whom it says. Raises Refused."""
    if claims.aud != vehicle:
        raise Refused(Why.AUDIENCE, "for another vehicle")
    if claims.iss != key.issuer:
        raise Refused(Why.ISSUER, f"the key belongs to another issuer than {claims.iss}")
    if claims.role != key.role:
        raise Refused(Why.ROLE, f"the key has another role than {claims.role}")


def check_fresh(claims: Claims, now: Now, born_s: int) -> None:
    """Whether it was never seen before. Raises Refused.

    `born_s`: what was signed before this moment could have been seen by a journal that is gone.
    """
    if claims.ctr <= now.counter:
        raise Refused(Why.REPLAYED, f"counter {claims.ctr} is not above {now.counter}")
    if claims.iat < born_s:
        raise Refused(Why.REPLAYED, "signed before this vehicle began to remember commands")


def check_allowed(
    claims: Claims,
    roles: Mapping[str, Collection[str]],
    operations: Mapping[str, Limits],
    now: Now,
) -> None:
    """Whether the operation exists, the role may give it, and this is its time. Raises Refused."""
    limits = operations.get(claims.op)
    if limits is None:
        raise Refused(Why.UNKNOWN_OPERATION, f"there are {', '.join(sorted(operations))}")
    if claims.op not in roles.get(claims.role, ()):
        raise Refused(Why.ROLE, f"role {claims.role} may not give {claims.op}")
    if claims.exp - claims.iat > limits.life_s:
        raise Refused(Why.LIFETIME, f"{claims.op} may be valid for {limits.life_s} s")
    _check_time(claims.exp, limits, now)
    if now.utc_s is not None and max(now.utc_s, now.floor_s) < claims.nbf - SKEW_S:
        raise Refused(Why.NOT_YET_VALID, "its time has not come")


def check_again(
    key: Key | None,
    issuer: str,
    op: str,
    expires_s: int,
    roles: Mapping[str, Collection[str]],
    limits: Limits,
    now: Now,
) -> None:
    """Whether what was interrupted may still be begun anew. Raises Refused.

    `key`: what its kid means by now, None where it is not trusted any more.
    """
    if key is None:
        raise Refused(Why.UNKNOWN_KEY, "its key is not known any more")
    if key.revoked:
        raise Refused(Why.REVOKED_KEY, "its key is revoked by now")
    if key.issuer != issuer:
        raise Refused(Why.ISSUER, "its key belongs to another issuer by now")
    if op not in roles.get(key.role, ()):
        raise Refused(Why.ROLE, f"role {key.role} may not give {op} any more")
    _check_time(expires_s, limits, now)


def _check_time(expires_s: int, limits: Limits, now: Now) -> None:
    if max(now.utc_s or 0.0, now.floor_s) > expires_s:
        raise Refused(Why.EXPIRED, "its time is over")
    if now.utc_s is None and not limits.without_clock:
        raise Refused(Why.NO_CLOCK, "this vehicle does not know what time it is")

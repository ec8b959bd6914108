"""A command as a signed token, and a vehicle's signed reply to it. Pure; see docs/commands.md."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

ALGORITHM = "Ed25519"
COMMAND, REPLY = "brain-cmd+jws", "brain-reply+jws"
MAX_BYTES = 8_192
MAX_COUNTER = (1 << 53) - 1
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class ReplyForged(Exception):
    """A reply that the vehicle's key did not sign, or that answers something else."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked of one vehicle. `life_s`: how long it may take to arrive."""

    vehicle: str
    operation: str
    issuer: str
    role: str
    purpose: str
    args: Mapping[str, Any] = field(default_factory=dict)
    life_s: int = 300


def new_cid(now_ms: int | None = None) -> str:
    """A ULID: 48 bits of time in ms, 80 random bits, 26 characters."""
    at_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    number = at_ms << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def sign(order: Order, key: OKPKey, kid: str, counter: int, *, now_s: int) -> tuple[str, bytes]:
    """The command's id and its token. Raises ValueError where it is too large to be taken."""
    cid = new_cid(now_s * 1000)
    claims = {
        "v": 1,
        "cid": cid,
        "aud": order.vehicle,
        "iss": order.issuer,
        "role": order.role,
        "op": order.operation,
        "args": dict(order.args),
        "iat": now_s,
        "nbf": now_s,
        "exp": now_s + order.life_s,
        "ctr": counter,
        "pur": order.purpose,
    }
    header = {"alg": ALGORITHM, "typ": COMMAND, "kid": kid}
    payload = json.dumps(claims, separators=(",", ":"), allow_nan=False)
    token = jws.serialize_compact(header, payload, key, algorithms=[ALGORITHM]).encode()
    if len(token) > MAX_BYTES:
        raise ValueError(f"a command of {len(token)} bytes, at most {MAX_BYTES}")
    return cid, token


def verified(token: str, key: OKPKey, vehicle: str, cid: str) -> dict[str, Any]:
    """What a vehicle answered. Raises ReplyForged."""
    try:
        found = jws.deserialize_compact(token, key, algorithms=[ALGORITHM])
        said = json.loads(found.payload)
    except (JoseError, ValueError) as error:
        raise ReplyForged(f"the reply is not signed by {vehicle}") from error
    # Its type keeps a command from standing for a reply.
    if found.headers().get("typ") != REPLY:
        raise ReplyForged("what came is signed, but is no reply")
    if not isinstance(said, dict) or (said.get("veh"), said.get("cid")) != (vehicle, cid):
        raise ReplyForged("the reply is to another command")
    return said

"""The far end's pen, and a hostile one: signs what it is told to, with `cryptography` alone."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.commands.gate import Trust
from agent.commands.token import Key

VEHICLE = "bus-1"
NOW_S = 1_800_000_000
_ULID = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_numbers = itertools.count(1)


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def cid(number: int) -> str:
    text = ""
    for _ in range(26):
        text = _ULID[number % 32] + text
        number //= 32
    return text


class Pen:
    """A private key with its names."""

    def __init__(self, kid: str, issuer: str, role: str) -> None:
        self.kid, self.issuer, self.role = kid, issuer, role
        self.private = Ed25519PrivateKey.generate()

    @property
    def public(self) -> bytes:
        return self.private.public_key().public_bytes_raw()

    def key(self, *, revoked: bool = False) -> Key:
        return Key(self.public, self.issuer, self.role, revoked)

    def claims(self, op: str = "touch", **changes: Any) -> dict[str, Any]:
        number = next(_numbers)
        claims = {
            "v": 1,
            "cid": cid(number),
            "aud": VEHICLE,
            "iss": self.issuer,
            "role": self.role,
            "op": op,
            "args": {},
            "iat": NOW_S,
            "nbf": NOW_S,
            "exp": NOW_S + 300,
            "ctr": number,
            "pur": "a test",
        }
        claims |= changes
        return {name: value for name, value in claims.items() if value is not ...}

    def sign(self, payload: bytes, header: bytes | None = None) -> bytes:
        """Any payload under any header, rightly signed."""
        if header is None:
            header = json.dumps(
                {"alg": "Ed25519", "typ": "brain-cmd+jws", "kid": self.kid}
            ).encode()
        signed = f"{b64(header)}.{b64(payload)}"
        return f"{signed}.{b64(self.private.sign(signed.encode()))}".encode()

    def command(self, op: str = "touch", **changes: Any) -> bytes:
        return self.sign(json.dumps(self.claims(op, **changes)).encode())


OPS = Pen("ops-1", "ops", "operator")
CLIPS = Pen("clips-1", "clips", "clips")
OLD = Pen("ops-0", "ops", "operator")
STRANGER = Pen("stranger", "ops", "operator")
TRUST = Trust(
    {OPS.kid: OPS.key(), CLIPS.kid: CLIPS.key(), OLD.kid: OLD.key(revoked=True)},
    {"operator": {"touch", "read", "look", "config.set", "crash"}, "clips": {"read"}},
)

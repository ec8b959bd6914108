"""A command as it arrives: a JWS in compact form (RFC 7515), signed with Ed25519 (RFC 8037, 9864).

The format has one algorithm, one type and three header parameters; whatever differs is refused
before the signature is looked at, and the signature is checked before a claim is looked at.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from agent.commands import ed25519, strict_json
from agent.commands.refusal import Refused, Why

MAX_BYTES = 8_192
"""Of a whole command; a change of configuration has about 600."""
ALGORITHM = "Ed25519"
TYPE = "brain-cmd+jws"
MAX_COUNTER = (1 << 53) - 1
"""The largest that every JSON implementation keeps exactly."""
MAX_TIME_S = 1 << 36

_HEADER = frozenset({"alg", "typ", "kid"})
_BASE64URL = re.compile(rb"[A-Za-z0-9_-]+")
_KID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_CID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PURPOSE = 200


class Claims(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a command says. Times are seconds of UTC since 1970.

    `cid`: ULID of the command. `aud`: the one vehicle. `ctr` rises per issuer. `pur`: who asks and
    what for, for the log.
    """

    v: int
    cid: str
    aud: str
    iss: str
    role: str
    op: str
    args: dict[str, Any]
    iat: int
    nbf: int
    exp: int
    ctr: int
    pur: str


@dataclass(frozen=True, slots=True)
class Key:
    """A key that may sign: its 32 public bytes, whose it is, and what that one may ask for."""

    public: bytes
    issuer: str
    role: str
    revoked: bool = False


def key_id(message: bytes) -> tuple[str, bytes, bytes]:
    """The key id, what is signed, and the signature of a message. Raises Refused.

    Takes nothing on trust: nothing here was signed yet.
    """
    if len(message) > MAX_BYTES:
        raise Refused(Why.TOO_LARGE, f"more than {MAX_BYTES} bytes")
    parts = message.split(b".")
    if len(parts) != 3:
        raise Refused(Why.MALFORMED, "expected three parts with dots between them")
    header = _json(parts[0], "header")
    if not isinstance(header, dict) or not all(isinstance(v, str) for v in header.values()):
        raise Refused(Why.HEADER, "expected alg, typ and kid, all texts")
    if header.get("alg") != ALGORITHM:
        raise Refused(Why.ALGORITHM, f"alg: expected {ALGORITHM}")
    if header.get("typ") != TYPE:
        raise Refused(Why.TYPE, f"typ: expected {TYPE}")
    # `crit`, `jwk`, `jku`, `x5c`, `b64`: nothing that a sender could steer the check with.
    if header.keys() != _HEADER:
        raise Refused(Why.HEADER, "expected alg, typ and kid, nothing else")
    if not _KID.fullmatch(header["kid"]):
        raise Refused(Why.HEADER, "kid: expected 1 to 64 letters, digits, '_', '-' or '.'")
    return header["kid"], parts[0] + b"." + parts[1], _decoded(parts[2], "signature")


def verify(message: bytes, keys: Mapping[str, Key]) -> tuple[Key, str, Claims]:
    """The key, its id and the claims of a command that one of `keys` signed. Raises Refused.

    Says nothing yet about whom it is for, when and how often.
    """
    kid, signed, signature = key_id(message)
    key = keys.get(kid)
    if key is None:
        raise Refused(Why.UNKNOWN_KEY, "no such key")
    if key.revoked:
        raise Refused(Why.REVOKED_KEY, f"key {kid} is revoked")
    if len(signature) != 64:
        raise Refused(Why.SIGNATURE, "expected 64 bytes")
    _check(key.public, signed, signature)
    return key, kid, _claims(_decoded(signed.partition(b".")[2], "payload"))


def _check(public: bytes, signed: bytes, signature: bytes) -> None:
    try:
        genuine = ed25519.library().verify(public, signature, signed)
    except ValueError:
        genuine = False
    if not genuine:
        raise Refused(Why.SIGNATURE, "not signed by that key")


def _claims(payload: bytes) -> Claims:
    try:
        claims = msgspec.convert(strict_json.loads(payload), Claims, strict=True)
    except (ValueError, msgspec.MsgspecError) as error:
        raise Refused(Why.CLAIMS, str(error)[:200]) from error
    if claims.v != 1:
        raise Refused(Why.CLAIMS, "v: expected 1")
    if not _CID.fullmatch(claims.cid):
        raise Refused(Why.CLAIMS, "cid: expected a ULID")
    for name in ("iss", "role", "op"):
        if not _WORD.fullmatch(getattr(claims, name)):
            raise Refused(Why.CLAIMS, f"{name}: expected 1 to 64 letters, digits, '_', '-' or '.'")
    if not 1 <= claims.ctr <= MAX_COUNTER:
        raise Refused(Why.CLAIMS, f"ctr: expected 1..{MAX_COUNTER}")
    if not 0 <= claims.iat <= MAX_TIME_S or not claims.iat <= claims.nbf < claims.exp <= MAX_TIME_S:
        raise Refused(Why.CLAIMS, "iat, nbf, exp: expected rising times")
    if not 1 <= len(claims.pur) <= _PURPOSE or not claims.pur.isprintable():
        raise Refused(Why.CLAIMS, f"pur: expected 1 to {_PURPOSE} printable characters")
    return claims


def _json(part: bytes, what: str) -> Any:
    try:
        return strict_json.loads(_decoded(part, what))
    except ValueError as error:
        raise Refused(Why.MALFORMED, f"{what}: {str(error)[:80]}") from error


def _decoded(part: bytes, what: str) -> bytes:
    """Base64url without padding, in its one canonical form. Raises Refused."""
    if not _BASE64URL.fullmatch(part) or len(part) % 4 == 1:
        raise Refused(Why.MALFORMED, f"{what}: expected base64url")
    decoded = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != part:
        raise Refused(Why.MALFORMED, f"{what}: expected base64url in canonical form")
    return decoded

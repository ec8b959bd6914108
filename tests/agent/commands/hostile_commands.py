"""What a hostile broker may send: each with the word of its refusal."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

from signing import CLIPS, NOW_S, OLD, OPS, STRANGER, VEHICLE, b64


def header(**changes: Any) -> bytes:
    found = {"alg": "Ed25519", "typ": "brain-cmd+jws", "kid": OPS.kid, **changes}
    return json.dumps({k: v for k, v in found.items() if v is not ...}).encode()


def signed(**changes: Any) -> bytes:
    return OPS.sign(json.dumps(OPS.claims()).encode(), header(**changes))


def unsigned(alg: str) -> bytes:
    whole = signed(alg=alg).rsplit(b".", 1)[0]
    return whole + b"."


def by_hmac() -> bytes:
    """HS256 with the public key as its secret: what a naive library takes."""
    start = signed(alg="HS256").rsplit(b".", 1)[0]
    return start + b"." + b64(hmac.new(OPS.public, start, hashlib.sha256).digest()).encode()


def flipped(at: int) -> bytes:
    head, body, signature = OPS.command().split(b".")
    raw = bytearray(base64.urlsafe_b64decode(signature + b"=="))
    raw[at] ^= 1
    return b".".join((head, body, b64(bytes(raw)).encode()))


def other_body() -> bytes:
    one, two = OPS.command().split(b"."), OPS.command().split(b".")
    return b".".join((one[0], two[1], one[2]))


def claims_text(edit: Callable[[str], str]) -> bytes:
    return OPS.sign(edit(json.dumps(OPS.claims())).encode())


def non_canonical() -> bytes:
    """The last character carries two bits that no byte has: decoders forgive it."""
    head, body, signature = OPS.command().split(b".")
    table = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = table.index(signature[-1:])
    return b".".join((head, body, signature[:-1] + table[last ^ 1 : (last ^ 1) + 1]))


def nested(depth: int) -> bytes:
    return OPS.sign(b'{"args":' + b"[" * depth + b"]" * depth + b"}")


HOSTILE: dict[str, tuple[str, Callable[[], bytes]]] = {
    "signature with a flipped first bit": ("signature", lambda: flipped(0)),
    "signature with a flipped last bit": ("signature", lambda: flipped(63)),
    "signature of another command": ("signature", other_body),
    "signature of zeros": (
        "signature",
        lambda: OPS.command().rsplit(b".", 1)[0] + b"." + b64(bytes(64)).encode(),
    ),
    "signature too short": (
        "signature",
        lambda: OPS.command().rsplit(b".", 1)[0] + b"." + b64(bytes(63)).encode(),
    ),
    "no signature": ("malformed", lambda: OPS.command().rsplit(b".", 1)[0] + b"."),
    "signed by a key that is not trusted, under a trusted id": (
        "signature",
        lambda: STRANGER.sign(json.dumps(OPS.claims()).encode(), header()),
    ),
    "alg none": ("algorithm", lambda: signed(alg="none")),
    "alg none without a signature": ("algorithm", lambda: unsigned("none")),
    "alg NONE": ("algorithm", lambda: signed(alg="NONE")),
    "HS256 with the public key": ("algorithm", by_hmac),
    "alg EdDSA": ("algorithm", lambda: signed(alg="EdDSA")),
    "alg missing": ("algorithm", lambda: signed(alg=...)),
    "alg as a list": ("header", lambda: signed(alg=["Ed25519"])),
    "another typ": ("type", lambda: signed(typ="JWT")),
    "a reply as a command": ("type", lambda: signed(typ="brain-reply+jws")),
    "typ missing": ("type", lambda: signed(typ=...)),
    "kid missing": ("header", lambda: signed(kid=...)),
    "kid of 65 characters": ("header", lambda: signed(kid="k" * 65)),
    "kid that is a path": ("header", lambda: signed(kid="../../etc/passwd")),
    "unknown kid": ("unknown_key", STRANGER.command),
    "revoked kid": ("revoked_key", OLD.command),
    "jwk in the header": ("header", lambda: signed(jwk={"kty": "OKP"})),
    "jku in the header": ("header", lambda: signed(jku="https://example.org/keys")),
    "crit in the header": ("header", lambda: signed(crit="exp")),
    "b64 in the header": ("header", lambda: signed(b64="false")),
    "another vehicle": ("audience", lambda: OPS.command(aud="bus-2")),
    "every vehicle": ("audience", lambda: OPS.command(aud="*")),
    "an MQTT wildcard": ("audience", lambda: OPS.command(aud="+")),
    "a list of vehicles": ("claims", lambda: OPS.command(aud=[VEHICLE, "bus-2"])),
    "no audience": ("claims", lambda: OPS.command(aud=...)),
    "the vehicle in another case": ("audience", lambda: OPS.command(aud="BUS-1")),
    "the vehicle with a look-alike letter": ("audience", lambda: OPS.command(aud="bus-\uff11")),
    "the vehicle with an invisible letter": ("audience", lambda: OPS.command(aud="bus-1\u200b")),
    "expired": ("expired", lambda: OPS.command(iat=NOW_S - 600, nbf=NOW_S - 600, exp=NOW_S)),
    "not yet valid": ("not_yet_valid", lambda: OPS.command(nbf=NOW_S + 290)),
    "iat in the future": (
        "not_yet_valid",
        lambda: OPS.command(iat=NOW_S + 900, nbf=NOW_S + 900, exp=NOW_S + 1200),
    ),
    "valid for a year": ("lifetime", lambda: OPS.command(exp=NOW_S + 31_536_000)),
    "exp before iat": ("claims", lambda: OPS.command(exp=NOW_S - 1)),
    "exp beyond all time": ("claims", lambda: OPS.command(exp=1 << 62)),
    "negative times": ("claims", lambda: OPS.command(iat=-5, nbf=-4)),
    "signed before this vehicle remembers": (
        "replayed",
        lambda: OPS.command(iat=NOW_S - 90_000, nbf=NOW_S - 90_000),
    ),
    "counter 0": ("claims", lambda: OPS.command(ctr=0)),
    "counter negative": ("claims", lambda: OPS.command(ctr=-1)),
    "counter beyond 53 bits": ("claims", lambda: OPS.command(ctr=1 << 53)),
    "counter beyond 64 bits": ("claims", lambda: OPS.command(ctr=1 << 64)),
    "counter of 5000 digits": (
        "claims",
        lambda: claims_text(lambda t: t.replace('"ctr": ', '"ctr": ' + "9" * 4000)),
    ),
    "counter as a text": ("claims", lambda: OPS.command(ctr="7")),
    "counter as a float": ("claims", lambda: OPS.command(ctr=1e15)),
    "counter true": ("claims", lambda: OPS.command(ctr=True)),
    "NaN": ("claims", lambda: claims_text(lambda t: t.replace('"args": {}', '"args": {"n": NaN}'))),
    "1e999": ("claims", lambda: claims_text(lambda t: t.replace("{}", '{"n": 1e999}'))),
    "a key twice": ("claims", lambda: claims_text(lambda t: t[:-1] + ', "aud": "bus-1"}')),
    "a header key twice": (
        "malformed",
        lambda: OPS.sign(b"{}", b'{"alg":"none","alg":"Ed25519","typ":"x","kid":"y"}'),
    ),
    "an unknown claim": ("claims", lambda: OPS.command(extra=1)),
    "another version": ("claims", lambda: OPS.command(v=2)),
    "a cid that is none": ("claims", lambda: OPS.command(cid="../" * 8)),
    "no purpose": ("claims", lambda: OPS.command(pur="")),
    "a purpose that writes log lines": ("claims", lambda: OPS.command(pur="x\nERROR all is lost")),
    "a purpose that turns text around": ("claims", lambda: OPS.command(pur="x\u202e")),
    "a lone surrogate": ("claims", lambda: claims_text(lambda t: t.replace("a test", "\\ud800"))),
    "another issuer": ("issuer", lambda: OPS.command(iss="clips")),
    "another role": ("role", lambda: OPS.command(role="clips")),
    "a role that may not": ("role", lambda: CLIPS.command("touch")),
    "an unknown operation": ("unknown_operation", lambda: OPS.command("shell")),
    "a method name as operation": ("unknown_operation", lambda: OPS.command("__class__")),
    "a configuration key in operations": ("unknown_operation", lambda: OPS.command("crash")),
    "args as a list": ("claims", lambda: OPS.command(args=[1])),
    "args of a wrong type": ("arguments", lambda: OPS.command(args={"n": "1"})),
    "args true for a number": ("arguments", lambda: OPS.command(args={"n": True})),
    "args unknown": ("arguments", lambda: OPS.command(args={"shell": "id"})),
    "args that leave their folder": ("arguments", lambda: OPS.command(args={"path": "../../x"})),
    "args that are a tree": ("arguments", lambda: OPS.command(args={"n": {"a": {}}})),
    "nested a thousand times": ("claims", lambda: nested(1_000)),
    "nested three thousand times": ("too_large", lambda: nested(4_000)),
    "10 MB": ("too_large", lambda: b"A" * 10_000_000),
    "10 MB of dots": ("too_large", lambda: b"." * 10_000_000),
    "base64 that is not canonical": ("malformed", non_canonical),
    "base64 with padding": ("malformed", lambda: OPS.command() + b"=="),
    "base64 of the other alphabet": ("malformed", lambda: OPS.command().replace(b".", b"+.", 1)),
    "a line at the end": ("malformed", lambda: OPS.command() + b"\n"),
    "a fourth part": ("malformed", lambda: OPS.command() + b".e30"),
    "two commands": ("malformed", lambda: OPS.command() + OPS.command()),
    "JSON form of JWS": ("malformed", lambda: b'{"payload":"","signatures":[]}'),
    "nothing": ("malformed", lambda: b""),
    "zeros": ("malformed", lambda: bytes(500)),
    "a payload that is no object": ("claims", lambda: OPS.sign(b"[]")),
    "a payload that is no UTF-8": ("claims", lambda: OPS.sign(b"\xff\xfe")),
    "a payload with a byte order mark": ("claims", lambda: OPS.sign(b"\xef\xbb\xbf{}")),
}

"""What a vehicle answers: a JWS of its own key in a REPLY record, delivered as alarms are."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.clock import boottime_ms
from agent.commands import ed25519
from agent.commands.operation import Outcome
from agent.record import Kind, Record
from agent.signals import EVERY, Datatype, Group, Signal
from agent.store.journal import Entry
from agent.store.room import sync_directory

TYPE = "brain-reply+jws"
KEY_FILE = "reply.key"
MAX_RESULT = 8_192
"""Bytes of a result as JSON; a reply costs room on the SIM card."""
SOURCE = "brain"
CID, TOKEN = "Vehicle.Bus.Command.Id", "Vehicle.Bus.Command.Reply"
FILE = "Vehicle.Bus.Command.File"
REPLY = Group(
    "reply",
    (
        Signal(CID, Datatype.STRING, "", "Id of the command that is answered.", EVERY),
        Signal(TOKEN, Datatype.STRING, "", "The signed reply, a compact JWS.", EVERY),
    ),
)
COMMAND_FILE = Group(
    "command_file",
    (Signal(FILE, Datatype.STRING, "", "Id of the command that asked for the file.", EVERY),),
)


class Signer:
    """The vehicle's own key; made at the first start where none is given."""

    def __init__(self, vehicle: str, pem: str) -> None:
        """Raises ValueError where `pem` is no Ed25519 private key in PEM."""
        self._key = ed25519.private_of_pem(pem)
        self._public = ed25519.library().public(self._key)
        self._vehicle = vehicle

    @classmethod
    def of(cls, vehicle: str, pem: str, directory: Path) -> Signer:
        """The key given as PEM; for "" that of the directory. Raises ValueError, OSError."""
        return cls(vehicle, pem or _own(directory / KEY_FILE))

    @property
    def public(self) -> str:
        """The public key as base64url: what the far end checks replies with."""
        return _base64url(self._public)

    def record(self, said: Mapping[str, Any]) -> Record:
        """A reply as a record; `said` is its payload, `cid` among it."""
        header = {"alg": "Ed25519", "typ": TYPE, "kid": self._vehicle}
        payload = {"v": 1, "veh": self._vehicle, **said}
        signed = ".".join(_base64url(_encode(part).encode()) for part in (header, payload))
        token = f"{signed}.{_base64url(ed25519.library().sign(self._key, signed.encode()))}"
        values = {CID: str(said["cid"]), TOKEN: token}
        return Record(SOURCE, boottime_ms(), values, kind=Kind.REPLY)


def reply(cid: str, entry: Entry | None, outcome: Outcome, utc_ms: int | None) -> dict[str, Any]:
    """What is said of a command; whose it was only where the journal knows it still."""
    said: dict[str, Any] = {"cid": cid, "state": outcome.state}
    if entry is not None:
        said |= {"iss": entry.issuer, "ctr": entry.ctr, "op": entry.op}
    return said | {
        "code": outcome.code,
        "text": outcome.text,
        "result": dict(outcome.result),
        "boottime_ms": boottime_ms(),
        "utc_ms": utc_ms,
    }


def _own(path: Path) -> str:
    """Read the key, or make it: whole and durable before it is used."""
    try:
        return path.read_text("ascii", "replace")
    except FileNotFoundError:
        pass
    pem = ed25519.pem_of_private(os.urandom(ed25519.KEY_BYTES))
    new = path.with_name(f"{path.name}.new")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, pem.encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    new.replace(path)
    sync_directory(path.parent)
    return pem


_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def fitting(result: Mapping[str, Any] | None) -> dict[str, Any]:
    """A result that a reply can carry; of one that is too large or no JSON that alone."""
    found = dict(result or {})
    try:
        size = len(_encode(found))
    except (ValueError, TypeError, RecursionError):
        return {"omitted": "no JSON"}
    return found if size <= MAX_RESULT else {"omitted_bytes": size}

"""What the cloud still needs of a file, as it arrives on `dn/need`. Pure.

    {"sha256": "<64 hex>", "missing": [[first, last], ...], "answers": "manifest" | "chunks",
     "again": false, "put": [[offset, length, url], ...]}

Blocks of 4 KiB are numbered from 0; `missing` is the bitmap of those that the cloud has not on its
disk, as runs. `again` says that it had all of them and the sha256 was another one. `put` are bytes
that may be PUT to presigned URLs instead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import msgspec

from agent.store.rows import Range
from agent.uplink.putter import Put

MAX_RUNS = 2_000
MAX_BLOCK = (1 << 48) - 1
MAX_PUTS = 100
MAX_URL = 4_096

_SHA256 = re.compile(r"[0-9a-f]{64}")


class NoNeed(ValueError):
    """Bytes that are no need."""


@dataclass(frozen=True, slots=True)
class Need:
    """`missing`: runs of blocks, in order. `whole`: it answers a manifest, so it names all."""

    sha256: str
    missing: tuple[Range, ...]
    whole: bool
    again: bool
    puts: tuple[Put, ...] = ()


class _Need(msgspec.Struct):
    sha256: str
    missing: list[tuple[int, int]]
    answers: Literal["manifest", "chunks"] = "manifest"
    again: bool = False
    put: list[tuple[int, int, str]] = []


_decoder = msgspec.json.Decoder(_Need)


def parse(payload: bytes) -> Need:
    """The need in a message. Raises NoNeed."""
    try:
        said = _decoder.decode(payload)
    # msgspec raises UnicodeDecodeError for a text that is no UTF-8.
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise NoNeed(str(error)) from error
    if not _SHA256.fullmatch(said.sha256):
        raise NoNeed("sha256 is not 64 hex digits")
    before = -1
    for first, last in said.missing[:MAX_RUNS]:
        if not before < first <= last <= MAX_BLOCK:
            raise NoNeed(f"blocks {first} to {last} after {before}")
        before = last
    runs = tuple(Range(first, last) for first, last in said.missing[:MAX_RUNS])
    puts = tuple(Put(said.sha256, *put) for put in said.put[:MAX_PUTS])
    if any(put.offset < 0 or put.length < 1 or len(put.url) > MAX_URL for put in puts):
        raise NoNeed("a part that cannot be")
    return Need(said.sha256, runs, said.answers == "manifest", said.again, puts)

"""One chunk of a file: topic and payload -> checked bytes and their place. Pure, total.

Topic `up/files/{sha256}/{n}`; payload: one byte 0x01 (format version), CRC-32 (big endian) over
"{sha256} {n}" and the content, content. It holds whole blocks of 4 KiB from block n on, only the
last block of the file may be short.
"""

from __future__ import annotations

import re
import zlib
from typing import NamedTuple

BLOCK_BYTES = 4_096
MAX_CONTENT = 1 << 20
"""Bytes in a chunk. Vehicles send 64 KiB at most."""
VERSION = 1
HEAD_BYTES = 5

_LEAF = re.compile(r"files/([0-9a-f]{64})/(0|[1-9][0-9]{0,14})\Z")


class Chunk(NamedTuple):
    """`content` belongs at block `first` of a vehicle's file."""

    vehicle: str
    sha256: str
    first: int
    content: bytes

    @property
    def last(self) -> int:
        """Its last block."""
        return self.first + (len(self.content) - 1) // BLOCK_BYTES

    def fits(self, size: int) -> bool:
        """Whether a file of `size` bytes has such a chunk."""
        end = self.first * BLOCK_BYTES + len(self.content)
        return end == size or (end < size and len(self.content) % BLOCK_BYTES == 0)


def names_chunk(leaf: str) -> str | None:
    """The sha256 that a chunk's topic names; None where it is no topic of a chunk."""
    found = _LEAF.match(leaf)
    return found[1] if found else None


def parse(vehicle: str, leaf: str, payload: bytes) -> Chunk:
    """The chunk in a message. Raises ValueError saying what is wrong with it."""
    found = _LEAF.match(leaf)
    if found is None:
        raise ValueError(f"{leaf[:100]!r} is not files/SHA256/NUMBER")
    if len(payload) <= HEAD_BYTES or payload[0] != VERSION:
        raise ValueError(f"chunk of {len(payload)} bytes: not of format {VERSION}")
    content = payload[HEAD_BYTES:]
    if len(content) > MAX_CONTENT:
        raise ValueError(f"chunk of {len(content)} bytes, at most {MAX_CONTENT}")
    crc = zlib.crc32(content, zlib.crc32(f"{found[1]} {found[2]}".encode()))
    if crc != int.from_bytes(payload[1:HEAD_BYTES], "big"):
        raise ValueError(f"chunk {found[2]} of {found[1][:12]}: the CRC does not match")
    return Chunk(vehicle, found[1], int(found[2]), content)


def missing_blocks(size: int) -> int:
    """How many blocks a file of `size` bytes has."""
    return -(-size // BLOCK_BYTES)

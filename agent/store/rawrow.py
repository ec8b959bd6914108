"""A row as the tables hold it, its key, and the CRC that covers its head and its body."""

from __future__ import annotations

import zlib
from typing import NamedTuple

from agent.record import StorageClass

MASK = (1 << 48) - 1
EPOCH_SHIFT = 48


class RawRow(NamedTuple):
    """A row as the tables hold it."""

    id: int
    first: int
    last: int
    n: int
    epoch: str
    boot: str
    crc: int
    body: bytes


def row_id(epoch_index: int, first: int) -> int:
    """The key of the row that begins with seq `first`: epochs lie side by side, oldest first."""
    return epoch_index << EPOCH_SHIFT | first


def checksum(
    storage_class: StorageClass,
    epoch: str,
    first: int,
    last: int,
    boot: str,
    body: bytes,
    n: int,
) -> int:
    """CRC-32 of a row's identity and body: a row that was moved or relabelled fails too."""
    holes = f" {n}" if n != last - first + 1 else ""
    head = f"{storage_class} {epoch} {first} {last} {boot}{holes}".encode(errors="surrogatepass")
    return zlib.crc32(body, zlib.crc32(head))


def intact(storage_class: StorageClass, row: RawRow) -> bool:
    """Whether a row is exactly what was written."""
    return sound(row.id, row.first, row.last, row.n) and row.crc == checksum(
        storage_class, row.epoch, row.first, row.last, row.boot, row.body, row.n
    )


def sound(key: int, first: object, last: object, n: object) -> bool:
    """Whether a row's key, bounds and number of records agree with each other."""
    return (
        isinstance(first, int)
        and isinstance(last, int)
        and key & MASK == first
        and 0 < first <= last
        and isinstance(n, int)
        and 0 < n <= last - first + 1
    )


def well_typed(row: tuple[object, ...]) -> bool:
    """Whether a row's columns have the types that were written; damage can change them."""
    return (
        all(isinstance(value, int) for value in row[:4])
        and isinstance(row[4], str)
        and isinstance(row[5], str)
        and isinstance(row[6], int)
        and isinstance(row[7], bytes)
    )

"""A decoder of the payload written from docs/payload.md alone: no protobuf, none of ours."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from typing import Any

Fields = dict[int, list[Any]]
STATES = {1: "not_available", 2: "error", 3: "missing", 4: "implausible"}


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def fields(data: bytes) -> Fields:
    found: Fields = {}
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key % 8
        content: Any
        if kind == 0:
            content, at = varint(data, at)
        else:
            size, at = varint(data, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            content, at = data[at : at + size], at + size
        found.setdefault(key // 8, []).append(content)
    return found


def numbers(found: Fields, number: int) -> list[int]:
    values = []
    for packed in found.get(number, []):
        at = 0
        while at < len(packed):
            value, at = varint(packed, at)
            values.append(value)
    return values


def zigzag(n: int) -> int:
    return n // 2 if n % 2 == 0 else -(n + 1) // 2


def sums(found: Fields, number: int) -> list[int]:
    total, entries = 0, []
    for n in numbers(found, number):
        total += zigzag(n)
        entries.append(total)
    return entries


def word(found: Fields, number: int) -> str:
    return found.get(number, [b""])[-1].decode()


def one(found: Fields, number: int) -> int:
    return int(found.get(number, [0])[-1])


def unpacked(message: bytes) -> Fields:
    assert message[0] == 1
    return fields(zlib.decompress(message[1:]))


def catalogue(message: bytes) -> tuple[bytes, list[tuple[str, str, list[str]]]]:
    shapes = []
    for raw in unpacked(message).get(1, []):
        shape = fields(raw)
        paths = [word(fields(leaf), 1) for leaf in shape.get(3, [])]
        shapes.append((word(shape, 1), word(shape, 2), paths))
    return hashlib.sha256(message).digest()[:16], shapes


def values(column: Fields) -> Iterator[Any]:
    if 9 in column:
        return iter([text.decode() for text in column[9]])
    if 8 in column:
        return iter([bool(n) for n in numbers(column, 8)])
    if 7 in column:
        return iter([n for raw in column[7] for (n,) in struct.iter_unpack("<d", raw)])
    entries = sums(column, 4)
    return iter(entries if one(column, 6) else [entry / one(column, 5) for entry in entries])


def pairs(flat: list[int]) -> Iterator[tuple[int, int]]:
    return zip(flat[::2], flat[1::2], strict=True)


def decode(message: bytes, known: bytes | None = None) -> dict[str, Any]:
    """`known`: the catalogue message that the batch may refer to."""
    batch = unpacked(message)
    name, shapes = catalogue(known) if known else (b"", [])
    assert batch.get(11, [b""])[-1] in (b"", name), "that catalogue is not known"
    order, times = numbers(batch, 7), sums(batch, 8)
    seqs: list[int] = []
    at = 0
    for skip, length in pairs(numbers(batch, 3)):
        seqs += range(at + skip, at + skip + length)
        at += skip + length
    boots = [fields(raw) for raw in batch.get(4, [])]
    boot_of = [boots[i][1][-1].hex() for i, n in pairs(numbers(batch, 9)) for _ in range(n)]
    records: list[dict[str, Any]] = []
    groups = [fields(raw) for raw in batch.get(6, [])]
    for i, group in enumerate(order):
        shape = one(groups[group], 5)
        source, title = (
            shapes[shape - 1][:2] if shape else (word(groups[group], 1), word(groups[group], 2))
        )
        records.append(
            {
                "seq": seqs[i],
                "source": source,
                "group": title,
                "kind": word(groups[group], 3),
                "boot": boot_of[i],
                "boottime_ms": times[i],
                "values": {},
                "states": {},
            }
        )
    for number, group_fields in enumerate(groups):
        mine = [record for record, group in zip(records, order, strict=True) if group == number]
        shape = one(group_fields, 5)
        for raw in group_fields.get(4, []):
            column = fields(raw)
            leaf = one(column, 11)
            path = shapes[shape - 1][2][leaf - 1] if leaf else word(column, 1)
            entries, states = values(column), iter(numbers(column, 10))
            presence = column.get(3, [b""])[-1]
            for i, record in enumerate(mine):
                mark = presence[i // 4] >> (i % 4 * 2) & 3 if presence else 1
                if mark == 1:
                    record["values"][path] = next(entries)
                elif mark == 2:
                    record["states"][path] = STATES[next(states)]
    sources = ("none", "rtc", "ntp", "gnss")
    return {
        "vehicle": word(batch, 1),
        "epoch": batch[2][-1].hex(),
        "boots": {
            boot[1][-1].hex(): [
                [one(row, 1), zigzag(one(row, 2)), sources[one(row, 3)]]
                for row in map(fields, boot.get(2, []))
            ]
            for boot in boots
        },
        "drops": [
            [
                ("alarm", "history", "bulk")[one(drop, 1)],
                one(drop, 2),
                one(drop, 3),
                one(drop, 4),
                word(drop, 5),
            ]
            for drop in map(fields, batch.get(5, []))
        ],
        "records": records,
    }

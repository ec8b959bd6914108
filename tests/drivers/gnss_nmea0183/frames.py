"""UBX frames, written from the interface description."""

from __future__ import annotations

import struct


def frame(class_id: int, message_id: int, payload: bytes) -> bytes:
    """B5 62, class, identifier, length, payload, and the two sums of RFC 1145."""
    covered = bytes((class_id, message_id)) + len(payload).to_bytes(2, "little") + payload
    first = second = 0
    for byte in covered:
        first = (first + byte) % 256
        second = (second + first) % 256
    return b"\xb5\x62" + covered + bytes((first, second))


def pvt(
    second: int,
    place: tuple[float, float],
    *,
    fix: int = 3,
    flags: int = 1,
    valid: int = 7,
    nano: int = -250,
) -> bytes:
    """NAV-PVT of 2027-01-01 12:00:`second`, a Friday, 18 leap seconds."""
    tow_ms = (5 * 86_400 + 43_200 + second + 18) * 1000
    clock = struct.pack("<IHBBBBBBIi", tow_ms, 2027, 1, 1, 12, 0, second, valid, 20, nano)
    where = struct.pack("<ii", round(place[1] * 1e7), round(place[0] * 1e7))
    heights = struct.pack("<iiII", 1_080_000, 1_100_500, 900, 1_500)
    motion = struct.pack("<iiiiiIIHH", 0, 0, 0, 5_144, 9_000_000, 10, 20, 150, 0)
    rest = bytes(4) + struct.pack("<ihH", 0, 0, 0)
    return frame(1, 7, clock + bytes((fix, flags, 0, 11)) + where + heights + motion + rest)


def sol(tow_ms: int, ecef_m: tuple[float, float, float], *, fix: int = 3, flags: int = 13) -> bytes:
    """NAV-SOL of GPS week 2451."""
    where = struct.pack("<iiiI", *(round(m * 100) for m in ecef_m), 250)
    rest = struct.pack("<iiiIHBBI", 0, 0, 0, 10, 150, 0, 8, 0)
    return frame(1, 6, struct.pack("<IihBB", tow_ms, 0, 2451, fix, flags) + where + rest)


def timegps(tow_ms: int, leap_s: int, valid: int = 7) -> bytes:
    """NAV-TIMEGPS of GPS week 2451."""
    return frame(1, 0x20, struct.pack("<IihbBI", tow_ms, 0, 2451, leap_s, valid, 20))


def mon_hw(antenna: int, jamming: int, indicator: int) -> bytes:
    """MON-HW."""
    body = bytes(16) + struct.pack("<HHBBBB", 80, 5000, antenna, 1, jamming << 2, 0)
    return frame(0x0A, 0x09, body + bytes(4) + bytes(17) + bytes((indicator,)) + bytes(14))


def mon_rf(*blocks: tuple[int, int, int]) -> bytes:
    """MON-RF with an (antenna, jamming, indicator) each block."""
    body = bytes((0, len(blocks), 0, 0))
    for antenna, jamming, indicator in blocks:
        body += bytes((0, jamming, antenna, 1)) + bytes(12) + bytes((indicator,)) + bytes(7)
    return frame(0x0A, 0x38, body)


def nav_sat(*satellites: tuple[int, int, int]) -> bytes:
    """NAV-SAT with (constellation, number, C/N0)."""
    body = struct.pack("<IBBH", 1000, 1, len(satellites), 0)
    for constellation, number, strength in satellites:
        body += struct.pack("<BBBbhhI", constellation, number, strength, 45, 180, 0, 0)
    return frame(1, 0x35, body)


def esf_status(fusion: int) -> bytes:
    """ESF-STATUS without sensors."""
    return frame(0x10, 0x10, struct.pack("<IB7xB2xB", 1000, 2, fusion, 0))

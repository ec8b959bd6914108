"""Long messages in packets, as a sender on the bus broadcasts them: BAM of SAE J1939-21."""

from __future__ import annotations

from typing import NamedTuple

TP_CM, TP_DT = 0x1CECFF00, 0x1CEBFF00
"""Transport protocol to everybody, priority 7; the sender is to be added."""
BAM = 32
PACKET_GAP_MS = 60
PACKET_BYTES = 7
FRAME_BYTES = 8


class Packet(NamedTuple):
    """One frame of a broadcast, `after_ms` after its announcement."""

    after_ms: int
    can_id: int
    payload: bytes


def broadcast(pgn: int, sender: int, text: bytes) -> list[Packet]:
    """The announcement of a message of more than eight bytes, and its packets."""
    count = -(-len(text) // PACKET_BYTES)
    head = bytes((BAM, *len(text).to_bytes(2, "little"), count, 0xFF))
    packets = [Packet(0, TP_CM | sender, head + pgn.to_bytes(3, "little"))]
    for i in range(count):
        part = text[i * PACKET_BYTES : (i + 1) * PACKET_BYTES]
        payload = bytes((i + 1,)) + part.ljust(PACKET_BYTES, b"\xff")
        packets.append(Packet((i + 1) * PACKET_GAP_MS, TP_DT | sender, payload))
    return packets

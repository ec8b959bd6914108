"""The bus's J1939 network at its FMS connector: when which frame comes, in SLCAN lines.

Frames of `fms_table` at their rates, the VIN by BAM every 10 s, and under `can_flood` as many
other frames as a 250 kbit/s bus has room for.
"""

from __future__ import annotations

from simulator.emission import ActiveFaults, Emission, Writing
from simulator.fms_table import MESSAGES, VI_PGN, VI_SENDER, VIN
from simulator.spn import Message
from simulator.world import World

CYCLE_MS = 1_000
"""All periods of `fms_table` divide it."""

VI_PERIOD_MS = 10_000
VI_PHASE_MS = 1_500
PACKET_GAP_MS = 60
PACKET_BYTES = 7

TP_CM, TP_DT = 0x1CECFF00, 0x1CEBFF00
"""Transport protocol to everybody (SAE J1939-21), priority 7; the sender is to be added."""
BAM = 32

FULL_BUS_PER_S = 1_850
"""Frames with 29-bit identifiers and 8 bytes that 250 kbit/s carry."""
FLOOD_PER_S = FULL_BUS_PER_S - sum(CYCLE_MS // message.period_ms for message in MESSAGES)

REPEATED = ("EEC1", "EEC2", "CCVS1", "TCO1")
REPEATER = 0xEF
"""A gateway that says again what was said last, from the highest address on the bus."""

UNRELATED_IDS = (
    0x18F0010B,  # EBC1, brakes
    0x0CF00203,  # ETC1, transmission
    0x18F0090B,  # VDC2, dynamics
    0x0C000003,  # TSC1 to the engine: destination specific
    0x18FF5B27,  # proprietary B
    0x18EF1027,  # proprietary A to 0x10
    0x18FECA3D,  # DM1 of the aftertreatment
    0x10FDA30F,  # proprietary rate, retarder
)
SCRAMBLE = 0x9E3779B97F4A7C15  # odd, golden ratio: consecutive numbers become unlike bytes


def slcan(can_id: int, payload: bytes) -> bytes:
    """The line by which a stick hands on a frame with a 29-bit identifier."""
    return f"T{can_id:08X}{len(payload)}{payload.hex().upper()}\r".encode("ascii")


def transport_packets(text: bytes) -> list[bytes]:
    """The payloads of a BAM announcement of `VI_PGN` and of its packets."""
    count = -(-len(text) // PACKET_BYTES)
    announcement = bytes((BAM, *len(text).to_bytes(2, "little"), count, 0xFF))
    packets = [announcement + VI_PGN.to_bytes(3, "little")]
    for i in range(count):
        part = text[i * PACKET_BYTES : (i + 1) * PACKET_BYTES]
        packets.append(bytes((i + 1,)) + part.ljust(PACKET_BYTES, b"\xff"))
    return packets


def _timetable() -> tuple[tuple[Message, ...], ...]:
    """For each millisecond of a cycle the messages that are due."""
    return tuple(
        tuple(m for m in MESSAGES if ms % m.period_ms == m.phase_ms % m.period_ms)
        for ms in range(CYCLE_MS)
    )


TIMETABLE = _timetable()


class J1939Bus:
    """All senders on the bus."""

    def __init__(self, world: World, source: str = "fms") -> None:
        self._world = world
        self._source = source
        self._vi = transport_packets(world.vin.encode("ascii") + b"*")
        self._vi_whole = False
        self._latest: dict[str, bytes] = {}

    def due(self, at_ms: int, faults: ActiveFaults) -> bool:
        """Whether any frame may come at this millisecond."""
        return (
            bool(TIMETABLE[at_ms % CYCLE_MS])
            or self._vi_packet(at_ms) is not None
            or ("can_flood", self._source) in faults
        )

    def emit(self, at_ms: int, faults: ActiveFaults) -> list[Emission]:
        """The frames of this millisecond. The world stands at `at_ms`."""
        packet = self._vi_packet(at_ms)
        if ("can_silent", self._source) in faults:
            if packet is not None:
                self._vi_whole = False
            return []
        at_s = at_ms / 1000
        frames = []
        for message in TIMETABLE[at_ms % CYCLE_MS]:
            payload, writings = message.encode(self._world)
            if message.name in REPEATED:
                self._latest[message.name] = payload
            line = slcan(message.can_id, payload)
            frames.append(Emission(self._source, at_s, line, writings))
        if packet is not None:
            frames.append(self._vi_emission(at_s, packet))
        if ("can_flood", self._source) in faults:
            frames += self._flood(at_ms)
        return frames

    @staticmethod
    def _vi_packet(at_ms: int) -> int | None:
        """Which packet of the VIN's transport is due: 0 announces it, None: none is."""
        number, odd_ms = divmod(at_ms % VI_PERIOD_MS - VI_PHASE_MS, PACKET_GAP_MS)
        return number if odd_ms == 0 and 0 <= number <= 3 else None

    def _vi_emission(self, at_s: float, packet: int) -> Emission:
        if packet == 0:
            self._vi_whole = True
        writings: tuple[Writing, ...] = ()
        if self._vi_whole and packet == len(self._vi) - 1:
            writings = ((VIN, self._world.vin),)
        can_id = (TP_CM if packet == 0 else TP_DT) | VI_SENDER
        return Emission(self._source, at_s, slcan(can_id, self._vi[packet]), writings)

    def _flood(self, at_ms: int) -> list[Emission]:
        """Frames that carry nothing new: repeated by a gateway, or not of the FMS at all.

        How many come at a millisecond follows from the millisecond alone.
        """
        at_s = at_ms / 1000
        frames = []
        for n in range((at_ms - 1) * FLOOD_PER_S // 1000, at_ms * FLOOD_PER_S // 1000):
            kind = n % (len(UNRELATED_IDS) + len(REPEATED))
            if kind < len(UNRELATED_IDS):
                payload = (n * SCRAMBLE % 2**64).to_bytes(8, "little")
                line = slcan(UNRELATED_IDS[kind], payload)
            else:
                repeated = BY_NAME[REPEATED[kind - len(UNRELATED_IDS)]]
                said = self._latest.get(repeated.name)
                if said is None:
                    said = b"\xff" * 8
                line = slcan(repeated.can_id & 0x1FFFFF00 | REPEATER, said)
            frames.append(Emission(self._source, at_s, line))
        return frames


BY_NAME = {message.name: message for message in MESSAGES}

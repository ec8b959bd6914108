"""The bus's J1939 network at its FMS connector: when which frame comes, in SLCAN lines.

Frames of `fms_table` at their rates, long messages by BAM, and under `can_flood` as many other
frames as a 250 kbit/s bus has room for.
"""

from __future__ import annotations

from collections.abc import Collection

from simulator import hostile
from simulator.addresses import GATEWAY
from simulator.emission import ActiveFaults, Dm1, Emission
from simulator.fms_table import MESSAGES, VehicleKind
from simulator.quirks import LOST_BAM_PACKETS, SPOOFED_SOURCE, with_quirks
from simulator.spn import Encoded, Message
from simulator.transport import FRAME_BYTES, broadcast
from simulator.world import World

CYCLE_MS = 10_000
"""All periods of `fms_table` divide it."""
ON_CHANGE_MS = 100
"""What is sent on change is looked at this often."""
LOST_EVERY = 3
"""Under `lost_bam_packets` every third broadcast loses a packet."""

FULL_BUS_PER_S = 1_850
"""Frames with 29-bit identifiers and 8 bytes that 250 kbit/s carry."""

REPEATED = ("EEC1", "EEC2", "CCVS1", "TCO1")
"""What the gateway says again."""

UNRELATED_IDS = (
    0x18FEBF0B,  # EBC2, wheel speeds
    0x0CF00203,  # ETC1, transmission
    0x18FEDF00,  # EEC3, friction torque
    0x0C000003,  # TSC1 to the engine: destination specific
    0x18FF5B27,  # proprietary B
    0x18EF1027,  # proprietary A to 0x10
    0x18F00E3D,  # aftertreatment intake gas
    0x10FDA30F,  # proprietary rate, retarder
)
SCRAMBLE = 0x9E3779B97F4A7C15  # odd, golden ratio: consecutive numbers become unlike bytes


def slcan(can_id: int, payload: bytes) -> bytes:
    """The line by which a stick hands on a frame with a 29-bit identifier."""
    return f"T{can_id:08X}{len(payload)}{payload.hex().upper()}\r".encode("ascii")


def _timetable(messages: tuple[Message, ...]) -> tuple[tuple[Message, ...], ...]:
    """For each millisecond of a cycle the messages that are due."""
    due: list[list[Message]] = [[] for _ in range(CYCLE_MS)]
    for message in messages:
        period_ms = message.period_ms or ON_CHANGE_MS
        for ms in range(message.phase_ms % period_ms, CYCLE_MS, period_ms):
            due[ms].append(message)
    return tuple(tuple(entry) for entry in due)


class _Broadcast:
    """One long message under way; `whole` until a packet of it is lost."""

    def __init__(self, said: Encoded, sender: int) -> None:
        self.said = said
        self.sender = sender
        self.whole = True


class J1939Bus:
    """All senders on the bus of one kind of vehicle, with the quirks that it has."""

    def __init__(
        self,
        world: World,
        source: str = "fms",
        *,
        kind: VehicleKind = "diesel",
        quirks: Collection[str] = (),
    ) -> None:
        self._world = world
        self._source = source
        self._quirks = frozenset(quirks)
        self._messages = MESSAGES[kind]
        sent = with_quirks(self._messages, self._quirks)
        self._due = _timetable(sent)
        per_s = sum(1_000 / message.period_ms for message in sent if message.period_ms)
        self._flood_per_s = FULL_BUS_PER_S - round(per_s)
        self._repeated = [m for m in self._messages if m.name in REPEATED]
        self._latest: dict[str, bytes] = {}
        self._on_change: dict[str, bytes] = {}
        self._packets: dict[int, list[tuple[int, bytes, _Broadcast, bool]]] = {}
        self._broadcasts = 0

    def due(self, at_ms: int, faults: ActiveFaults) -> bool:
        """Whether any frame may come at this millisecond."""
        return (
            bool(self._due[at_ms % CYCLE_MS])
            or at_ms in self._packets
            or ("can_flood", self._source) in faults
            or (SPOOFED_SOURCE in self._quirks and hostile.due(at_ms))
        )

    def emit(self, at_ms: int, faults: ActiveFaults) -> list[Emission]:
        """The frames of this millisecond. The world stands at `at_ms`."""
        silent = ("can_silent", self._source) in faults
        frames: list[Emission] = []
        for message in self._due[at_ms % CYCLE_MS]:
            said = message.encode(self._world)
            if not message.period_ms:
                if self._on_change.get(message.name) == said.payload:
                    continue
                self._on_change[message.name] = said.payload
            if message.name in REPEATED:
                self._latest[message.name] = said.payload
            if len(said.payload) > FRAME_BYTES:
                self._announce(at_ms, message, said)
            else:
                frames.append(
                    self._frame(at_ms, message.can_id, said.payload, said, message.sender)
                )
        for can_id, payload, session, last in self._packets.pop(at_ms, ()):
            if silent:
                session.whole = False
            done = session.said if last and session.whole else None
            frames.append(self._frame(at_ms, can_id, payload, done, session.sender))
        if SPOOFED_SOURCE in self._quirks and hostile.due(at_ms):
            frames += [
                Emission(self._source, at_ms / 1000, slcan(one.can_id, one.payload), one.writings)
                for one in hostile.frames(at_ms, self._world, self._messages)
            ]
        if silent:
            return []
        if ("can_flood", self._source) in faults:
            frames += self._flood(at_ms)
        return frames

    def _frame(
        self, at_ms: int, can_id: int, payload: bytes, said: Encoded | None, sender: int
    ) -> Emission:
        """One frame; `said` is None where it completes no message."""
        line, at_s = slcan(can_id, payload), at_ms / 1000
        if said is None:
            return Emission(self._source, at_s, line)
        dm1 = Dm1(sender, said.dtcs) if said.dtcs is not None else None
        return Emission(
            self._source, at_s, line, said.writings, alternatives=said.alternatives, dm1=dm1
        )

    def _announce(self, at_ms: int, message: Message, said: Encoded) -> None:
        """Put the packets of a long message into the milliseconds at which they are due."""
        packets = broadcast(message.pgn, message.sender, said.payload)
        self._broadcasts += 1
        lost = None
        if LOST_BAM_PACKETS in self._quirks and self._broadcasts % LOST_EVERY == 0:
            lost = self._broadcasts // LOST_EVERY % len(packets)
        session = _Broadcast(said, message.sender)
        for i, packet in enumerate(packets):
            if i == lost:
                session.whole = False
                continue
            waiting = self._packets.setdefault(at_ms + packet.after_ms, [])
            waiting.append((packet.can_id, packet.payload, session, i == len(packets) - 1))

    def _flood(self, at_ms: int) -> list[Emission]:
        """Frames that carry nothing new: repeated by a gateway, or not of the FMS at all.

        How many come at a millisecond follows from the millisecond alone.
        """
        at_s = at_ms / 1000
        per_s = self._flood_per_s
        frames = []
        for n in range((at_ms - 1) * per_s // 1000, at_ms * per_s // 1000):
            kind = n % (len(UNRELATED_IDS) + len(self._repeated))
            if kind < len(UNRELATED_IDS):
                payload = (n * SCRAMBLE % 2**64).to_bytes(8, "little")
                line = slcan(UNRELATED_IDS[kind], payload)
            else:
                repeated = self._repeated[kind - len(UNRELATED_IDS)]
                said = self._latest.get(repeated.name, b"\xff" * 8)
                line = slcan(repeated.can_id & 0x1FFFFF00 | GATEWAY, said)
            frames.append(Emission(self._source, at_s, line))
        return frames

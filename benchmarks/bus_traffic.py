"""Traffic for the benchmarks: the whole FMS set at FMS rates, standing or driving, as SLCAN lines.

The rates and the share of messages that differ from the one before are this file's own. A driving
bus moves its numbers by a step up or down and seldom turns a switch; a standing one repeats itself.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from drivers.fms_j1939.table import PGNS

FULL_BUS = 1850  # frames/s of 8 bytes at 250 kbit/s, bit stuffing included

# By PGN: messages a second (FMS-Standard v4), share that differs from the one before on the road.
RATES: dict[int, tuple[int, float]] = {
    61444: (50, 0.9), 61443: (20, 0.5), 65265: (10, 0.6), 65266: (10, 0.5), 65132: (20, 0.3),
    61440: (10, 0.3), 61441: (10, 0.3), 61445: (10, 0.05), 65102: (10, 0.01), 64933: (10, 0.01),
    64932: (10, 0.01), 61449: (10, 0.9), 65257: (1, 0.1), 64777: (1, 1.0), 65276: (1, 0.1),
    65253: (1, 0.05), 65217: (1, 1.0), 65258: (1, 1.0), 65262: (1, 0.2), 65269: (1, 0.1),
    65198: (1, 0.3), 65254: (1, 1.0), 65112: (1, 0.5), 65110: (1, 0.1), 65271: (1, 0.3),
    65237: (1, 0.5), 65216: (1, 1.0), 64893: (1, 1.0), 65088: (1, 0.1),
}  # fmt: skip

# Messages whose byte 1 says what they are about: how many different things.
TURNS = {65258: 4, 65216: 3, 64893: 4}


def frames(count: int, *, driving: bool) -> Iterator[tuple[int, bytes]]:
    """Identifier and payload of `count` frames in the ratio of the FMS rates, the same each time.

    Values are of the valid range; those of a standing bus never change, turns are taken always.
    """
    dice = random.Random(7)
    deck = [pgn for pgn, (rate, _) in RATES.items() for _ in range(rate)]
    payloads = {
        (pgn, turn): bytearray(dice.randrange(0x10, 0xE0) & 0xCC for _ in range(8))
        for pgn in RATES
        for turn in range(TURNS.get(pgn, 1))
    }
    turns = dict.fromkeys(RATES, 0)
    sent = 0
    while True:
        dice.shuffle(deck)
        for pgn in deck:
            turns[pgn] = turn = (turns[pgn] + 1) % TURNS.get(pgn, 1)
            payload = payloads[pgn, turn]
            if driving and dice.random() < RATES[pgn][1]:
                byte = dice.randrange(1, 8)
                payload[byte] = max(0, min(0xFA, payload[byte] + dice.choice((-1, 1))))
            if pgn in TURNS:
                payload[0] = (
                    turn << 4 if pgn == 65258 else turn | payload[0] & 0xF0 * (pgn == 64893)
                )
            if sent == count:
                return
            sent += 1
            yield 6 << 26 | pgn << 8, bytes(payload)


def line(can_id: int, payload: bytes) -> bytes:
    """A frame as the line of an SLCAN adaptor, without its end."""
    return b"T%08X8%s" % (can_id, payload.hex().upper().encode())


def dbc() -> str:
    """Our table of these messages as a DBC, which is what cantools reads."""
    lines = ['VERSION ""', "NS_ :", "BS_:", "BU_: X", ""]
    for number in RATES:
        lines.append(f"BO_ {0x80000000 | number << 8} PGN{number}: 8 X")
        taken: set[int] = set()  # the blocks of a multiplexed message have one layout
        for n, spn in enumerate(PGNS[number].spns):
            if not taken.isdisjoint(bits := range(spn.first_bit, spn.first_bit + spn.bits)):
                continue
            taken.update(bits)
            place = f"{spn.first_bit}|{spn.bits}@1+ ({spn.num / spn.den!r},{float(spn.offset)!r})"
            lines.append(f' SG_ PGN{number}_{n}_SPN{spn.number} : {place} [0|0] "" X')
        lines.append("")
    return "\n".join(lines)

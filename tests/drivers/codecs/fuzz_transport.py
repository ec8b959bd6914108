"""Transport against hostile traffic, judged by two that are simpler than it is.

`against_model`: random frames of few addresses, so that sessions collide all the time; a model that
keeps every frame of a pair and reads them anew from the announcement must give the same messages.
`against_senders`: honest senders on a bus that loses, doubles and delays frames, between hostile
units with addresses of their own; each message that comes out must be one that was sent.

    python -m tests.drivers.codecs.fuzz_transport --frames 1000000 --seed 1
"""

from __future__ import annotations

import argparse
import heapq
import random
import sys
import tracemalloc
from collections.abc import Iterator

from drivers.codecs.j1939 import TP_CM, TP_DT, Identifier, Transport
from tests.drivers.codecs.transport_model import ABORT, ACK, ALL, BAM, CTS, RTS, Heard, Model

PGNS = (0xFECA, 0xFEEC, 0xFE6B)


def control(kind: int, a: int, b: int, c: int, d: int, pgn: int) -> bytes:
    return bytes((kind, a, b, c, d)) + pgn.to_bytes(3, "little")


def anything(dice: random.Random) -> Iterator[Heard]:
    """Frames that open, feed, hold, rewind and break sessions, without end."""
    t = 1000.0
    addresses = (1, 2, 3, ALL)
    text = [bytes(dice.randrange(256) for _ in range(42)) for _ in range(3)]
    sent: dict[tuple[int, int], int] = {}
    sa, da, rough = 1, ALL, 0.0
    while True:
        if dice.random() < 0.05:
            sa, da = dice.choice(addresses[:3]), dice.choice(addresses)
            rough = dice.choice((0.0, 0.02, 0.3))
        t += 0.05
        if dice.random() < rough:
            t += dice.choice((0.2, 0.65, 0.71, 0.95, 1.01, 1.19, 1.25, -0.1, -5.0))
        if dice.random() < rough:
            sa = dice.choice((1, 2, 3, ALL))
        pgn = dice.choice(PGNS) if dice.random() < rough / 3 else PGNS[0]
        roll = dice.random()
        if sent.get((sa, da), 0) >= dice.choice((2, 3, 6)):
            roll = 0.0
        if roll < 0.04:
            size = dice.choice((9, 14, 15, 18, 21, 42, 42))
            packets = -(-size // 7)
            if dice.random() < 0.08:
                size, packets = dice.choice(((8, 2), (0, 0), (1786, 255), (18, 2), (18, 4)))
            if dice.random() < 0.05:
                pgn = dice.choice((TP_CM, TP_DT, 0x40000 | pgn, 0xFC0000 | pgn))
            kind = BAM if (da == ALL) == (dice.random() < 0.95) else RTS
            sent[sa, da] = 0
            yield Heard(t, TP_CM, sa, da, control(kind, size & 255, size >> 8, packets, 255, pgn))
        elif roll < 0.14:
            back = dice.choice((0, 0, 0, 1, 2, -1, -2))
            number = (sent.get((sa, da), 0) + 1 - back) & 255
            count = dice.choice((0, 1, 1, 2, 3, 255))
            sent[sa, da] = max(0, number - 1) if count else sent.get((sa, da), 0)
            yield Heard(t, TP_CM, da, sa, control(CTS, count, number, 255, 255, pgn))
        elif roll < 0.145:
            says = control(dice.choice((ACK, ABORT)), 18, 0, 3, 255, pgn)
            yield Heard(t, TP_CM, da, sa, says)
        elif roll < 0.15:
            yield Heard(t, TP_CM, sa, da, dice.randbytes(dice.randrange(9)))
        else:
            number = (sent.get((sa, da), 0) + 1) & 255
            if dice.random() < rough / 3:
                number = dice.choice((0, 1, 2, number - 1, number + 1, 255)) & 255
            sent[sa, da] = number
            mine = text[0] if dice.random() > rough / 3 else dice.choice(text)
            part = mine[7 * (number - 1) : 7 * number] if number else b""
            payload = bytes([number]) + part.ljust(7, b"\xff")
            if dice.random() < rough / 5:
                payload = payload[: dice.randrange(9)]
            yield Heard(t, TP_DT, sa, da, payload)


def against_model(frames: int, seed: int) -> int:
    """How many messages came out of `frames`; raises AssertionError at the first difference."""
    transport, model = Transport(), Model()
    complete = 0
    for n, frame in zip(range(frames), anything(random.Random(seed)), strict=False):
        got = transport.feed(frame.t, Identifier(7, *frame[1:4]), frame.payload)
        want = model.feed(frame)
        assert got == want, f"seed {seed}, frame {n}: {frame}: got {got}, expected {want}"
        complete += got is not None
    return complete


# -- honest senders --------------------------------------------------------------------------------


def honest(dice: random.Random, sa: int, da: int, number: int) -> tuple[bytes, list[Heard]]:
    """A message with a text of its own in each packet, and its frames with times from 0."""
    packets = dice.randrange(2, 9)
    text = b"".join(b"%02X%04X%d" % (sa, number & 0xFFFF, n % 10) for n in range(packets))
    size = len(text) - dice.randrange(6 if packets > 2 else 5)
    text = text[:size]
    pgn = PGNS[number % 3]
    kind = BAM if da == ALL else RTS
    frames = [Heard(0.0, TP_CM, sa, da, control(kind, size & 255, size >> 8, packets, 255, pgn))]
    t = 0.0
    asked = 1
    while asked <= packets:
        count = packets if da == ALL else dice.randrange(1, 4)
        if da != ALL:
            t += 0.02
            frames.append(Heard(t, TP_CM, da, sa, control(CTS, count, asked, 255, 255, pgn)))
        for n in range(asked, min(asked + count, packets + 1)):
            t += 0.06
            part = text[7 * (n - 1) : 7 * n].ljust(7, b"\xff")
            frames.append(Heard(t, TP_DT, sa, da, bytes([n]) + part))
        asked += count
        if da != ALL and asked > 2 and dice.random() < 0.2:
            asked -= dice.randrange(1, 3)
    return text, frames


def against_senders(frames: int, seed: int) -> tuple[int, int]:
    """Messages sent and messages that came out, of `frames` frames on a bad and hostile bus."""
    dice = random.Random(seed)
    transport = Transport()
    queue: list[tuple[float, int, Heard | None, tuple[int, int]]] = []
    sent: dict[tuple[int, int], set[bytes]] = {}
    pairs = [(sa, da) for sa in (0x10, 0x11, 0x12) for da in (ALL, 0x20)]
    order = 0
    for pair in pairs:
        heapq.heappush(queue, (dice.random(), order := order + 1, None, pair))
    count = out = messages = 0
    t = 0.0
    while count < frames:
        t, _, frame, pair = heapq.heappop(queue)
        if frame is None:
            text, said = honest(dice, *pair, messages)
            messages += 1
            sent[pair] = {text}
            for one in said:
                late = 0.1 * (dice.random() < 0.005)
                for _ in range(1 + (dice.random() < 0.01)):
                    if dice.random() >= 0.03:
                        moved = one._replace(t=t + one.t + late)
                        heapq.heappush(queue, (moved.t, order := order + 1, moved, pair))
            # Longer than any limit: a lost announcement cannot be mistaken for the one before it.
            heapq.heappush(queue, (t + said[-1].t + 1.5, order := order + 1, None, pair))
            continue
        shown = [frame]
        for _ in range(dice.randrange(4)):
            sa, da = dice.randrange(0x40, 0xF0), dice.choice((ALL, 0x10, 0x20, 0x33))
            kind = dice.choice((BAM, RTS, CTS, ACK, ABORT))
            foe = control(kind, dice.randrange(256), 0, dice.randrange(5), 255, PGNS[0])
            shown.append(Heard(t, TP_CM, sa, da, foe))
            shown.append(Heard(t, TP_DT, sa, da, bytes((dice.randrange(1, 4),)) + b"HOSTILE"))
        # A unit that claims to be everybody answers a broadcast.
        everybody = dice.choice((CTS, ACK, ABORT))
        shown.append(Heard(t, TP_CM, ALL, pair[0], control(everybody, 9, 1, 255, 255, PGNS[0])))
        for one in shown:
            count += 1
            message = transport.feed(one.t, Identifier(7, *one[1:4]), one.payload)
            if message is not None and message.sa < 0x40:
                out += 1
                legal = message.payload in sent[message.sa, message.da]
                assert legal, f"seed {seed}: {message} was never sent"
    return messages, out


def main() -> None:
    parser = argparse.ArgumentParser(description="Hostile transport sessions")
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    tracemalloc.start()
    complete = against_model(args.frames // 2, args.seed)
    sent, out = against_senders(args.frames // 2, args.seed)
    _, peak = tracemalloc.get_traced_memory()
    sys.stdout.write(
        f"{args.frames} frames, seed {args.seed}: {complete} messages as the model has them; "
        f"{out} of {sent} messages of honest senders came out, none that was not sent; "
        f"peak {peak / 1e6:.1f} MB\n"
    )


if __name__ == "__main__":
    main()

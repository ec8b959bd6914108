"""Two units on a bus, as a passive listener hears them."""

from __future__ import annotations

from drivers.codecs.j1939 import TP_CM, TP_DT, Identifier, Message, Transport

VI = 65260
DM1 = 65226


class Wire:
    """Says what two units would say, in order, to a Transport; the clock is ours."""

    def __init__(self) -> None:
        self.transport = Transport()
        self.t = 0.0
        self.got: list[Message] = []

    def say(self, pgn: int, sa: int, da: int, payload: bytes, after: float = 0.06) -> None:
        self.t += after
        message = self.transport.feed(self.t, Identifier(7, pgn, sa, da), payload)
        if message is not None:
            self.got.append(message)

    def announce(self, text: bytes, *, sa: int = 0, da: int = 0xFF, pgn: int = VI) -> None:
        control = 32 if da == 0xFF else 16
        size = len(text)
        head = bytes([control, size & 255, size >> 8, -(-size // 7), 0xFF])
        self.say(TP_CM, sa, da, head + pgn.to_bytes(3, "little"))

    def packet(
        self, text: bytes, n: int, *, sa: int = 0, da: int = 0xFF, after: float = 0.06
    ) -> None:
        part = text[7 * (n - 1) : 7 * n]
        self.say(TP_DT, sa, da, bytes([n]) + part.ljust(7, b"\xff"), after)

    def clear(self, count: int, n: int, *, pgn: int = VI, after: float = 0.06) -> None:
        """The receiver 9 asks the sender 3 for `count` packets from `n` on; 0: hold."""
        body = bytes([17, count, n, 255, 255]) + pgn.to_bytes(3, "little")
        self.say(TP_CM, 9, 3, body, after)

    def send(self, text: bytes, *, sa: int = 0, da: int = 0xFF, pgn: int = VI) -> None:
        self.announce(text, sa=sa, da=da, pgn=pgn)
        for n in range(1, -(-len(text) // 7) + 1):
            self.packet(text, n, sa=sa, da=da)


TEXT = b"YV3S5P720DA000017*"

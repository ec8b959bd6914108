"""A parameter group: the SPNs of one message and the group of signals that it is emitted as."""

from __future__ import annotations

from typing import Protocol

from agent.sdk import Group, Signal
from drivers.fms_j1939.spn import TEXTS, Reading, Spn


class Composer(Protocol):
    """What one sender's messages of one parameter group say together.

    Make one for each sender with `Pgn.composer()` and call `add` with the readings of each of its
    messages that was read, in order; forget it with the sender.
    """

    def add(self, payload: bytes, readings: list[Reading]) -> list[Reading]:
        """Further readings to state, made of this message and those before it."""
        ...


class Pgn:
    """One parameter group: its SPNs and the group of signals that it is emitted as.

    `prefer`: source addresses in order of trust, before all others. `silence_s`: how long the
    followed sender may be silent before another one is followed. `period_ms`: how often a sender
    says it, 0 where only on change. `whole`: signals made of the whole message. A group without
    signals (all of them fallbacks of others) has a name and is not declared.
    """

    def __init__(
        self,
        number: int,
        name: str,
        *spns: Spn,
        prefer: tuple[int, ...] = (),
        silence_s: float = 5.0,
        period_ms: int = 1000,
        whole: tuple[Spn, ...] = (),
    ) -> None:
        self.number = number
        self.spns = spns
        self.prefer = prefer
        self.silence_s = silence_s
        self.period_ms = period_ms
        self.whole = whole
        self.group = Group(name, tuple(self.signals()))
        # Flat tuples, because this is walked for each changed frame of the bus.
        self._layout = [
            (spn, spn.first_bit, spn.first_bit + spn.bits, (1 << spn.bits) - 1)
            for spn in spns
            if spn.shape not in TEXTS
        ]
        self._texts = [spn for spn in spns if spn.shape in TEXTS]

    def signals(self) -> list[Signal]:
        """What the group declares."""
        return [spn.signal for spn in (*self.spns, *self.whole) if spn.path and not spn.fallback]

    def key(self, payload: bytes) -> int:
        """What tells messages of one sender apart that say different things: the multiplexer.

        0 where the parameter group has none. Only messages with the same key repeat each other.
        """
        return 0

    def details(self, payload: bytes) -> dict[str, int]:
        """What the multiplexer says, by name (`axle`, `component`); empty where there is none."""
        return {}

    def composer(self) -> Composer | None:
        """A fresh composer for one sender; None where each message stands for itself."""
        return None

    def read(self, payload: bytes) -> list[Reading]:
        """The readings of one message; parameters beyond the end of a short one are left out.

        The reading of a signal made of the whole message (shape `whole`) stands behind that of the
        parameter that it begins with.
        """
        word = int.from_bytes(payload, "little")
        have = len(payload) * 8
        readings = [
            spn.read(word >> first & mask) for spn, first, end, mask in self._layout if end <= have
        ]
        if self._texts:
            readings += [spn.read_text(payload) for spn in self._texts]
        return readings

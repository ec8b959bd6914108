"""A message on its way: what it carries, how often it went out, what speaks against it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from agent.record import StorageClass
from agent.store.rows import Drop, Range, RowHead
from agent.uplink.plan import Priority

STRIKES = 3
"""So often a message is refused, or is not acknowledged while others are, before it is split."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Records `first` to `last` of a row: all of it, unless it had to be split."""

    head: RowHead
    first: int
    last: int

    @classmethod
    def whole(cls, head: RowHead) -> Slice:
        """All records of a row."""
        return cls(head, head.first, head.last)

    @property
    def n(self) -> int:
        """How many records it has."""
        return self.last - self.first + 1

    def halves(self) -> tuple[Slice, Slice]:
        """Two slices of about the same length; there must be two records at least."""
        middle = self.first + self.n // 2
        return Slice(self.head, self.first, middle - 1), Slice(self.head, middle, self.last)


@dataclass(frozen=True, slots=True)
class Cargo:
    """What one message is to carry, before it is encoded.

    `suspect`: a part of what the broker refused. `silences`: what it inherits of that count, as a
    part of what was never acknowledged. `aside`: a single record that was never acknowledged.
    """

    priority: Priority
    epoch: str
    slices: tuple[Slice, ...]
    drops: tuple[Drop, ...] = ()
    suspect: bool = False
    silences: int = 0
    aside: bool = False

    @property
    def n(self) -> int:
        """How many records it has."""
        return sum(part.n for part in self.slices)

    @property
    def runs(self) -> list[Range]:
        """What must be acknowledged for it to be delivered."""
        return [Range(s.first, s.last) for s in self.slices] + [
            Range(d.first, d.last) for d in self.drops
        ]

    @property
    def partial(self) -> bool:
        """Whether it has a part of a row: the rest goes in other messages."""
        return any((s.first, s.last) != (s.head.first, s.head.last) for s in self.slices)

    def halves(self) -> tuple[Cargo, Cargo] | None:
        """The same in two messages, between rows where possible; None for a single record.

        Accounts of drops stay with the first half, and part from a single record.
        """
        if self.n < 2:
            if len(self.drops) + self.n < 2:
                return None
            at = 0 if self.slices else len(self.drops) // 2
            return replace(self, drops=self.drops[:at]), replace(
                self, slices=(), drops=self.drops[at:]
            )
        first: tuple[Slice, ...]
        second: tuple[Slice, ...]
        if len(self.slices) > 1:
            middle = len(self.slices) // 2
            first, second = self.slices[:middle], self.slices[middle:]
        else:
            low, high = self.slices[0].halves()
            first, second = (low,), (high,)
        return (
            replace(self, slices=first),
            replace(self, slices=second, drops=()),
        )


@dataclass(slots=True, eq=False)
class Flight:
    """One message until all it carries is acknowledged.

    `sent_at`, `held_until`: seconds of a monotonic clock; `sent_at` is None while it is to be sent
    (again). `confirmed_at`: since when the broker has it, None while it does not. `cuts`:
    connections in a row that were cut while the broker owed its confirmation. `strikes`: refusals
    that no other message can be blamed for.
    `repeats`: ack timeouts; `silences`: those that later messages had no share in; `vain`: those
    while nothing of its class was acknowledged. `ahead`: bytes that were under way before it when
    it was sent last. `catalogue`: the one that it refers to, None where it names all.
    """

    number: int
    cargo: Cargo
    topic: str
    payload: bytes
    sent_at: float | None = None
    held_until: float = 0.0
    times_sent: int = 0
    message: tuple[int, int] | None = None
    confirmed_at: float | None = None
    cuts: int = 0
    strikes: int = 0
    repeats: int = 0
    silences: int = 0
    vain: int = 0
    ahead: int = 0
    first_sent_at: float | None = None
    catalogue: str | None = None
    runs: list[Range] = field(init=False)

    def __post_init__(self) -> None:
        self.runs = self.cargo.runs
        self.silences = self.cargo.silences
        if self.cargo.suspect:
            self.cuts = 2
            # A half of what was refused three times: one more refusal splits it again.
            self.strikes = STRIKES - 1 if self.cargo.n > 1 else 0

    @property
    def suspect(self) -> bool:
        """Whether it must be sent alone, so that a refusal proves something."""
        return self.cuts >= 2 or self.strikes > 0

    @property
    def storage_class(self) -> StorageClass:
        """Whose topic, quota and budget it uses."""
        return self.cargo.priority.storage_class

    @property
    def unconfirmed(self) -> bool:
        """Sent on the present connection, and not yet answered by the broker."""
        return self.message is not None and self.confirmed_at is None


def rows_of(cargoes: Iterable[Cargo]) -> Iterator[tuple[str, int]]:
    """The keys (epoch, first) of the rows that some cargoes take records from."""
    return ((part.head.epoch, part.head.first) for cargo in cargoes for part in cargo.slices)

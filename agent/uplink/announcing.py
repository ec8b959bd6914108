"""When the far end is told the catalogue, and from when on batches may refer to it. Pure.

Batches name their signals until the far end says that it has the catalogue, so one that never
answers (it is older, it forgets, the topic is closed to us) costs bytes and nothing else. A far end
that lost a catalogue asks for it and withholds its ack meanwhile: the batch comes again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from agent.signals import Catalogue, Group
from agent.uplink.catalogue import Shapes, shapes_of

FIRST_PAUSE_S, LONGEST_PAUSE_S = 60.0, 3_600.0
"""Between two announcements that nobody answered; doubled each time."""
NEEDED_PAUSE_S = 5.0
"""Between two announcements that were asked for."""
LOOK_S = 1.0
DOUBTED = 3
"""So often a batch goes out unanswered before it is doubted that the far end can read it."""
DOUBT_AGAIN_S = 3_600.0
"""One catalogue is doubted so often at most: silence has other causes, and naming costs bytes."""


class _Said(msgspec.Struct):
    have: list[str] = []
    need: list[str] = []


_decoder = msgspec.json.Decoder(_Said)


class Announcing:
    """Used by the pump's thread; `now` is in seconds of one monotonic clock."""

    def __init__(self, catalogue: Catalogue | None) -> None:
        """`catalogue`: what the sources declare, now and later; None: everything is named."""
        self._catalogue = catalogue
        self._seen: tuple[tuple[str, tuple[Group, ...]], ...] = ()
        self._looked_at = -LOOK_S
        self._shapes: Shapes | None = None
        self._had: str | None = None
        self._announced_at = -NEEDED_PAUSE_S
        self._next_at = 0.0
        self._pause_s = FIRST_PAUSE_S
        self._stale = False
        self._doubted_at = float("-inf")

    @property
    def shapes(self) -> Shapes | None:
        """What batches may refer to now; None: they name their signals."""
        shapes = self._shapes
        return shapes if shapes is not None and shapes.name == self._had else None

    def connected(self) -> None:
        """A new connection: what was announced through the last one may never have arrived.

        What the far end once had it is trusted to have; else it asks.
        """
        if self._pause_s <= 2 * FIRST_PAUSE_S:
            self._next_at = 0.0

    def due(self, now: float) -> Shapes | None:
        """The catalogue to publish now; it is taken as published."""
        self._look(now)
        shapes = self._shapes
        if shapes is None or shapes.name == self._had or now < self._next_at:
            return None
        self._announced_at = now
        self._next_at = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        return shapes

    def unsent(self, now: float) -> None:
        """It could not be published after all: the connection is busy or gone."""
        self._next_at = now + LOOK_S
        self._pause_s = max(FIRST_PAUSE_S, self._pause_s / 2)

    def heard(self, payload: bytes) -> bool:
        """Whether an arrived message is about catalogues: `{"have": [hash], "need": [hash]}`."""
        try:
            said = _decoder.decode(payload)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return False
        name = self._shapes.name if self._shapes is not None else ""
        if name in said.have:
            self._had = name
            self._pause_s = FIRST_PAUSE_S
        if name in said.need:
            self._had = None
            self._next_at = min(self._next_at, self._announced_at + NEEDED_PAUSE_S)
        # One that nobody can give it any more: the sources declare something else by now.
        self._stale = self._stale or any(one != name for one in said.need)
        return bool(said.have or said.need)

    def doubtful(self, times_sent: Iterable[int], now: float) -> bool:
        """Doubt that the far end can read what goes unanswered: from now on all is named.

        `times_sent`: how often each message in flight went out that refers to a catalogue. True
        where it asked for one that nobody can give it any more: none of these can be read.
        """
        stale, self._stale = self._stale, False
        unheard = self._had is not None and any(n >= DOUBTED for n in times_sent)
        if unheard and now - self._doubted_at >= DOUBT_AGAIN_S:
            self._doubted_at = now
            self._had = None
            self._next_at = min(self._next_at, self._announced_at + NEEDED_PAUSE_S)
        return stale

    def _look(self, now: float) -> None:
        """Drivers come and go, and may declare something new."""
        if self._catalogue is None or now - self._looked_at < LOOK_S:
            return
        self._looked_at = now
        seen = tuple((s, self._catalogue.groups(s)) for s in self._catalogue.sources())
        if seen == self._seen:
            return
        self._seen = seen
        self._shapes = shapes_of(_flat(seen))
        self._next_at, self._pause_s = now, FIRST_PAUSE_S
        self._doubted_at = float("-inf")


def _flat(declared: tuple[tuple[str, tuple[Group, ...]], ...]) -> Iterator[tuple[str, Group]]:
    return ((source, group) for source, groups in declared for group in groups)

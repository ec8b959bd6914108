"""Single records that the broker takes and the far end never acknowledges. Pure.

They are kept in the outbox, out of everybody's way, and one of them is tried now and then. Once one
is acknowledged after all, the far end was mended, and all of them go again. What the quota drops
meanwhile has its account as ever.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from agent.uplink.flight import Cargo

FIRST_PAUSE_S, LONGEST_PAUSE_S = 60.0, 3_600.0
"""Between two tries; doubled each time."""
MAX_ASIDE = 1_000
"""Beyond that it is no matter of single records."""
TOGETHER = 100
"""Records in one message once they go again."""


class Aside:
    """`now` is in seconds of one monotonic clock."""

    def __init__(self, acknowledged: Callable[[Cargo], bool]) -> None:
        """`acknowledged`: whether the far end has all that a cargo carries."""
        self._acknowledged = acknowledged
        self._pause_s = FIRST_PAUSE_S
        self._tried_at = float("-inf")
        self._trying = False
        self.kept: list[Cargo] = []
        """The next one to be tried first; each has one record, or one account of drops."""

    @property
    def full(self) -> bool:
        """Whether there are as many as one can keep an eye on."""
        return len(self.kept) >= MAX_ASIDE

    @property
    def problem(self) -> str | None:
        """What people must know, None where there is none."""
        if not self.kept:
            return None
        first = self.kept[0].runs[0].first
        others = f" and {len(self.kept) - 1} more" if len(self.kept) > 1 else ""
        return (
            f"record {first}{others} never acknowledged: kept and tried again; "
            "see what the cloud application says of it"
        )

    def keep(self, cargo: Cargo, now: float) -> None:
        """Take a single record out of everybody's way."""
        if not self.kept:
            self._tried_at, self._pause_s = now, FIRST_PAUSE_S
        self.kept.append(replace(cargo, suspect=False, aside=True))

    def connected(self, now: float) -> None:
        """A new connection: behind it may be another far end."""
        if now - self._tried_at >= FIRST_PAUSE_S:
            self._tried_at = float("-inf")

    def due(self, now: float) -> Cargo | None:
        """One to be tried now."""
        if self._trying or not self.kept or now - self._tried_at < self._pause_s:
            return None
        self._trying, self._tried_at = True, now
        return self.kept[0]

    def unheard(self, now: float, *, mute: bool) -> None:
        """It was not acknowledged; `mute`: nothing else was either, which is another matter."""
        self._trying, self._tried_at = False, now
        if not mute:
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        self.kept.append(self.kept.pop(0))

    def heard(self, *, under_way: bool) -> list[Cargo]:
        """What is to go again, since one of them was acknowledged.

        `under_way`: whether the one that is tried still is; what is not, and was not acknowledged,
        is gone from the outbox.
        """
        open_ones = [cargo for cargo in self.kept if not self._acknowledged(cargo)]
        healed = len(open_ones) < len(self.kept)
        if self._trying and not under_way:
            self._trying = False
            if not healed:
                open_ones.pop(0)
        if not healed:
            self.kept = open_ones
            return []
        self.kept, self._trying = [], False
        return _together(open_ones)


def _together(cargoes: list[Cargo]) -> list[Cargo]:
    """Few messages of many records; accounts of drops are planned anew."""
    found: list[Cargo] = []
    for one in sorted(cargoes, key=lambda c: (c.priority, c.epoch, c.runs[0].first)):
        if not one.slices:
            continue
        last = found[-1] if found else None
        if last and (last.priority, last.epoch) == (one.priority, one.epoch) and last.n < TOGETHER:
            found[-1] = replace(last, slices=last.slices + one.slices)
        else:
            found.append(replace(one, aside=False, silences=1))
    return found

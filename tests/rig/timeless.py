"""The FMS driver without its rules about time: what it states then follows from the frames alone.

No repetition is left out, no sender is given up for its silence, no transport session times out.
So two runs over the same frames at different speeds must state the same, in the same order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from unittest import mock

from drivers.codecs import j1939
from drivers.fms_j1939 import receiver, senders
from drivers.fms_j1939.receiver import Receiver, Statement
from drivers.fms_j1939.table import PGNS

NEVER_S = 1e9
NEVER_MS = 10**12


@contextmanager
def timeless() -> Iterator[Receiver]:
    """A receiver that knows no time, valid in this context."""
    with (
        mock.patch.object(receiver, "REPEAT_MS", 0),
        mock.patch.object(j1939, "T1_S", NEVER_S),
        mock.patch.object(j1939, "T2_S", NEVER_S),
        # Who is believed then follows from rank and order alone; jumps are a matter of speed.
        mock.patch.object(senders, "HOLD_MS", NEVER_MS),
        mock.patch.object(senders, "STEADY_MS", 0),
    ):
        kept = {pgn: pgn.silence_s for pgn in PGNS.values()}
        for pgn in kept:
            pgn.silence_s = NEVER_S
        try:
            yield Receiver(guards={})
        finally:
            for pgn, silence_s in kept.items():
                pgn.silence_s = silence_s


def lines(said: Iterable[tuple[int, list[Statement]]]) -> Iterator[str]:
    """Each statement as a line of JSON, without its time."""
    for _, statements in said:
        for group, values, states in statements:
            yield json.dumps([group.name, values, states])

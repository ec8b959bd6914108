"""What the first message of a connection tells beside its records, and when it is told again."""

from __future__ import annotations

from uplink_rows import EPOCH, OTHER_EPOCH, drop

from agent.store.rows import Drop
from agent.uplink.foretelling import AGAIN_S, NOTHING, Foretelling, Foretold


class Source:
    def thinned(self, epoch: str) -> list[Drop]:
        return [drop(1, 9, epoch)]

    def settled(self, epoch: str) -> int:
        return 17


def test_once_a_connection_and_epoch_and_again_after_a_while() -> None:
    told = Foretelling()
    asked = [
        (1, EPOCH, 0.0, True),
        (1, EPOCH, 1.0, False),
        (1, OTHER_EPOCH, 1.0, True),
        (1, EPOCH, AGAIN_S - 0.1, False),
        (1, EPOCH, AGAIN_S, True),
        (1, EPOCH, AGAIN_S + 1, False),
        (2, EPOCH, AGAIN_S + 2, True),
    ]
    for generation, epoch, now, due in asked:
        want = Foretold([drop(1, 9, epoch)], 17) if due else NOTHING
        assert told.due(generation, epoch, Source(), now) == want
        told.told(epoch, now)


def test_what_was_not_sent_is_still_due() -> None:
    told = Foretelling()
    assert told.due(1, EPOCH, Source(), 0.0) == told.due(1, EPOCH, Source(), 1.0) != NOTHING

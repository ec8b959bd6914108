"""Large records among small ones, which a broker may refuse, hang up on, or swallow."""

from __future__ import annotations

from tests.faults.world import World

PAD_BYTES = 4_000


def padded(world: World, each: int, n: int) -> int:
    """Every `each`-th number has PAD_BYTES beside it, about `n` times; the last number before."""
    feeder = world.feeders["count"]
    feeder.tell(f"pad_each {each}")
    feeder.tell(f"pad {PAD_BYTES}")
    begun = feeder.emitted()
    world.until(lambda: feeder.emitted() >= begun + n * each, "some are emitted")
    feeder.tell("pad 0")
    return begun

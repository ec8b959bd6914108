"""Power cuts between the steps of a signed command: at most one effect, one answer, no way back."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from tests.rig.ordered import Ordered
from tests.rig.rig import Rig


@dataclass(frozen=True)
class Moment:
    """The power goes at a call of `point`; `used`: the counter of the order is on flash by then.

    `effects`: dumps made over all lives; `state`: how it ends.
    """

    point: str
    used: bool
    effects: int
    state: str


MOMENTS = [
    Moment("agent.commands.gate:Gate.admit:after", False, 1, "done"),  # no intent yet
    Moment("agent.store.counter_mark:write:before", False, 1, "done"),  # half of one: none
    Moment("agent.store.counter_mark:write:after", True, 0, "unknown"),
    Moment("agent.store.journal:Journal.intend:after", True, 0, "unknown"),
    Moment("agent.commands.outgoing:Outgoing.send:before", True, 1, "unknown"),  # the effect was
    Moment("agent.store.journal:Journal.finish:before", True, 1, "unknown"),  # its file is here
    Moment("agent.store.journal:Journal.finish:after", True, 1, "done"),  # not said yet
    Moment("agent.store.journal:Journal.told:before", True, 1, "done"),  # said, on flash
]
TRIALS = [
    "agent.commands.trial:ConfigTrial._apply:before",  # on trial, the file is the old one
    "agent.commands.trial:ConfigTrial._apply:after",  # the new one, not read yet
]


@pytest.mark.timeout(60 + 60 * len(MOMENTS))
@pytest.mark.rig("A4-commands", "power cut between two steps of a command: at most one effect")
def test_an_order_is_cut_between_its_steps(rig: Rig) -> None:
    ordered, wanted = Ordered(rig), list[tuple[str, int, Moment]]()
    owner = ordered.owner
    for seconds, moment in enumerate(MOMENTS, 1):
        ordered.boot(moment.point)
        for cid, before, past in wanted[-1:]:
            assert ordered.replayed(cid) == {past.state}, past
            assert owner.dumped(before) == past.effects, past
        cid, message = owner.dump_of("fms", seconds)
        journal, mark = ordered.cut_where_it_stands(cid, message)
        assert (mark == int(cid)) is moment.used, (moment, journal, mark)
        wanted.append((cid, seconds, moment))
    ordered.boot()
    for cid, seconds, moment in wanted:
        assert ordered.replayed(cid) == {moment.state}, moment
        assert owner.dumped(seconds) == moment.effects, moment
    ordered.end(rig, len(MOMENTS))
    assert all(owner.dumped(seconds) == moment.effects for _, seconds, moment in wanted)


@pytest.mark.rig("A4-commands", "power cut between two steps of a command: at most one effect")
def test_a_change_is_cut_between_its_steps(rig: Rig) -> None:
    ordered = Ordered(rig)
    owner, machine = ordered.owner, lambda: ordered.journey.machine
    before, past = "", 0.0
    for linger_s, point in enumerate(TRIALS, 2):
        ordered.boot(point)
        if before:
            assert ordered.replayed(before) == {"done"}
            assert f"linger_s = {past:.1f}" in machine().shell("cat /data/conf.d/zz-remote.toml")
        claims = owner.claims("config.set", {"set": {"uplink.linger_s": float(linger_s)}})
        message = owner.signed(json.dumps(claims).encode())
        before, past = str(claims["cid"]), float(linger_s)
        journal, mark = ordered.cut_where_it_stands(before, message)
        assert journal == mark == int(before)
    ordered.boot()
    assert ordered.replayed(before) == {"done"}
    text = machine().shell("cat /data/conf.d/zz-remote.toml; ls -a /data/conf.d")
    assert f"linger_s = {past:.1f}" in text and ".zz-remote.before" not in text
    ordered.end(rig, len(TRIALS))

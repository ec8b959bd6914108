"""Power cuts under load: GNSS and the bus at full rate, accepted records flowing, then darkness."""

from __future__ import annotations

import os

import pytest

from tests.books import accepted_in
from tests.rig.journey import SRC, Journey
from tests.rig.rig import Rig

EVERYTHING = os.environ.get("BRAIN_RIG_ALL") == "1"
CUTS = int(os.environ.get("BRAIN_RIG_CUTS", "20")) if EVERYTHING else 1
READY_S = 10.0
BROWN_OUTS = 4


@pytest.mark.timeout(60 + 40 * CUTS)
@pytest.mark.rig("A4", "power cut under load: what was accepted is delivered, once", slice=True)
def test_power_cuts_under_load(rig: Rig) -> None:
    journey = Journey(rig, seed=int(os.environ.get("BRAIN_RIG_SEED", "7")))
    chance = journey.random
    for cut in range(CUTS):
        journey.boot(link=chance.random() < 0.7)
        journey.hears()
        journey.accepts(chance.randint(10, 30))
        journey.link(chance.choice(["up", "up", "down"]))
        journey.cut(chance.random() * 0.5)
        assert not journey.on_disk().wrong, f"cut {cut + 1}, seed {journey.seed}"
    onboard = journey.boot()
    journey.hears()
    journey.accepts(10)
    journey.drives(6)
    found, audit = journey.arrive()
    verify, verdict = onboard.verify(), journey.judge()
    rig.note_books(found, runs=CUTS)
    rig.note(heal_ms=round(max(journey.ready_s) * 1000), facts=sum(verdict["facts"].values()))
    told = f"seed {journey.seed}: {found}, {audit}, {verify}, {verdict}"
    assert found.lost == 0 and found.invented == 0, told
    assert audit["balanced"] and audit["gaps"] == 0 and audit["queued"] == 0, told
    assert verify["problems"] == [], told
    assert verdict["missing"] == 0 and verdict["invented"] == 0, told
    # Each of them on a machine of its own; where others share it, one may wait for its turn.
    assert max(journey.ready_s) < READY_S, journey.ready_s


@pytest.mark.rig("A7", "brown-out: power cuts while the agent starts, a backlog on flash")
def test_brown_out(rig: Rig) -> None:
    journey = Journey(rig)
    journey.boot(link=False)
    journey.hears()
    journey.accepts(20)
    journey.cut()
    for cycle in range(BROWN_OUTS):
        journey.boot(ready=False)
        # Anywhere between the first line of Python and the first records on flash.
        journey.cut(journey.random.random() * 4.0)
        found = journey.on_disk()
        assert not found.wrong, f"cycle {cycle + 1}, seed {journey.seed}: {found.wrong}"
    onboard = journey.boot()
    journey.hears()
    found, audit = journey.arrive()
    rig.note_books(found, runs=BROWN_OUTS + 1)
    rig.note(heal_ms=round(journey.ready_s[-1] * 1000))
    assert max(journey.ready_s) < READY_S, journey.ready_s
    assert found.lost == 0 and found.invented == 0, f"{found}, {audit}"
    assert audit["balanced"] and audit["queued"] == 0 and not onboard.verify()["problems"], audit


@pytest.mark.rig("A4-control", "without fsync the check after each cut finds the loss")
def test_power_cut_with_synchronous_off_is_found(rig: Rig) -> None:
    journey = Journey(rig)
    # What waits for the link is on flash alone: nothing of it can have reached the cloud.
    journey.boot(link=False, env={"PYTHONPATH": f"{SRC}/broken/synchronous_off"})
    journey.hears()
    journey.accepts(20)
    journey.cut()
    accepted = sum(accepted_in(journey.logs).values())
    # The loss is the broken agent's: it is what the check must find, not a figure of the product.
    rig.note(runs=1, delivered=0, dropped=0, lost=0, invented=0, lost_without_fsync=accepted)
    assert any("accepted and neither" in text for text in journey.on_disk().wrong)

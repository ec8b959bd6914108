"""A journey whose owner gives orders: over many boots, each of which the broker outlives."""

from __future__ import annotations

import time

from tests.rig.journey import SRC, Journey
from tests.rig.onboard import STATE
from tests.rig.owner import Owner, counted
from tests.rig.rig import Rig

BIND = "mkdir -p /data/conf.d /rig/conf.d; mount --bind /data/conf.d /rig/conf.d"
"""Changes from afar are written beside the configuration, which here is a file of the host's."""


class Ordered:
    """A journey whose owner gives orders, and what each of them has to come to."""

    def __init__(self, rig: Rig, *, megabytes: int = 64) -> None:
        # The owner signs by the date that the vehicle's receiver tells.
        now_ms = time.time_ns() // 1_000_000
        self.journey = Journey(rig, megabytes=megabytes, utc_ms=now_ms)
        self.owner = Owner(self.journey.world, rig.directory / "shore")
        self.journey.more = self.owner.sections
        self.journey.share = [(self.owner.shore, "/shore")]
        self.sent: dict[str, bytes] = {}
        self.counter = 0

    def boot(self, point: str = "", prepare: str = BIND) -> None:
        """Switch on an agent that will stand still at `point`, and wait until it hears orders."""
        env = {"PYTHONPATH": f"{SRC}/broken/stands"}
        if point:
            env["BRAIN_RIG_STAND"] = point
        self.owner.disarm()
        self.journey.boot(env=env, prepare=prepare)
        self.journey.hears()
        self.journey.says("uplink up")
        if not self.owner.vehicle_key:
            self.owner.vehicle_key = self.journey.machine.shell(f"cat {STATE}/reply.key")

    def replayed(self, cid: str) -> set[str]:
        """The broker gives an order again, twice; in which states it ends."""
        for _ in range(2):
            self.owner.send(self.sent[cid])
        self.journey.machine.until(
            lambda: self.owner.final(cid), f"{cid} is answered", also=lambda: self.journey.log
        )
        return self.owner.final(cid)

    def cut_where_it_stands(self, cid: str, message: bytes) -> tuple[int, int]:
        """Give an order, cut the power; how far journal and mark on the disk have counted."""
        self.sent[cid] = message
        self.owner.arm()
        self.owner.send(message)
        self.journey.machine.until(self.owner.stands, cid, also=lambda: self.journey.log)
        self.journey.accepts(5)
        self.journey.cut()
        found = self.journey.on_disk()
        assert not found.wrong, f"{cid}: {found.wrong}"
        journal, mark = counted(self.journey.state)
        assert journal >= self.counter and mark >= self.counter, "a counter went back"
        self.counter = max(journal, mark)
        return journal, mark

    def end(self, rig: Rig, runs: int) -> None:
        """All of it once more, then the books of the journey."""
        answers = {cid: self.owner.replies()[cid] for cid in self.sent}
        for cid, message in self.sent.items():
            self.owner.send(message)
            assert len({said["state"] for said in answers[cid]} - {"trial"}) == 1, answers[cid]
        other, message = self.owner.dump_of("fms", 60)
        self.owner.send(message)
        machine = self.journey.machine
        machine.until(lambda: self.owner.final(other) == {"done"}, "the next one is done")
        found, audit = self.journey.arrive()
        assert self.owner.dumped(60) == 1
        again = {cid: self.owner.replies()[cid] for cid in self.sent}
        assert again == answers, "a replayed order was answered anew"
        rig.note_books(found, runs=runs)
        assert found.lost == 0 and found.invented == 0, found
        assert audit["balanced"] and audit["queued"] == 0, audit

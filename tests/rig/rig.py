"""What a test of the rig is given: guests, disks, serial lines, a world outside, a note book."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import Any

from simulator.emission import NO_FAULTS, ActiveFaults
from tests.books import Books
from tests.rig.feed import Feed
from tests.rig.machine import Boot, Machine
from tests.rig.network import Network, World, world
from tests.rig.place import Place, place


class Rig:
    """Makes the parts and ends all of them, whatever became of the test.

    `figures` goes into the report: see tests/report.py.
    """

    def __init__(self, directory: Path) -> None:
        """Raises NoRig where the rig cannot be built."""
        self.directory = directory
        self.place: Place = place()
        self.figures: dict[str, Any] = {}
        self.machines: list[Machine] = []
        self._ends = contextlib.ExitStack()
        self._world: World | None = None

    def boot(self, **how: Any) -> Machine:
        """Switch a guest on: see tests.rig.machine.Boot. Raises NoRig, GuestFailed."""
        machine = Machine(self.place, Boot(**how))
        self.machines.append(machine)
        self._ends.callback(machine.close)
        return machine

    def disk(self, name: str = "disk", megabytes: int = 256, *, formatted: bool = True) -> Path:
        """A disk image, ext4 unless it is to be raw. It outlives power cuts."""
        path = self.directory / name
        with path.open("wb") as image:
            image.truncate(megabytes * 1024 * 1024)
        if formatted:
            subprocess.run(
                ["/sbin/mke2fs", "-q", "-t", "ext4", "-F", str(path)],
                check=True,
                capture_output=True,
            )
        return path

    def world(self) -> World:
        """Network, broker and cloud end outside the guest; one of each a test."""
        if self._world is None:
            self._world = self._ends.enter_context(world(self.directory))
        return self._world

    @property
    def has_cloud(self) -> bool:
        """Whether a cloud end books what a guest sends."""
        return self._world is not None

    def network(self) -> Network:
        """A network that nobody else is in."""
        network = Network()
        self._ends.callback(network.close)
        return network

    def feed(self, seed: int = 7, *, faults: ActiveFaults = NO_FAULTS, **how: Any) -> Feed:
        """A vehicle that speaks on serial lines, not yet started. `how`: see Feed."""
        feed = Feed(seed, faults=faults, **how)
        self._ends.callback(feed.close)
        return feed

    def note(self, **figures: Any) -> None:
        """Figures for the report."""
        self.figures.update(figures)

    def note_for(self, identity: str, **figures: Any) -> None:
        """Figures of one id, in a test that has several."""
        self.figures.setdefault("by_id", {}).setdefault(identity, {}).update(figures)

    def note_books(self, found: Books, *, runs: int) -> None:
        """The five figures of the books."""
        self.note(
            runs=runs,
            accepted=found.accepted,
            delivered=found.delivered,
            dropped=found.dropped,
            lost=found.lost,
            invented=found.invented,
        )

    def close(self) -> None:
        """End everything."""
        self._ends.close()

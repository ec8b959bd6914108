"""What the sources declared: restored at the start, asked while running."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from agent.ingest_check import decode_groups
from agent.processors.thin import Thin
from agent.signals import Catalogue, Group


class Declared:
    """The catalogue, and the thinning rules that follow from it."""

    def __init__(self, catalogue: Catalogue, thin: Thin) -> None:
        self._catalogue = catalogue
        self._thin = thin

    def restore(self, stored: Mapping[str, bytes], own: str, groups: Sequence[Group]) -> None:
        """What drivers declared before the start, and what the agent states as source `own`."""
        for source, encoded in stored.items():
            self._declare(source, decode_groups(encoded))
        self._declare(own, groups)

    def _declare(self, source: str, groups: Sequence[Group]) -> None:
        self._catalogue.declare(source, groups)
        self._thin.declare(source, groups)

    def group_of(self, source: str, paths: Collection[str]) -> Group | None:
        """The group in which `source` declared any of `paths`."""
        for path in paths:
            found = self._catalogue.find(source, path)
            if found is not None:
                return found[0]
        return None

    def unit(self, source: str, path: str) -> str:
        """The unit of a signal, empty where it has none or is unknown."""
        found = self._catalogue.find(source, path)
        return found[1].unit if found else ""

"""Where and when a simulated bus drives, if not on the route that ships."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.route import Route


@dataclass(frozen=True)
class Journey:
    """A route with the UTC of world second 0 and the offset of its local time from UTC."""

    name: str
    route: Route
    utc_start_ms: int
    local_offset_min: int

"""Entry points `brain.drivers` to classes; the core has no list of drivers."""

from __future__ import annotations

import difflib
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from agent.sdk import Driver

GROUP = "brain.drivers"


class UnknownDriverType(Exception):
    """No installed package offers a driver of that type."""


class BrokenDriver(Exception):
    """The package that offers the type does not import, or what it offers is no Driver."""


def available() -> dict[str, str]:
    """Type -> module of each driver that is installed; nothing is imported."""
    return {name: point.module for name, point in sorted(_points().items())}


def load(type_name: str) -> type[Driver[Any]]:
    """The driver class of a type. Raises UnknownDriverType or BrokenDriver."""
    points = _points()
    if type_name not in points:
        near = difflib.get_close_matches(type_name, points, n=1)
        hint = f'did you mean "{near[0]}"? ' if near else ""
        raise UnknownDriverType(
            f'unknown driver type "{type_name}", {hint}installed: {", ".join(sorted(points))}'
        )
    point = points[type_name]
    try:
        found = point.load()
    except Exception as error:
        raise BrokenDriver(
            f'driver type "{type_name}" ({point.value}) does not load: '
            f"{type(error).__name__}: {error}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Driver)):
        raise BrokenDriver(f'driver type "{type_name}": {point.value} is no Driver')
    return found


def _points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}

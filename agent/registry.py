"""Driver types: entry points `brain.drivers` to classes. The core has no list of drivers.

A package registers its drivers with

    [project.entry-points."brain.drivers"]
    my_device = "my_package.driver:MyDevice"
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.sdk import Driver, DriverConfig, Group

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINTS = "brain.drivers"


class UnknownDriver(LookupError):
    """No installed package registers this type; the text names the nearest one and all others."""

    def __str__(self) -> str:
        return str(self.args[0])


class BrokenPlugin(Exception):
    """A registered driver type cannot be used; the text names its package and the error."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A driver type as its package registers it. Nothing of the package was imported."""

    type: str
    target: str
    """`module:Class`."""
    package: str
    """Name of the distribution."""
    version: str


def available() -> Mapping[str, Registered]:
    """All driver types by name, sorted. Imports none of them."""
    return {name: rivals[0][0] for name, rivals in sorted(_entries().items())}


def find(type_name: str) -> Registered:
    """Who registers `type_name`. Raises UnknownDriver, BrokenPlugin where two packages do."""
    return _entry(type_name)[0]


def load(type_name: str) -> type[Driver[Any]]:
    """The class of `type_name`; imports that one only.

    Raises UnknownDriver where nobody registers it, BrokenPlugin where two packages do, where it
    does not import or is no driver.
    """
    registered, entry = _entry(type_name)
    who = f"driver type {type_name!r} of package {registered.package} {registered.version}"
    try:
        found = entry.load()
    # A plug-in may do anything at import, `sys.exit` included; its user needs one line.
    except (Exception, SystemExit) as error:
        raise BrokenPlugin(
            f"{who} cannot be imported: {registered.target}: {type(error).__name__}: {error}. "
            f"Repair or reinstall the package {registered.package}"
        ) from error
    fault = _fault(found)
    if fault:
        raise BrokenPlugin(f"{who}: {registered.target} {fault}")
    return found  # type: ignore[no-any-return]


def _fault(found: object) -> str:
    """What keeps `found` from being a driver class; empty where nothing does."""
    if not (isinstance(found, type) and issubclass(found, Driver)):
        return "is not a class derived from agent.sdk.Driver"
    model = getattr(found, "config_model", None)
    if not (isinstance(model, type) and issubclass(model, DriverConfig)):
        return "has no config_model derived from agent.sdk.DriverConfig"
    groups = getattr(found, "groups", None)
    if not isinstance(groups, tuple) or not all(isinstance(group, Group) for group in groups):
        return "has no groups: expected a tuple of agent.sdk.Group"
    if len({group.name for group in groups}) != len(groups):
        return "declares two groups of one name"
    if getattr(found, "__abstractmethods__", None):
        return f"does not define {', '.join(sorted(found.__abstractmethods__))}"
    return ""


def _entry(type_name: str) -> tuple[Registered, EntryPoint]:
    entries = _entries()
    rivals = entries.get(type_name, [])
    if len(rivals) == 1:
        return rivals[0]
    if rivals:
        owners = " and ".join(f"{one.package} ({one.target})" for one, _ in rivals)
        raise BrokenPlugin(
            f"driver type {type_name!r} is registered by {owners}. Uninstall all but one"
        )
    known = sorted(entries)
    near = difflib.get_close_matches(type_name, known, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    listed = f"Installed: {', '.join(known)}" if known else "No driver package is installed"
    raise UnknownDriver(f"unknown driver type {type_name!r}. {hint}{listed}")


def _entries() -> dict[str, list[tuple[Registered, EntryPoint]]]:
    """Who registers what. One package seen twice on the path counts once."""
    # Here, not above: the parser of package metadata costs 20 ms and 2 MB that only this needs.
    from importlib.metadata import entry_points

    found: dict[str, list[tuple[Registered, EntryPoint]]] = {}
    for entry in entry_points(group=ENTRY_POINTS):
        package = entry.dist.name if entry.dist else "?"
        version = entry.dist.version if entry.dist else "?"
        rivals = found.setdefault(entry.name, [])
        if all(entry.value != other.target for other, _ in rivals):
            rivals.append((Registered(entry.name, entry.value, package, version), entry))
    return found

"""What a configuration means for a coordinator that runs: what applies at once, what waits."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agent.config_models import Config
from agent.config_secrets import reveal
from agent.config_store import Store
from agent.record import StorageClass
from agent.store.limits import Limits
from agent.uplink.budget import BudgetConfig
from agent.uplink.settings import UplinkConfig

FIXED = (
    ("vehicle", "id"),
    ("agent", "run_dir"),
    ("agent", "state_dir"),
    ("store", "quota_mb"),
    ("store", "files_mb"),
    ("store", "quota_hours"),
    ("store", "quota_records"),
    ("store", "thin_history"),
)
"""Read once at the start: where records go and what they are called must not change under them."""


class Source(Protocol):
    """Where the configuration comes from. `refused`: what is wrong with its files at the start."""

    refused: Sequence[str]

    def reread(self) -> Config:
        """Read it again, for a reload. Raises ConfigInvalid."""
        ...

    def keep(self) -> None:
        """It runs: start with it once more where the files are no good."""
        ...


@dataclass(frozen=True, slots=True)
class Changes:
    """Dotted keys, sorted. `config` is what runs from now on: the new one with the old values of
    `waiting`, the keys that need a restart of the coordinator. `drivers`: names of those whose
    section changed; each reads it in its own process, here it is what status shows."""

    config: Config
    applied: tuple[str, ...]
    waiting: tuple[str, ...]
    drivers: tuple[str, ...]

    @property
    def uplink(self) -> bool:
        """Whether the session with the broker has to begin anew."""
        return any(key.startswith(("uplink.", "budget.", "commands.")) for key in self.applied)

    def __str__(self) -> str:
        """For the log."""
        said = [f"applied: {', '.join(self.applied)}"] if self.applied else []
        if self.waiting:
            said.append(f"needs a restart of the coordinator: {', '.join(self.waiting)}")
        if self.drivers:
            said.append(f"for a reload of the drivers: {', '.join(self.drivers)}")
        return "; ".join(said) or "nothing changed"


def compare(running: Config, read: Config) -> Changes:
    """What differs, and what to go on with."""
    before, after = running.model_dump(by_alias=True), read.model_dump(by_alias=True)
    keys = sorted(_different(before, after, ()))
    waiting = [key for key in keys if any(key[: len(fixed)] == fixed for fixed in FIXED)]
    for section, key in FIXED:
        after[section][key] = before[section][key]
    return Changes(
        Config.model_validate(after),
        tuple(".".join(key) for key in keys if key not in waiting and key[0] != "drivers"),
        tuple(".".join(key) for key in waiting),
        tuple(dict.fromkeys(key[1] for key in keys if key[0] == "drivers")),
    )


def store_limits(store: Store) -> Limits:
    """Section [store] as the outbox takes it."""
    hours, records = store.quota_hours.model_dump(), store.quota_records.model_dump()
    thin = {"10s, 60s": (10, 60), "10s": (10,), "off": ()}[store.thin_history]
    return Limits(
        {StorageClass(name): mb * 1_000_000 for name, mb in store.quota_mb.model_dump().items()},
        {StorageClass(name): limit for name, limit in records.items() if limit},
        {StorageClass(name): limit for name, limit in hours.items() if limit},
        thin,
    )


def uplink_settings(config: Config) -> UplinkConfig:
    """Section [uplink] with its secrets resolved. Raises SecretUnavailable."""
    section = config.uplink.model_dump()
    for key in ("username", "password"):
        section[key] = reveal(section[key], os.environ) or None
    return UplinkConfig(**section)


def budget_settings(config: Config) -> BudgetConfig:
    """Section [budget] as the uplink takes it: nothing makes previews yet, no step stops them."""
    section = config.budget.model_dump(exclude={"unmetered", "previews_off_percent"})
    return BudgetConfig(**section, unmetered=tuple(config.budget.unmetered.interfaces))


def _different(
    one: Mapping[str, Any], other: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[str, ...]]:
    for key in one.keys() | other.keys():
        a, b = one.get(key), other.get(key)
        if a == b:
            continue
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from _different(a, b, (*path, key))
        else:
            yield (*path, key)

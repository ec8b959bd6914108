"""TOML with drop-ins and an overlay to typed config; every error with its place and its cure."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from agent.config_arbitration import contradictions, unknown_sources
from agent.config_budget import BudgetSection
from agent.config_budget_steps import budget_problems
from agent.config_command_keys import command_problems
from agent.config_commands import Commands
from agent.config_drivers import driver_config, driver_sections, validate_driver
from agent.config_files import (
    DEFAULT_FILE,
    PATH_KEYS,
    SECRET_KEYS,
    Place,
    Section,
    Tree,
    leaves,
    read,
)
from agent.config_models import Agent, Config, Uplink, Vehicle
from agent.config_places import make_run_directory, run_directory, state_directory
from agent.config_problems import (
    ConfigInvalid,
    Problem,
    bad_value,
    did_you_mean,
    missing_key,
    node_at,
    render,
    toml_value,
)
from agent.config_secrets import SecretUnavailable, is_reference, reveal
from agent.config_store import Quota, Store
from agent.config_text import KeyPath
from agent.profiles import faults

__all__ = [
    "DEFAULT_FILE",
    "Agent",
    "Config",
    "ConfigInvalid",
    "Loaded",
    "Place",
    "Problem",
    "Quota",
    "SecretUnavailable",
    "Section",
    "Store",
    "Tree",
    "Uplink",
    "Vehicle",
    "config_schema",
    "driver_config",
    "leaves",
    "load",
    "make_run_directory",
    "read",
    "render",
    "reveal",
    "run_directory",
    "state_directory",
    "validate_driver",
    "validated",
]


@dataclass(slots=True)
class Loaded:
    """What the files say. `config` is None where there are problems.

    `sections` are the driver sections that can be validated against their class. `notes` are things
    that only the service itself can know.
    """

    tree: Tree
    config: Config | None
    problems: list[Problem]
    notes: list[Problem] = field(default_factory=list)
    sections: dict[str, Section] = field(default_factory=dict)

    def require(self) -> Config:
        """The config. Raises ConfigInvalid."""
        if self.config is None or self.problems:
            raise ConfigInvalid(self.problems)
        return self.config

    def origin(self, path: KeyPath) -> Place | None:
        """Where the value of a key was set, None for a default."""
        return self.tree.places.get(path)


def load(
    main: Path,
    *,
    environ: Mapping[str, str] | None = None,
    contents: Mapping[Path, str] | None = None,
) -> Loaded:
    """Read and validate all sections but the options of drivers. Never raises.

    `contents` are texts that stand for files, see `read`.
    """
    return validated(read(main, contents), environ=environ)


def validated(tree: Tree, *, environ: Mapping[str, str] | None = None) -> Loaded:
    """What is right and wrong with what was read. Never raises."""
    problems = list(tree.problems)
    sections, driver_problems = driver_sections(tree)
    config: Config | None = None
    try:
        config = Config.model_validate(tree.values)
    except ValidationError as error:
        problems += _translate(tree, error)
    problems += driver_problems
    loaded = Loaded(tree, config, problems, sections=sections)
    _check_files(loaded)
    if config is not None:
        heading = config.arbitration.heading
        problems += contradictions(tree, heading.moving_kmh, heading.standing_kmh)
        loaded.notes += unknown_sources(tree, sections)
    problems += budget_problems(tree, _own(tree, "budget", BudgetSection))
    problems += command_problems(tree, _own(tree, "commands", Commands))
    _check_profile(loaded)
    _check_secrets(loaded, os.environ if environ is None else environ)
    order = {str(path): at for at, path in enumerate(tree.files)}
    problems.sort(key=lambda problem: (order.get(problem.file, -1), problem.line or 0))
    if problems:
        loaded.config = None
    return loaded


_Own = TypeVar("_Own", bound=BaseModel)


def _own(tree: Tree, name: str, model: type[_Own]) -> _Own:
    """A section, also where another one is wrong; its defaults where it is wrong itself."""
    try:
        return model.model_validate(tree.values.get(name, {}))
    except ValidationError:
        return model()


@cache
def config_schema() -> dict[str, Any]:
    """JSON Schema of the coordinator's sections."""
    return Config.model_json_schema(by_alias=True)


def _translate(tree: Tree, error: ValidationError) -> list[Problem]:
    """pydantic's errors in our words."""
    schema = config_schema()
    problems = []
    for item in error.errors(include_url=False, include_context=False):
        path: KeyPath = tuple(item["loc"])
        if path[0] == "drivers":
            continue
        node = node_at(schema, path)
        if item["type"] == "extra_forbidden":
            known = node_at(schema, path[:-1]).get("properties", {})
            fix = did_you_mean(str(path[-1]), known)
            problems.append(tree.problem(path, "unknown key", fix))
        elif path[-1] == "[key]":
            text = f"got {toml_value(path[-2])}, expected a name of 1 to 64 letters, digits, "
            problems.append(tree.problem(path[:-1], text + '"_", "-" or "."', "rename it"))
        elif item["type"] == "missing":
            # Where a file could not be read, what it says is unknown, not missing.
            if not tree.broken:
                if node.get("type") == "object":
                    path, node = (*path, "id"), node["properties"]["id"]
                problems.append(tree.problem(path, *missing_key(path, node)))
        else:
            problems.append(tree.problem(path, *bad_value(path, item["input"], node)))
    return problems


def _check_files(loaded: Loaded) -> None:
    tree = loaded.tree
    for path in PATH_KEYS:
        value = tree.get(path)
        if path[0] != "uplink" or not isinstance(value, str) or not value:
            continue
        try:
            with Path(value).open("rb"):
                pass
        except FileNotFoundError:
            fix = f'put the file there, or {path[-1]} = "" for none'
            text = f"{value}: no such file, expected a PEM file that exists"
            loaded.problems.append(tree.problem(path, text, fix))
        except OSError as error:
            text = f"{value}: {error.strerror}, expected a file that this user may read"
            loaded.problems.append(tree.problem(path, text, "check its owner and mode"))
    one, other = ("uplink", "cert_file"), ("uplink", "key_file")
    for path, partner in ((one, other), (other, one)):
        if tree.get(path) and not tree.get(partner):
            text = f"expected {partner[-1]} too: a certificate and its key go together"
            loaded.problems.append(tree.problem(path, text, f'add {partner[-1]} = "..."'))


def _check_profile(loaded: Loaded) -> None:
    """What the kind of broker would not take."""
    if loaded.config is not None:
        config = loaded.config
        for key, text, fix in faults(config.uplink.model_dump(), config.vehicle.id):
            loaded.problems.append(loaded.tree.problem(("uplink", key), text, fix))


def _check_secrets(loaded: Loaded, environ: Mapping[str, str]) -> None:
    tree = loaded.tree
    for path in SECRET_KEYS:
        value = tree.get(path)
        if not isinstance(value, str) or not is_reference(value):
            continue
        try:
            reveal(value, environ)
        except SecretUnavailable as error:
            problem = tree.problem(path, str(error))
            only_inside = value.startswith("credential:") and "CREDENTIALS_DIRECTORY" not in environ
            (loaded.notes if only_inside else loaded.problems).append(problem)

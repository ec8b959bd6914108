"""Driver sections meet the installed driver types: what is wrong with each."""

from __future__ import annotations

from typing import Any

from agent import registry
from agent.config_drivers import validate_driver
from agent.config_files import Section
from agent.config_problems import Problem, did_you_mean
from agent.sdk import Driver

ENTRY_POINTS = "brain.drivers"


def resolve(section: Section) -> tuple[type[Driver[Any]] | None, list[Problem]]:
    """The class of a section's type and all that is wrong; the class is None where it fails."""
    wanted = str(section.values["type"])
    known = list(registry.available())
    if wanted not in known:
        text = f'got "{wanted}", expected a driver type that is installed'
        return None, [section.problem(("type",), text, did_you_mean(wanted, known, "installed"))]
    try:
        found = registry.load(wanted)
    # Whatever a plug-in raises at import is what its owner has to read.
    except Exception as error:
        fix = "repair or reinstall the package of that driver"
        return None, [section.problem(("type",), str(error), fix)]
    return found, validate_driver(section, found.config_model)


def version_of(type_name: str) -> str:
    """Version of the package that offers a type; "?" where its metadata are missing."""
    from importlib.metadata import entry_points

    for point in entry_points(group=ENTRY_POINTS, name=type_name):
        if point.dist is not None:
            return point.dist.version
    return "?"

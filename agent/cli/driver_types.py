"""Driver sections meet the installed driver types: what is wrong with each."""

from __future__ import annotations

from typing import Any

from agent import registry
from agent.config_drivers import validate_driver
from agent.config_files import Section
from agent.config_problems import Problem, did_you_mean
from agent.sdk import Driver


def resolve(section: Section) -> tuple[type[Driver[Any]] | None, list[Problem]]:
    """The class of a section's type and all that is wrong; the class is None where it fails."""
    wanted = str(section.values["type"])
    known = list(registry.available())
    if wanted not in known:
        text = f'got "{wanted}", expected a driver type that is installed'
        return None, [section.problem(("type",), text, did_you_mean(wanted, known, "installed"))]
    try:
        found = registry.load(wanted)
    except registry.BrokenPlugin as error:
        return None, [section.problem(("type",), str(error))]
    return found, validate_driver(section, found.config_model)

"""Driver sections meet the installed driver types: what is wrong with each."""

from __future__ import annotations

from typing import Any

from agent import registry
from agent.config_drivers import driver_config, options, validate_driver
from agent.config_files import Section
from agent.config_problems import Problem, did_you_mean
from agent.protocol import MAX_DATAGRAM, Hello, declare, encode
from agent.sdk import Driver, Prepares


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


def configured(section: Section) -> tuple[Driver[Any] | None, list[Problem]]:
    """The driver of a section, made and not started: what it declares is what counts.

    None and all that is wrong where the section is not valid.
    """
    found, problems = resolve(section)
    if found is None or problems:
        return None, problems
    driver = found(driver_config(section, found.config_model))
    groups = [declare(group) for group in driver.groups]
    size = len(encode(Hello(str(section.path[-1]), "", "", "0" * 32, groups, 0)))
    if size > MAX_DATAGRAM - _ROOM:
        text = f"it declares signals of {size} bytes, at most {MAX_DATAGRAM - _ROOM} can be told of"
        fix = "declare fewer signals or shorter meanings"
        return None, [section.problem((), text, fix)]
    return driver, []


# Type, version and process id, which stand in a hello too.
_ROOM = 300


def prepare(section: Section) -> tuple[list[Problem], list[Problem]]:
    """Have the driver's class make what it needs out of the files of its section.

    Notes and problems. Sections of unknown types and of those that prepare nothing have neither.
    """
    wanted = str(section.values["type"])
    try:
        found = registry.load(wanted)
    except (registry.BrokenPlugin, registry.UnknownDriver):
        return [], []
    if not isinstance(found, Prepares):
        return [], []
    try:
        told = found.prepare(options(section, found.config_model))
        return [section.problem((), text) for text in told], []
    except ValueError as error:
        key, _, text = str(error).partition(": ")
        return [], [section.problem((key,), text)]

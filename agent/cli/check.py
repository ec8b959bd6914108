"""`brain check`: is the configuration valid? Opens no device and no network."""

from __future__ import annotations

from dataclasses import asdict

from agent.cli import output
from agent.cli.driver_types import resolve
from agent.cli.exits import INVALID, OK
from agent.cli.main import ended
from agent.cli.options import AsJson, ConfigFile
from agent.config import Loaded, load, render
from agent.config_arbitration import unknown_paths
from agent.config_files import DEFAULT_FILE
from agent.config_problems import Problem
from agent.sdk import paths


def check(config: ConfigFile = DEFAULT_FILE, as_json: AsJson = False) -> int:
    """Is the configuration valid? Starts nothing, opens nothing. Exit code 0 or 2."""
    loaded = load(config)
    problems = all_problems(loaded)
    loaded.notes += unknown_paths(loaded.tree, _declared(loaded))
    if as_json:
        output.json_text(
            {
                "valid": not problems,
                "files": [str(file) for file in loaded.tree.files],
                "drivers": {n: s.values["type"] for n, s in loaded.sections.items()},
                "problems": [asdict(problem) for problem in problems],
                "notes": [asdict(note) for note in loaded.notes],
            }
        )
        return INVALID if problems else OK
    for note in render(loaded.notes):
        output.error(f"note: {note}")
    if problems:
        for text in render(problems):
            output.error(text)
        output.error(ended(len(problems)))
        return INVALID
    names = ", ".join(loaded.sections) or "none"
    also = [file.name for file in loaded.tree.files if file != config]
    output.line(
        f"{config} is valid. Drivers: {names}." + (f" With: {', '.join(also)}." if also else "")
    )
    return OK


def _declared(loaded: Loaded) -> dict[str, frozenset[str]]:
    """The paths that each configured driver states; without those that cannot be loaded."""
    found = {name: resolve(section)[0] for name, section in loaded.sections.items()}
    return {name: paths(driver.groups) for name, driver in found.items() if driver is not None}


def all_problems(loaded: Loaded) -> list[Problem]:
    """Those of the files and sections, and those of each driver's section, in order of place."""
    problems = list(loaded.problems)
    for section in loaded.sections.values():
        problems += resolve(section)[1]
    order = {str(file): at for at, file in enumerate(loaded.tree.files)}
    return sorted(problems, key=lambda p: (order.get(p.file, -1), p.line or 0))

"""`brain check`: is the configuration valid? Opens no device and no network."""

from __future__ import annotations

from dataclasses import asdict

from agent.cli import output
from agent.cli.check_trust import trust_problems
from agent.cli.driver_types import configured, prepare, resolve
from agent.cli.exits import INVALID, OK
from agent.cli.main import ended
from agent.cli.options import AsJson, ConfigFile
from agent.config import Loaded, load, render
from agent.config_arbitration import unknown_paths
from agent.config_files import DEFAULT_FILE
from agent.config_problems import Problem
from agent.sdk import paths


def check(config: ConfigFile = DEFAULT_FILE, as_json: AsJson = False) -> int:
    """Is the configuration valid? Starts nothing, opens nothing. Exit code 0 or 2.

    Drivers compile what they need compiled, such as a DBC file.
    """
    loaded = load(config)
    notes = list(loaded.notes)
    unprepared: list[Problem] = []
    for section in loaded.sections.values():
        told, found = prepare(section)
        notes += told
        unprepared += found
    # What could not be prepared is said once, not again as missing.
    keys = {problem.key for problem in unprepared}
    problems = unprepared + [p for p in all_problems(loaded) if p.key not in keys]
    notes += unknown_paths(loaded.tree, _declared(loaded))
    if as_json:
        output.json_text(
            {
                "valid": not problems,
                "files": [str(file) for file in loaded.tree.files],
                "drivers": {n: s.values["type"] for n, s in loaded.sections.items()},
                "problems": [asdict(problem) for problem in problems],
                "notes": [asdict(note) for note in notes],
            }
        )
        return INVALID if problems else OK
    for note in render(notes):
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
    """The paths that each driver states as configured; of a wrong section those of its type."""
    found = {}
    for name, section in loaded.sections.items():
        driver = configured(section)[0] or resolve(section)[0]
        if driver is not None:
            found[name] = paths(driver.groups)
    return found


def all_problems(loaded: Loaded) -> list[Problem]:
    """Those of the files and sections, and those of each driver's section, in order of place."""
    problems = [*loaded.problems, *trust_problems(loaded.tree)]
    for section in loaded.sections.values():
        problems += configured(section)[1]
    order = {str(file): at for at, file in enumerate(loaded.tree.files)}
    return sorted(problems, key=lambda p: (order.get(p.file, -1), p.line or 0))

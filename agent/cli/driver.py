"""`brain driver NAME`: one driver's process; imports no more than it needs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from agent import registry
from agent.cli.arguments import Arguments
from agent.cli.driver_types import resolve
from agent.cli.exits import DEGRADED, INVALID, CliError
from agent.cli.logs import configure
from agent.cli.places import places
from agent.config_drivers import driver_config, driver_sections
from agent.config_files import Section, Tree, read
from agent.config_places import PlaceUnusable, make_state_directory
from agent.config_problems import ConfigInvalid, did_you_mean
from agent.protocol import Notifier


def main(arguments: Sequence[str]) -> int:
    """Run the driver until it is told to stop."""
    parser = Arguments("driver", "The process of one driver, named as in the configuration.")
    parser.add_argument("name", metavar="NAME", help="NAME of its section [drivers.NAME]")
    parser.places()
    options = parser.parse_args(arguments)
    name: str = options.name

    tree = read(options.config)
    section = own_section(tree, name)
    found, problems = resolve(section)
    if problems or found is None:
        raise ConfigInvalid(problems)
    configure(str(tree.get(("agent", "log_level")) or "info"), driver=name)
    # Not before: what is wrong with the configuration is said without it.
    from agent.host import Host

    where = places(tree, options.run_dir, options.state_dir)
    workdir = where.state_dir / "drivers" / name
    try:
        make_state_directory(workdir)
    except PlaceUnusable as error:
        raise CliError(str(error), DEGRADED) from error
    failpoints = os.environ.get("BRAIN_FAILPOINTS")
    type_name = str(section.values["type"])
    host = Host(
        name,
        type_name,
        registry.find(type_name).version,
        found(driver_config(section, found.config_model)),
        where.run_dir / "ingest.sock",
        workdir,
        failpoints=Path(failpoints) if failpoints else None,
        notifier=Notifier(),
    )
    return host.run()


def own_section(tree: Tree, name: str) -> Section:
    """The section of one driver; other sections' faults are for others to report.

    Raises ConfigInvalid where files or the section are bad, CliError where there is none.
    """
    sections, problems = driver_sections(tree)
    own = [p for p in problems if p.key == "drivers" or f"{p.key}.".startswith(f"drivers.{name}.")]
    if tree.problems or own:
        raise ConfigInvalid([*tree.problems, *own])
    if name not in sections:
        hint = did_you_mean(name, sections, "it has")
        raise CliError(f"{tree.main}: no section [drivers.{name}], {hint}", INVALID)
    return sections[name]

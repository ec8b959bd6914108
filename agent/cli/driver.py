"""`brain driver NAME`: one driver's process; imports no more than it needs."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from agent import config_last, registry
from agent.alarms import Alarm, of
from agent.cli.arguments import Arguments
from agent.cli.driver_types import resolve
from agent.cli.exits import DEGRADED, INVALID, CliError
from agent.cli.logs import configure
from agent.cli.places import places
from agent.config_drivers import driver_config, driver_sections
from agent.config_files import Section, Tree, read
from agent.config_places import PlaceUnusable, make_state_directory
from agent.config_problems import ConfigInvalid, did_you_mean, log_lines
from agent.protocol import Notifier
from agent.sdk import Driver

log = logging.getLogger("brain.driver")


def main(arguments: Sequence[str]) -> int:
    """Run the driver until it is told to stop."""
    parser = Arguments("driver", "The process of one driver, named as in the configuration.")
    parser.add_argument("name", metavar="NAME", help="NAME of its section [drivers.NAME]")
    parser.places()
    options = parser.parse_args(arguments)
    name: str = options.name

    tree = read(options.config)
    where = places(tree, options.run_dir, options.state_dir)
    workdir = where.state_dir / "drivers" / name
    tree = readable(tree, name, workdir)
    section = own_section(tree, name)
    found, problems = resolve(section)
    if problems or found is None:
        raise ConfigInvalid(problems)
    configure(str(tree.get(("agent", "log_level")) or "info"), driver=name)
    # Not before: what is wrong with the configuration is said without it.
    from agent.host import Host

    try:
        make_state_directory(workdir)
    except PlaceUnusable as error:
        raise CliError(str(error), DEGRADED) from error
    failpoints = os.environ.get("BRAIN_FAILPOINTS")
    type_name = str(section.values["type"])
    again = Again(options.config, name, section, workdir)
    again.keep(tree)
    host = Host(
        name,
        type_name,
        registry.find(type_name).version,
        found(driver_config(section, found.config_model)),
        where.run_dir / "ingest.sock",
        workdir,
        failpoints=Path(failpoints) if failpoints else None,
        notifier=Notifier(),
        reread=again.read,
    )
    again.restart = host.stop
    return host.run()


class Again:
    """Reads the section of a running driver again, at a reload."""

    def __init__(self, file: Path, name: str, section: Section, workdir: Path) -> None:
        self._file = file
        self._workdir = workdir
        self._name = name
        self._running = section.values
        self.restart: Callable[[], None] = _nothing

    def read(self) -> Driver[Any] | str | None:
        """A new driver, why there is none, None where nothing changed; see agent.host.Reread."""
        try:
            tree = read(self._file)
            section = own_section(tree, self._name)
            found, problems = resolve(section)
            if problems or found is None:
                raise ConfigInvalid(problems)
        except (ConfigInvalid, CliError) as error:
            lines = log_lines(error.problems) if isinstance(error, ConfigInvalid) else [str(error)]
            for text in lines:
                alarm = of(Alarm.CONFIG_REFUSED, self._name)
                log.error("%s: configuration not taken: %s", self._name, text, extra=alarm)
            return lines[0]
        configure(str(tree.get(("agent", "log_level")) or "info"), driver=self._name)
        self.keep(tree)
        before, self._running = self._running, section.values
        if before == section.values:
            log.info("%s: configuration read again: nothing changed", self._name)
            return None
        keys = ", ".join(
            sorted(
                k
                for k in before.keys() | section.values.keys()
                if before.get(k) != section.values.get(k)
            )
        )
        applied = of(Alarm.CONFIG_APPLIED, self._name)
        log.info("%s: configuration read again: applied: %s", self._name, keys, extra=applied)
        if before["type"] != section.values["type"]:
            self.restart()
            return None
        return found(driver_config(section, found.config_model))

    def keep(self, tree: Tree) -> None:
        """It is good for a start at which the files cannot be read. Never raises."""
        with contextlib.suppress(OSError):
            mine = config_last.part(tree, ("agent",), ("drivers", self._name))
            config_last.keep(self._workdir, mine)


def readable(tree: Tree, name: str, workdir: Path) -> Tree:
    """`tree`, or what ran last where a file of it cannot be read or is no TOML."""
    kept = config_last.last(workdir, tree.main) if tree.broken else None
    if kept is None:
        return tree
    text = "%s: configuration refused, the last one that ran is used: %s"
    alarm = of(Alarm.CONFIG_REFUSED, name)
    log.error(text, name, log_lines(tree.problems)[0], extra=alarm)
    return kept


def _nothing() -> None:
    """Until there is a host to restart."""


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

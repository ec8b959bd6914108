"""`brain up`: plays PID 1 on a laptop."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from pathlib import Path

from agent.cli.arguments import Arguments
from agent.cli.exits import DEGRADED, CliError
from agent.cli.run import prepare, reread
from agent.config import ConfigInvalid

log = logging.getLogger("brain.up")


def main(arguments: Sequence[str]) -> int:
    """Start everything, keep it running until Ctrl-C."""
    about = "Everything on this machine with real devices: the coordinator and each driver."
    parser = Arguments("up", about)
    parser.places()
    options = parser.parse_args(arguments)
    config, where = prepare(options.config, options.run_dir, options.state_dir)

    from agent.up import RunDirectoryInUse, serve

    try:
        return serve(
            options.config,
            config.drivers,
            where.run_dir,
            where.state_dir,
            lambda: drivers_again(options.config),
        )
    except (RunDirectoryInUse, OSError) as error:
        raise CliError(f"brain up: {error}", DEGRADED) from error


def drivers_again(file: Path) -> Collection[str] | None:
    """Names of the drivers as the file has them now; None where it is invalid."""
    try:
        return reread(file).drivers.keys()
    except ConfigInvalid:
        # What is wrong with it is said by the coordinator, which reads it too.
        log.error("%s: configuration not taken, all goes on as before", file)
        return None

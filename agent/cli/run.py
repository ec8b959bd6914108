"""`brain run`: the coordinator."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from agent.cli.arguments import Arguments
from agent.cli.exits import DEGRADED, CliError
from agent.cli.logs import configure
from agent.cli.places import Places, places
from agent.config import Config, ConfigInvalid, load
from agent.config_files import SECRET_KEYS
from agent.config_places import PlaceUnusable, make_run_directory, make_state_directory
from agent.config_secrets import SecretUnavailable, reveal
from agent.protocol import listen_fds


def main(arguments: Sequence[str]) -> int:
    """Run until SIGTERM."""
    parser = Arguments("run", "The coordinator alone; drivers are started beside it.")
    parser.places()
    options = parser.parse_args(arguments)
    config, where = prepare(options.config, options.run_dir, options.state_dir)

    from agent.app import serve
    from agent.store.rows import OutboxFull, OutboxLocked, OutboxTooNew

    try:
        return serve(config, where.run_dir, where.state_dir)
    except (OutboxFull, OutboxLocked, OutboxTooNew, SecretUnavailable, OSError) as error:
        raise CliError(f"brain run: {error}", DEGRADED) from error


def prepare(file: Path, run_dir: Path | None, state_dir: Path | None) -> tuple[Config, Places]:
    """A config that is valid in this very process, secrets included, and usable directories."""
    loaded = load(file)
    problems = list(loaded.problems)
    for path in SECRET_KEYS:
        reference = loaded.tree.get(path)
        try:
            reveal(reference if isinstance(reference, str) else "", os.environ)
        except SecretUnavailable as error:
            problem = loaded.tree.problem(path, str(error))
            if problem not in problems:
                problems.append(problem)
    if problems:
        raise ConfigInvalid(problems)
    config = loaded.require()
    configure(config.agent.log_level)
    where = places(loaded.tree, run_dir, state_dir)
    try:
        # Sockets that the service manager passed are in a directory of the service manager's.
        if not listen_fds():
            make_run_directory(where.run_dir)
        make_state_directory(where.state_dir)
    except PlaceUnusable as error:
        raise CliError(str(error), DEGRADED) from error
    return config, where

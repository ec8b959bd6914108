"""`brain up`: plays PID 1 on a laptop."""

from __future__ import annotations

from collections.abc import Sequence

from agent.cli.arguments import Arguments
from agent.cli.exits import DEGRADED, CliError
from agent.cli.run import prepare


def main(arguments: Sequence[str]) -> int:
    """Start everything, keep it running until Ctrl-C."""
    about = "Everything on this machine with real devices: the coordinator and each driver."
    parser = Arguments("up", about)
    parser.places()
    options = parser.parse_args(arguments)
    config, where = prepare(options.config, options.run_dir, options.state_dir)

    from agent.up import RunDirectoryInUse, serve

    try:
        return serve(options.config, config, where.run_dir, where.state_dir)
    except (RunDirectoryInUse, OSError) as error:
        raise CliError(f"brain up: {error}", DEGRADED) from error

"""The few arguments of the verbs that start something, without the command-line library."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

from agent.cli.exits import INVALID, CliError
from agent.config_files import DEFAULT_FILE


class Arguments(argparse.ArgumentParser):
    """`brain VERB`, whose errors are one line."""

    def __init__(self, verb: str, about: str) -> None:
        super().__init__(prog=f"brain {verb}", description=about, allow_abbrev=False)

    def places(self) -> None:
        """Add the options that say where the agent lives."""
        self.add_argument(
            "--config",
            "-c",
            type=Path,
            metavar="FILE",
            default=DEFAULT_FILE,
            help=f"configuration (default: {DEFAULT_FILE})",
        )
        self.add_argument("--run-dir", type=Path, metavar="DIR", help="directory of the sockets")
        self.add_argument("--state-dir", type=Path, metavar="DIR", help="directory of the outbox")

    def error(self, message: str) -> NoReturn:
        """Instead of argparse's usage screen."""
        raise CliError(f"{self.prog}: {message}. See: {self.prog} --help", INVALID)

"""`brain simulate`: starts the simulator in this very process; its options are its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from agent.cli.exits import INVALID, CliError
from agent.config_places import run_directory


def main(arguments: Sequence[str]) -> int:
    """Become `python -m simulator`: exit code and Ctrl-C are its own then. Never returns."""
    if find_spec("simulator") is None or find_spec("simulator.__main__") is None:
        text = "brain simulate: the simulator is not installed with this package"
        raise CliError(f"{text}; install computing-brain from its repository", INVALID)
    if find_spec("iotcore") is None:
        text = "brain simulate needs the embedded broker iotcore, which is not installed"
        raise CliError(f"{text}; run: {sys.executable} -m pip install iotcore", INVALID)
    chosen = list(arguments)
    if not any(word.split("=")[0] == "--run-dir" for word in chosen):
        chosen += ["--run-dir", str(run_directory("", os.environ))]
    sys.stdout.flush()
    # -P: a folder named "simulator" in the current directory is not meant.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "simulator", *chosen])

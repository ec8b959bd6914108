"""`brain bundle`: a support archive without secrets."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.cli import output
from agent.cli.client import Control
from agent.cli.exits import DEGRADED, INVALID, OK, CliError
from agent.cli.options import AsJson, ConfigFile, RunDir
from agent.cli.places import places_of
from agent.config_files import DEFAULT_FILE


def bundle(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Copy it to this file.")
    ] = None,
    config: ConfigFile = DEFAULT_FILE,
    run_dir: RunDir = None,
    as_json: AsJson = False,
) -> int:
    """A support archive without secrets, to send to who helps.

    It holds status, books, configuration and the last log lines, and is written by the agent.
    """
    if out is not None and out.exists():
        raise CliError(f"{out}: exists already, name another file with --out", INVALID)
    found: dict[str, Any] = Control(places_of(config, run_dir).run_dir, 30.0).ask("bundle")
    if out is not None:
        try:
            shutil.copyfile(found["path"], out)
        except OSError as error:
            text = f"{out}: {error.strerror}; the archive is {found['path']}"
            raise CliError(text, DEGRADED) from error
        found = {**found, "path": str(out)}
    if as_json:
        output.json_text(found)
    else:
        output.line(f"{found['path']} ({found['size']:,} bytes)")
    return OK

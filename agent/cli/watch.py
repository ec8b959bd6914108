"""`brain watch`: values as they arrive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from agent.cli import output, words
from agent.cli.client import Control, NotRunning, what_to_do
from agent.cli.options import AsJson, ConfigFile, RunDir
from agent.cli.places import places_of
from agent.config_files import DEFAULT_FILE


def watch(
    pattern: Annotated[
        str, typer.Argument(help='Which signals: a path, * and ? allowed, "*Speed*".')
    ] = "*",
    config: ConfigFile = DEFAULT_FILE,
    run_dir: RunDir = None,
    as_json: AsJson = False,
) -> int:
    """Values as they arrive, until Ctrl-C."""
    where = places_of(config, run_dir).run_dir
    for value in Control(where).follow("watch", pattern=pattern):
        if as_json:
            output.json_text(value, pretty=False)
        else:
            output.line(one(value))
        output.flush()
    raise NotRunning(f"brain ended. {what_to_do(where)}")


def one(value: Mapping[str, Any]) -> str:
    """One value on one line: local time, signal, value or state, source."""
    utc = value.get("utc")
    at = words.clock_time(utc) if utc else f"boot+{value['boottime_ms'] / 1000:.3f} s"
    state = value.get("state")
    if value.get("value") is None:
        shown = str(state or "no value").replace("_", " ")
    else:
        shown = words.value(value["value"], value.get("unit") or "")
    return f"{at}  {value['signal']:<48}  {shown:<20}  {value['source']}"

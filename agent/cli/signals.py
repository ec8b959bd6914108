"""`brain signals`: every signal that the drivers declare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from agent import registry
from agent.cli import output
from agent.cli.client import Control, NotRunning
from agent.cli.driver_types import configured
from agent.cli.exits import OK
from agent.cli.options import ConfigFile, RunDir
from agent.cli.places import places_of
from agent.cli.vspec import overlay
from agent.config_drivers import driver_sections
from agent.config_files import DEFAULT_FILE, read
from agent.sdk import Group


class Form(StrEnum):
    """How signals are printed."""

    TABLE = "table"
    JSON = "json"
    VSPEC = "vspec"


def signals(
    form: Annotated[
        Form, typer.Option("--format", help="vspec: an overlay for the VSS tools.")
    ] = Form.TABLE,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    config: ConfigFile = DEFAULT_FILE,
    run_dir: RunDir = None,
) -> int:
    """Every signal with unit, thinning and meaning.

    Those of the running agent, else of the configured drivers, else of all installed ones.
    """
    try:
        found: Sequence[Mapping[str, Any]] = Control(places_of(config, run_dir).run_dir).ask(
            "signals"
        )
    except NotRunning:
        found = declared(config)
    if as_json or form is Form.JSON:
        output.json_text(found)
    elif form is Form.VSPEC:
        output.lines(overlay(found))
    else:
        output.lines(_table(found))
    return OK


def declared(config: Path) -> list[dict[str, Any]]:
    """Signals of the configured drivers, by source; without any, those of all installed types."""
    sections = driver_sections(read(config))[0] if config.exists() else {}
    found: list[dict[str, Any]] = []
    for name, section in sections.items():
        driver, problems = configured(section)
        if driver is None:
            output.error(f"{problems[0].place}  {problems[0].key}  {problems[0].text}")
        else:
            found += described(name, driver.groups)
    if not sections:
        for type_name in registry.available():
            try:
                found += described(type_name, registry.load(type_name).groups)
            except registry.BrokenPlugin as error:
                output.error(str(error))
    return found


def described(source: str, groups: Iterable[Group]) -> list[dict[str, Any]]:
    """Each signal of `groups` with all that is declared of it."""
    return [
        {
            "source": source,
            "group": group.name,
            "path": signal.path,
            "datatype": signal.datatype.value,
            "unit": signal.unit,
            "meaning": signal.meaning,
            "keep": signal.thinning.keep.value,
            "interval_s": signal.thinning.interval_s,
            "deadband": signal.thinning.deadband,
            "minimum": signal.minimum,
            "maximum": signal.maximum,
            "steps_per_unit": signal.steps_per_unit,
            "definition": signal.source,
        }
        for group in groups
        for signal in group.signals
    ]


def _table(found: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [
        [s["path"], s["unit"], kept(s), f"{s['source']}.{s['group']}", s["meaning"]]
        for s in sorted(found, key=lambda s: (s["path"], s["source"]))
    ]
    return output.table(["signal", "unit", "kept", "from", "meaning"], rows)


def kept(signal: Mapping[str, Any]) -> str:
    """The thinning rule in words, from the keys `keep`, `interval_s` and `deadband`."""
    if signal["keep"] != "sampled":
        return {"every": "every value", "change": "changes"}[signal["keep"]]
    deadband = f" > {signal['deadband']:g}" if signal["deadband"] else ""
    return f"{signal['interval_s']:g} s{deadband}"

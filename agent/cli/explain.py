"""`brain explain`: who gives a signal, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from agent.cli import output, words
from agent.cli.client import Control
from agent.cli.exits import INVALID, OK, CliError
from agent.cli.options import AsJson, ConfigFile, RunDir
from agent.cli.places import places_of
from agent.cli.signals import kept
from agent.config_files import DEFAULT_FILE

UTC_PATHS = frozenset({"Vehicle.Bus.Utc", "Vehicle.Bus.Clock.Vehicle"})
"""Milliseconds since 1970, shown as a date."""


def explain(
    signal: Annotated[
        str,
        typer.Argument(
            metavar="SIGNAL", help="A path like Vehicle.Speed, or speed, odometer, heading, clock."
        ),
    ],
    config: ConfigFile = DEFAULT_FILE,
    run_dir: RunDir = None,
    as_json: AsJson = False,
) -> int:
    """Who gives a signal and why: each source, its newest value, and what speaks for or against it.

    Exit code 0, 2 where there is no such signal, 3 where the agent does not run.
    """
    answer = Control(places_of(config, run_dir).run_dir).ask("explain", signal=signal)
    if answer["signal"] is None:
        near = answer["near"]
        hint = f'did you mean "{near}"?' if near else "brain signals lists them"
        raise CliError(f'no signal "{signal}", {hint}', INVALID)
    if as_json:
        output.json_text(answer)
    else:
        output.lines(_decision(answer) if answer["arbitrated"] else _plain(answer))
    return OK


def _decision(answer: Mapping[str, Any]) -> Iterator[str]:
    since = answer["changed_s"]
    yield (
        f"{answer['signal']}  followed: {output.coloured(answer['followed'], 'bold')}"
        + (f"  for {words.duration(since)}" if since is not None else "")
    )
    yield f"because   {answer['reason']}"
    if answer["held"]:
        yield f"held      {answer['held']}"
    if not answer["candidates"]:
        yield "heard     no clock but this computer's own"
        return
    rows = [
        [
            str(one["rank"]),
            f"{one['source']}:{one['path']}",
            _newest(one, answer["unit"]),
            _age(one),
            one["text"],
        ]
        for one in answer["candidates"]
    ]
    yield from output.table(["rank", "source", "newest", "age", "verdict"], rows)


def _plain(answer: Mapping[str, Any]) -> Iterator[str]:
    sources = answer["sources"]
    about = sources[0]
    yield f"{answer['signal']}  {about.get('meaning', '')}".rstrip()
    weighed = ", ".join(answer["weighed_for"])
    many = f"{len(sources)} sources" if len(sources) != 1 else "one source"
    yield "not arbitrated: " + (f"{many}, weighed for {weighed}" if weighed else many)
    rows = [
        [
            one["source"],
            _newest(one, one.get("unit", "")),
            _age(one),
            kept(one) if "keep" in one else "every value",
            one.get("definition", "not declared"),
        ]
        for one in sources
    ]
    yield from output.table(["source", "newest", "age", "kept", "definition"], rows)


def _newest(one: Mapping[str, Any], unit: str) -> str:
    if one["state"] is not None:
        return str(one["state"]).replace("_", " ")
    value = one["value"]
    if value is None:
        return "nothing"
    if one.get("path") in UTC_PATHS:
        return datetime.fromtimestamp(value / 1000, UTC).isoformat(" ", "milliseconds")
    return words.value(round(value, 3) if isinstance(value, float) else value, unit)


def _age(one: Mapping[str, Any]) -> str:
    return "" if one["age_s"] is None else words.duration(one["age_s"])

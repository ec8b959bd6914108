"""`brain outbox`: looks into the outbox; changes nothing."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.cli import output
from agent.cli.audit import ask_or_read, owns, reading
from agent.cli.client import Control, NotRunning
from agent.cli.exits import DEGRADED, INVALID, OK, CliError
from agent.cli.options import AsJson, ConfigFile, RunDir, StateDir, first_sentence
from agent.cli.places import Places, places_of
from agent.cli.words import count, size
from agent.config_files import DEFAULT_FILE

app = typer.Typer(
    help="Look into the outbox: counters, SQL, a copy, a full check.",
    rich_markup_mode=None,
)
_TERMS = ("accepted", "acknowledged", "queued", "dropped")


def stats(
    config: ConfigFile = DEFAULT_FILE,
    run_dir: RunDir = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> int:
    """Records and bytes of each class."""
    where = places_of(config, run_dir, state_dir)
    classes, directory = _classes(where, state_dir)
    if as_json:
        output.json_text({"directory": directory, "classes": classes})
        return OK
    rows = [
        [
            name,
            *(count(numbers[term]) for term in _TERMS),
            size(numbers["bytes"]) if "bytes" in numbers else "",
            size(numbers["quota_bytes"]) if "quota_bytes" in numbers else "",
        ]
        for name, numbers in classes.items()
    ]
    output.lines(output.table(["class", *_TERMS, "size", "quota"], rows))
    output.line(f"in {directory}")
    return OK


def _classes(where: Places, stated: Path | None) -> tuple[dict[str, dict[str, Any]], str]:
    """Numbers of each class and where the outbox is, from the coordinator or the files."""
    try:
        if stated is not None and not owns(where):
            return dict(ask_or_read(where, stated)["by_class"]), str(where.state_dir)
        outbox = Control(where.run_dir).ask("status")["outbox"]
    except NotRunning:
        return dict(ask_or_read(where, stated)["by_class"]), str(where.state_dir)
    classes = {name: outbox[name] for name in ("alarm", "history", "bulk")}
    return classes, str(outbox.get("directory", where.state_dir))


def query(
    sql: Annotated[
        str, typer.Argument(help="One SELECT; `record` has a row a record: SELECT * FROM record.")
    ],
    config: ConfigFile = DEFAULT_FILE,
    run_dir: RunDir = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> int:
    """Ask the records in SQL."""
    from agent.store import inspect

    directory = _directory(config, run_dir, state_dir)
    try:
        with reading(directory):
            columns, rows = inspect.query(directory, sql)
    except ValueError as error:
        raise CliError(f"brain outbox query: {error}", INVALID) from error
    if as_json:
        for row in rows:
            output.json_text(dict(zip(columns, map(_jsonable, row), strict=True)), pretty=False)
    else:
        shown = [["" if cell is None else str(_jsonable(cell)) for cell in row] for row in rows]
        output.lines(output.table(columns, shown))
    return OK


def export(
    sqlite: Annotated[
        Path, typer.Option("--sqlite", metavar="FILE", help="SQLite file to write; must be new.")
    ],
    config: ConfigFile = DEFAULT_FILE,
    run_dir: RunDir = None,
    state_dir: StateDir = None,
) -> int:
    """Write all records that wait as one plain table into a SQLite file."""
    from agent.store import inspect

    directory = _directory(config, run_dir, state_dir)
    if sqlite.exists():
        raise CliError(f"{sqlite} exists; expected the name of a new file", INVALID)
    if not sqlite.absolute().parent.is_dir():
        raise CliError(f"{sqlite}: there is no folder {sqlite.absolute().parent}", INVALID)
    try:
        with reading(directory):
            written = inspect.export_sqlite(directory, sqlite)
    except OSError as error:
        raise CliError(f"{sqlite}: {error.strerror or error}") from error
    output.line(f"{count(written)} records in {sqlite}")
    return OK


def verify(
    config: ConfigFile = DEFAULT_FILE,
    run_dir: RunDir = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> int:
    """Read and check every row. Exit code 0 or 1."""
    from agent.store import inspect

    directory = _directory(config, run_dir, state_dir)
    with reading(directory):
        found = [str(problem) for problem in inspect.verify(directory)]
    if as_json:
        output.json_text({"directory": str(directory), "sound": not found, "problems": found})
    elif found:
        for text in found:
            output.error(text)
    else:
        output.line(f"{directory}: every row is whole and the books balance")
    return DEGRADED if found else OK


def _directory(config: Path, run_dir: Path | None, state_dir: Path | None) -> Path:
    """The state directory, with an outbox in it. Raises CliError."""
    where = places_of(config, run_dir, state_dir)
    if state_dir is None:
        # A running coordinator knows better than the rule where its outbox is.
        with suppress(NotRunning):
            return Path(Control(where.run_dir).ask("status")["outbox"]["directory"])
    if not (where.state_dir / "outbox.db").exists():
        text = f"there is no outbox in {where.state_dir}; name its directory with --state-dir"
        raise NotRunning(text)
    return where.state_dir


def _jsonable(cell: object) -> object:
    return cell.hex() if isinstance(cell, bytes) else cell


for _verb in (stats, query, export, verify):
    app.command(_verb.__name__.rstrip("_"), short_help=first_sentence(_verb))(_verb)

"""`brain decode`: a driver's pure decoder over a capture; no device, no agent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from agent import registry
from agent.cli import output
from agent.cli.exits import INVALID, OK, CliError
from agent.cli.options import AsJson
from agent.cli.words import value
from agent.config_problems import did_you_mean
from agent.sdk import Decodes

_DIGITS = 15
"""A log's own stamp has ten digits before the point and six behind it."""


def decode(
    type_name: Annotated[str, typer.Argument(metavar="TYPE", help="Driver type.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Capture to read.")],
    as_json: AsJson = False,
) -> int:
    """What a driver makes of a capture, one object a line."""
    found = decoder(type_name)
    show: Callable[[Mapping[str, object]], None] = _json_line if as_json else _Columns()
    try:
        note = _show_all(found.decode(file), show)
    except ValueError as error:
        text = str(error)
        raise CliError(text if str(file) in text else f"{file}: {text}", INVALID) from error
    except OSError as error:
        raise CliError(f"{file}: {error.strerror or error}", INVALID) from error
    if note:
        output.error(f"{file}: {note}")
    return OK


def _show_all(
    items: Iterator[Mapping[str, object]], show: Callable[[Mapping[str, object]], None]
) -> object:
    """Show each; what a generator returned, which is a note on what it left out."""
    while True:
        try:
            item = next(items)
        except StopIteration as end:
            return end.value
        show(item)


def decoder(type_name: str) -> type[Decodes]:
    """The class of a type that decodes captures. Raises CliError."""
    known = list(registry.available())
    if type_name not in known:
        hint = did_you_mean(type_name, known, "installed")
        raise CliError(f'unknown driver type "{type_name}", {hint}', INVALID)
    try:
        found = registry.load(type_name)
    except registry.BrokenPlugin as error:
        raise CliError(str(error), INVALID) from error
    if not isinstance(found, Decodes):
        raise CliError(f'driver type "{type_name}" has no decoder for captures', INVALID)
    return found


def _json_line(item: Mapping[str, object]) -> None:
    output.write(msgspec.json.encode(item).decode() + "\n")


class _Columns:
    """Objects as lines in columns that widen as longer values come; a header where keys change."""

    def __init__(self) -> None:
        self._widths: dict[str, int] = {}

    def __call__(self, item: Mapping[str, object]) -> None:
        cells = {k: "" if v is None else value(v, digits=_DIGITS) for k, v in item.items()}
        header = any(key not in self._widths for key in cells)
        for key, cell in cells.items():
            self._widths[key] = max(self._widths.get(key, len(key)), len(cell))
        if header:
            self._show({key: key for key in self._widths})
        self._show(cells)

    def _show(self, cells: Mapping[str, str]) -> None:
        line = "  ".join(f"{cells.get(key, ''):<{width}}" for key, width in self._widths.items())
        output.line(line.rstrip())

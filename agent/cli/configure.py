"""`brain config`: what is set, where it was set, what can be set."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import typer

from agent.cli import output
from agent.cli.check import all_problems
from agent.cli.driver_types import resolve
from agent.cli.edit import Edit, apply
from agent.cli.exits import INVALID, OK, CliError
from agent.cli.options import AsJson, ConfigFile, first_sentence
from agent.cli.samples import sample, schema
from agent.config import (
    ConfigInvalid,
    Loaded,
    Place,
    driver_config,
    leaves,
    load,
)
from agent.config_files import DEFAULT_FILE
from agent.config_problems import did_you_mean, dotted, is_secret, toml_value
from agent.config_secrets import is_reference
from agent.config_text import KeyPath

app = typer.Typer(
    help="What is configured and where; changes keep your comments.",
    rich_markup_mode=None,
)
_HIDDEN = "***"
Key = Annotated[str, typer.Argument(metavar="KEY", help="Dotted, e.g. uplink.port.")]


@dataclass(frozen=True, slots=True)
class Setting:
    """One effective value; `origin` None is a default."""

    path: KeyPath
    value: object
    origin: Place | None


def show(
    config: ConfigFile = DEFAULT_FILE,
    origin: Annotated[
        bool, typer.Option("--origin", help="Say for each value which line set it.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """All values in effect, defaults included. A secret is never shown."""
    settings = effective(load(config))
    if as_json and origin:
        output.json_text({dotted(s.path): _with_origin(s) for s in settings})
    elif as_json:
        output.json_text(_nested(settings, ()))
    else:
        output.lines(_toml(settings, origin))
    return OK


def get(key: Key, config: ConfigFile = DEFAULT_FILE, as_json: AsJson = False) -> int:
    """One value in effect, or the values of a table."""
    path = parse_key(key)
    settings = effective(load(config))
    found = [s for s in settings if s.path[: len(path)] == path]
    if not found:
        hint = did_you_mean(dotted(path), [dotted(s.path) for s in settings], "it has")
        raise CliError(f'{config}: no key "{key}", {hint}', INVALID)
    exact = found[0].path == path
    if as_json:
        output.json_text(found[0].value if exact else _nested(found, path))
    elif exact:
        value = found[0].value
        output.line(value if isinstance(value, str) else toml_value(value))
    else:
        output.lines(_toml(found, origin=False))
    return OK


def set_(
    key: Key,
    value: Annotated[str, typer.Argument(help="As in TOML; text needs no quotes here.")],
    config: ConfigFile = DEFAULT_FILE,
) -> int:
    """Change one value in its file, keeping comments; refused if it would not be valid."""
    candidates: list[object] = [value]
    with suppress(tomllib.TOMLDecodeError):
        candidates.insert(0, tomllib.loads(f"value = {value}")["value"])
    path = parse_key(key)
    edit = apply(config, path, candidates)
    _changed(edit, path, f"{key} = {_shown(path, edit.value)}")
    return OK


def unset(key: Key, config: ConfigFile = DEFAULT_FILE) -> int:
    """Take one value out of its file, back to the default; keeps comments."""
    path = parse_key(key)
    edit = apply(config, path, None)
    _changed(edit, path, f"{key} is unset")
    return OK


def effective(loaded: Loaded) -> list[Setting]:
    """Every value that the agent works with. Raises ConfigInvalid."""
    problems = all_problems(loaded)
    if problems:
        raise ConfigInvalid(problems)
    values = loaded.require().model_dump(by_alias=True, exclude={"drivers"})
    drivers: dict[str, Any] = {}
    for name, section in loaded.sections.items():
        found = resolve(section)[0]
        assert found is not None
        options = msgspec.to_builtins(driver_config(section, found.config_model))
        drivers[name] = {"type": section.values["type"], **options}
    if drivers:
        values["drivers"] = drivers
    return [
        Setting(path, _masked(path, value), loaded.origin(path)) for path, value in leaves(values)
    ]


def parse_key(key: str) -> KeyPath:
    """`uplink.port` as a path. Raises CliError."""
    try:
        node: object = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError as error:
        raise CliError(f'"{key}" is no key; expected e.g. uplink.port', INVALID) from error
    path: KeyPath = ()
    while isinstance(node, dict):
        ((part, node),) = node.items()
        path += (part,)
    return path


def _changed(edit: Edit, path: KeyPath, what: str) -> None:
    was = "" if edit.before is None else f", was {_shown(path, edit.before)}"
    output.line(f"{what} in {edit.file}{was}. It counts from the next start.")


def _masked(path: KeyPath, value: object) -> object:
    secret = is_secret(path) and isinstance(value, str) and value and not is_reference(value)
    return _HIDDEN if secret else value


def _shown(path: KeyPath, value: object) -> str:
    return toml_value(_masked(path, value))


def _with_origin(setting: Setting) -> dict[str, object]:
    if setting.origin is None:
        return {"value": setting.value, "origin": "default"}
    place = {"file": str(setting.origin.file), "line": setting.origin.line}
    return {"value": setting.value, "origin": place}


def _nested(settings: list[Setting], start: KeyPath) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for setting in settings:
        *tables, last = (str(key) for key in setting.path[len(start) :])
        node = tree
        for table in tables:
            node = node.setdefault(table, {})
        node[last] = setting.value
    return tree


def _toml(settings: list[Setting], origin: bool) -> list[str]:
    lines: list[str] = []
    table: KeyPath = ()
    for setting in settings:
        if setting.path[:-1] != table:
            table = setting.path[:-1]
            lines += ["", f"[{dotted(table)}]"] if lines else [f"[{dotted(table)}]"]
        text = f"{dotted(setting.path[-1:])} = {toml_value(setting.value)}"
        if setting.value is None:
            text = f"# {dotted(setting.path[-1:])} is not set"
        lines.append(f"{text:<40}  # {setting.origin or 'default'}" if origin else text)
    return lines


for _verb in (show, get, set_, unset, sample, schema):
    app.command(_verb.__name__.rstrip("_"), short_help=first_sentence(_verb))(_verb)

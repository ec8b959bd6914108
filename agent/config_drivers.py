"""A driver's section against its DriverConfig: every bad field, not the first; no pydantic here."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec

from agent.config_files import Section, Tree
from agent.config_problems import (
    Problem,
    bad_value,
    did_you_mean,
    dotted,
    missing_key,
    node_at,
)
from agent.config_text import KeyPath
from agent.sdk import DriverConfig

C = TypeVar("C", bound=DriverConfig)
NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_MSGSPEC_PATH = re.compile(r" - at `\$.*`$")


def driver_sections(tree: Tree) -> tuple[dict[str, Section], list[Problem]]:
    """The `[drivers.NAME]` tables with a good name and a `type`; what is wrong with the others."""
    drivers = tree.get(("drivers",))
    sections: dict[str, Section] = {}
    problems: list[Problem] = []
    if drivers is None:
        return sections, problems
    if not isinstance(drivers, dict):
        text = "expected one table [drivers.NAME] a driver"
        return sections, [tree.problem(("drivers",), text)]
    for name in drivers:
        section = tree.section(("drivers", name))
        if section is None:
            text = f"got a value, expected a table [drivers.{dotted([name])}]"
            problems.append(tree.problem(("drivers", name), text))
        elif not NAME.fullmatch(name):
            text = "expected a name of 1..32 letters, digits, _ and -"
            problems.append(tree.problem(("drivers", name), text))
        elif not isinstance(section.values.get("type"), str):
            text = "missing, expected the type of the driver in quotes"
            if "type" in section.values:
                text = text.replace("missing", "no text")
            fix = 'add type = "...", one of those that `brain config sample --list` prints'
            problems.append(section.problem(("type",), text, fix))
        else:
            sections[name] = section
    return sections, problems


def validate_driver(section: Section, model: type[DriverConfig]) -> list[Problem]:
    """Every field of `section` that `model` does not allow, in the order of the section."""
    schema = msgspec.json.schema(model)
    values = options(section, model)
    problems = []
    for path, text in _bad(values, model, ()):
        node = node_at(schema, path)
        if text == _UNKNOWN:
            around = node_at(schema, path[:-1])
            fix = did_you_mean(str(path[-1]), around.get("properties", {}))
            problems.append(section.problem(path, _UNKNOWN, fix))
        elif text == _MISSING:
            problems.append(section.problem(path, *missing_key(path, node)))
        elif node and text.startswith(("Expected", "Invalid")):
            came: Any = values
            for key in path:
                came = came[key]
            problems.append(section.problem(path, *bad_value(path, came, node)))
        else:
            problems.append(section.problem(path, text))
    return problems


def driver_config(section: Section, model: type[C]) -> C:
    """The typed section. Call it after `validate_driver` found nothing."""
    return msgspec.convert(options(section, model), model)


_UNKNOWN = "unknown key"
_MISSING = "missing"


def options(section: Section, model: type[DriverConfig]) -> dict[str, Any]:
    """The values of a section without `type`, files absolute; nothing is validated."""
    fields = {item.encode_name: item for item in msgspec.structs.fields(model)}
    found = {k: v for k, v in section.values.items() if k != "type" or k in fields}
    for key, value in found.items():
        if key in fields and value and isinstance(value, str) and _names_a_file(fields[key].type):
            stated_in = section.tree.place((*section.path, key)).file
            found[key] = str(stated_in.parent.absolute() / value)
    return found


def remote(model: type[DriverConfig]) -> frozenset[str]:
    """The options that may be changed from afar, see agent.sdk.REMOTE."""
    fields = msgspec.structs.fields(model)
    return frozenset(item.encode_name for item in fields if _marked(item.type, "remote"))


def _names_a_file(kind: Any) -> bool:
    return _marked(kind, "file")


def _marked(kind: Any, word: str) -> bool:
    about = get_args(kind)[1:] if get_origin(kind) is Annotated else ()
    return any(isinstance(one, msgspec.Meta) and (one.extra or {}).get(word) for one in about)


def _bad(value: object, kind: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Path and reason of everything in `value` that `kind` does not allow."""
    found = False
    for deeper in _children(value, kind, path):
        found = True
        yield deeper
    if found:
        return
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        text = _MSGSPEC_PATH.sub("", str(error))
        # A struct that judges its fields together says "FIELD: what is wrong".
        name, _, rest = text.partition(": ")
        if rest and isinstance(value, Mapping) and name in value:
            yield (*path, name), rest
        else:
            yield path, text


def _children(value: object, kind: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    kind = _bare(kind)
    args = get_args(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, Mapping):
        fields = {item.encode_name: item for item in msgspec.structs.fields(kind)}
        for key, item in value.items():
            if key in fields:
                yield from _bad(item, fields[key].type, (*path, key))
            elif kind.__struct_config__.forbid_unknown_fields:
                yield (*path, key), _UNKNOWN
        for key, about in fields.items():
            if about.required and key not in value:
                yield (*path, key), _MISSING
    elif get_origin(kind) is dict and isinstance(value, Mapping):
        for key, item in value.items():
            yield from _bad(item, args[1], (*path, key))
    elif get_origin(kind) in (list, tuple) and isinstance(value, list):
        repeated = get_origin(kind) is list or args[1:] == (...,)
        if repeated:
            for position, item in enumerate(value):
                yield from _bad(item, args[0], (*path, position))


def _bare(kind: Any) -> Any:
    """`kind` without Annotated, and X for `X | None`."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in (Union, types.UnionType):
        parts = [part for part in get_args(kind) if part is not type(None)]
        return _bare(parts[0]) if len(parts) == 1 else kind
    return kind

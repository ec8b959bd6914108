"""One value changed in its TOML file: comments stay, what would not be valid is refused."""

from __future__ import annotations

import os
import re
import stat
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from agent.cli.check import all_problems
from agent.cli.exits import INVALID, CliError
from agent.config import Loaded, load
from agent.config_problems import Problem, dotted, render, toml_value
from agent.config_text import KeyPath, locate


@dataclass(frozen=True, slots=True)
class Edit:
    """A change that was written. `before` is None where the file did not state the key."""

    file: Path
    before: object
    value: object


def apply(config: Path, path: KeyPath, candidates: Sequence[object] | None) -> Edit:
    """Set `path` to the first of `candidates` that is valid; None takes the key out.

    The file is the one that states the key now, else the main file. Raises CliError, and nothing
    is written then.
    """
    loaded = load(config)
    if not config.exists():
        raise CliError(
            f"{config}: no such file. Make one with: brain config sample > {config}", INVALID
        )
    file = _file(loaded, path)
    text = _text(file)
    before = _value(tomllib.loads(text), path)
    if candidates is None and before is None:
        raise CliError(f"{file} does not set {dotted(path)}; nothing was changed", INVALID)
    known = {(problem.key, problem.text) for problem in all_problems(loaded)}
    refused: list[Problem] = []
    for value in [None] if candidates is None else candidates:
        changed = _edited(text, path, value)
        found = all_problems(load(config, contents={file: changed}))
        new = [problem for problem in found if (problem.key, problem.text) not in known]
        if not new:
            _replace(file, changed)
            return Edit(file, before, value)
        refused = refused or new
    raise CliError("\n".join([*render(refused), "Nothing was changed."]), INVALID)


def _file(loaded: Loaded, path: KeyPath) -> Path:
    stated = loaded.origin(path)
    beside = loaded.tree.main.parent
    # An overlay describes a model of vehicles; this vehicle's own files lie over it.
    if stated is not None and stated.file.parent in (beside, beside / "conf.d"):
        return stated.file
    return loaded.tree.main


def _text(file: Path) -> str:
    try:
        text = file.read_bytes().decode()
        tomllib.loads(text)
    except OSError as error:
        raise CliError(f"{file}: {error.strerror}", INVALID) from error
    except ValueError as error:
        text = f"{file} is no TOML ({error}); brain check says more"
        raise CliError(text, INVALID) from error
    return text


def _edited(text: str, path: KeyPath, value: object) -> str:
    """The text with the key set, or without it for None."""
    expected = tomllib.loads(text)
    _put(expected, path, value)
    for edit in (_beside_its_default, _by_key):
        changed = edit(text, path, value)
        try:
            # No edit is trusted: the result must say what was asked, and the same for the rest.
            if changed is not None and tomllib.loads(changed) == expected:
                return changed
        except tomllib.TOMLDecodeError:
            continue
    raise CliError(f"{dotted(path)} cannot be changed in place; edit the file by hand", INVALID)


def _beside_its_default(text: str, path: KeyPath, value: object) -> str | None:
    """Below a line `# key = default` of its table, where the reader looks for it; None if none."""
    lines = locate(text)
    if value is None or path in lines:
        return None
    start = lines.get(path[:-1]) if len(path) > 1 else 0
    if start is None:
        return None
    rows = text.split("\n")
    default = re.compile(rf"\s*#\s*{re.escape(dotted(path[-1:]))}\s*=")
    for at in range(start, len(rows)):
        if rows[at].lstrip().startswith("["):
            return None
        if default.match(rows[at]):
            end = "\r" if rows[at].endswith("\r") else ""
            rows.insert(at + 1, f"{dotted(path[-1:])} = {toml_value(value)}{end}")
            return "\n".join(rows)
    return None


def _by_key(text: str, path: KeyPath, value: object) -> str | None:
    document = tomlkit.parse(text)
    node: Any = document
    try:
        for key in path[:-1]:
            if key not in node:
                node[key] = tomlkit.table()
            node = node[key]
        if value is None:
            del node[path[-1]]
        else:
            node[path[-1]] = value
    except (TOMLKitError, TypeError, KeyError, AttributeError):
        return None
    return tomlkit.dumps(document)


def _put(values: dict[str, Any], path: KeyPath, value: object) -> None:
    node = values
    for key in path[:-1]:
        below = node.setdefault(str(key), {})
        if not isinstance(below, dict):
            raise CliError(f"{dotted(path)}: {key} is a value, not a table", INVALID)
        node = below
    if value is None:
        del node[str(path[-1])]
    else:
        node[str(path[-1])] = value


def _value(values: dict[str, Any], path: KeyPath) -> object:
    node: object = values
    for key in path:
        if not isinstance(node, dict) or key not in node:
            return None
        node = node[key]
    return node


def _replace(file: Path, text: str) -> None:
    """Atomically and durably: a power cut leaves the old file or the new one."""
    target = file.resolve()
    try:
        was = target.stat()
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as new:
                new.write(text.encode())
                os.fchmod(new.fileno(), stat.S_IMODE(was.st_mode))
                if (was.st_uid, was.st_gid) != (os.getuid(), os.getgid()):
                    os.fchown(new.fileno(), was.st_uid, was.st_gid)
                new.flush()
                os.fsync(new.fileno())
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise CliError(f"{file}: {error.strerror}; nothing was changed", INVALID) from error

"""Which settings may be changed from afar, and the file that such changes are written to. Pure.

All is forbidden that is not named here. What a vehicle is called, where it sends, whom it trusts
and who may command it are never among it: a stolen key must not be able to take a vehicle away.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from typing import Any

from agent.commands.operation import Args, exactly
from agent.config_text import KeyPath

MAX_KEYS = 16
MAX_TEXT = 200
MAX_LIST = 32
FILE = "zz-remote.toml"
"""In conf.d beside the main file; by its name the last."""
_HEADER = "# Written by the agent: changes that came as signed commands. See docs/commands.md.\n"
_UPLINK = frozenset(
    {"enabled", "format", "linger_s", "window", "max_payload_kib", "ack_timeout_s", "keepalive_s"}
)
_STORE = frozenset({"commit_interval_s", "alarm_commit_ms"})
"""The others count from a restart on, so that they cannot be tried."""
_SECRETS = ("file:", "env:", "credential:")


def check(args: Args) -> None:
    """Raise ValueError unless `args` is {"set": {dotted key: value or null, ...}}, all settable."""
    exactly(args, {"set": dict}, {})
    if not 1 <= len(args["set"]) <= MAX_KEYS:
        raise ValueError(f"set: expected 1..{MAX_KEYS} keys")
    for key, value in args["set"].items():
        path = _path(key)
        if path[0] == "store" and not settable(path):
            raise ValueError(
                f"{key}: cannot be set from afar, it cannot be tried without a restart; "
                f"of store there are: {', '.join(sorted(_STORE))}"
            )
        if not settable(path):
            raise ValueError(f"{key}: cannot be set from afar")
        _check_value(key, value)


def settable(path: KeyPath) -> bool:
    """Whether a key may be changed from afar."""
    match path:
        case ("agent", "log_level"):
            return True
        case ("store", str(key)):
            return key in _STORE
        case ("arbitration", _, _, *_) | ("budget", _, *_):
            return True
        case ("uplink", str(key)):
            return key in _UPLINK
        case ("drivers", _, str(option), *_):
            # Which options of a driver, only its class says: see agent.cli.candidate.
            return option != "type"
    return False


def edited(text: str, changes: Mapping[str, Any]) -> str:
    """The remote file with changes; null takes a key out. Raises ValueError."""
    import tomlkit

    values: dict[str, Any] = tomllib.loads(text)
    for key, value in changes.items():
        *tables, last = (str(part) for part in _path(key))
        node = values
        for table in tables:
            node = node.setdefault(table, {})
            if not isinstance(node, dict):
                raise ValueError(f"{key}: {table} is a value, not a table")
        if value is None:
            node.pop(last, None)
        else:
            node[last] = value
    _prune(values)
    return _HEADER + tomlkit.dumps(values) if values else ""


def _prune(values: dict[str, Any]) -> None:
    """Without empty tables: one of a driver alone would declare it."""
    for key in list(values):
        if isinstance(values[key], dict):
            _prune(values[key])
            if not values[key]:
                del values[key]


def _path(key: str) -> KeyPath:
    parts = tuple(key.split("."))
    if not all(part and part.replace("_", "").replace("-", "").isalnum() for part in parts):
        raise ValueError(f"{key[:80]!r}: expected a dotted key")
    if not key.isascii() or len(key) > MAX_TEXT:
        raise ValueError("expected a dotted key")
    return parts


def _check_value(key: str, value: object) -> None:
    if isinstance(value, list):
        if len(value) > MAX_LIST or any(item is None or isinstance(item, list) for item in value):
            raise ValueError(f"{key}: expected a list of at most {MAX_LIST} values")
        for item in value:
            _check_value(key, item)
        return
    if isinstance(value, str):
        if len(value) > MAX_TEXT or not value.isprintable():
            raise ValueError(f"{key}: expected at most {MAX_TEXT} printable characters")
        # A place on this box, or what could be one.
        if "/" in value or "\\" in value or ".." in value or value.startswith(_SECRETS):
            raise ValueError(f"{key}: paths and references to secrets cannot be set from afar")
        return
    finite = isinstance(value, float) and math.isfinite(value)
    if not (value is None or isinstance(value, bool | int) or finite):
        raise ValueError(f"{key}: expected a text, a number, true, false, null or a list of these")

"""What vehicles of this version can be asked for, so that a slip is found before it is signed.

A vehicle judges for itself; this is the courtesy of saying it here, see docs/commands.md.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DAY_S, QUARTER_S = 86_400, 900
_WORDS = {str: "a text", int: "a whole number", bool: "true or false", dict: "--set KEY=VALUE"}


@dataclass(frozen=True, slots=True)
class Operation:
    """Arguments by name with their types, the longest life in s, and whether a file comes of it."""

    required: Mapping[str, type] = field(default_factory=dict)
    optional: Mapping[str, type] = field(default_factory=dict)
    life_s: int = DAY_S
    makes_file: bool = False


OPERATIONS: Mapping[str, Operation] = {
    "status": Operation(),
    "bundle": Operation(makes_file=True),
    "dump": Operation({"source": str, "seconds": int}, {"mask": bool}, makes_file=True),
    "driver.restart": Operation({"source": str}, life_s=QUARTER_S),
    "config.set": Operation({"set": dict}),
}


def check(name: str, args: Mapping[str, Any], life_s: int, *, wants_file: bool) -> None:
    """Raise ValueError for what every vehicle of this version would refuse; it says what to do."""
    operation = OPERATIONS.get(name)
    if operation is None:
        near = difflib.get_close_matches(name, OPERATIONS, n=1)
        fix = f"did you mean {near[0]}?" if near else f"there are {', '.join(OPERATIONS)}"
        raise ValueError(
            f"{name!r} is no operation of this version: {fix} (--unchecked sends it all the same)"
        )
    for missing in operation.required.keys() - args.keys():
        how = "--set KEY=VALUE" if missing == "set" else f"--arg {missing}=VALUE"
        raise ValueError(f"{name}: {missing} is missing, add {how}")
    for key, value in args.items():
        wanted = operation.required.get(key) or operation.optional.get(key)
        if wanted is None:
            known = ", ".join([*operation.required, *operation.optional]) or "none"
            raise ValueError(f"{name}: {key!r} is no argument of it, there are: {known}")
        # A bool is an int in Python, not here.
        if type(value) is not wanted:
            raise ValueError(f"{name}: {key}: got {value!r}, expected {_WORDS[wanted]}")
    if life_s > operation.life_s:
        raise ValueError(f"--life: got {life_s}, {name} may be valid for {operation.life_s} s")
    if wants_file and not operation.makes_file:
        some = ", ".join(n for n, found in OPERATIONS.items() if found.makes_file)
        raise ValueError(f"--out: {name} makes no file; leave it out, or ask for one of: {some}")

"""What can be commanded: an operation, its task and its outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.commands.judge import Limits

Args = Mapping[str, Any]
DAY_S, QUARTER_S = 86_400, 900


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a command. `state`: done, failed, refused or unknown; `code`: a fixed word."""

    state: str
    code: str = ""
    text: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)


Finish = Callable[[Outcome], None]
"""Called once, from any thread."""


@dataclass(frozen=True, slots=True)
class Operation:
    """`check` raises ValueError for wrong arguments; `run(cid, args, finish)` does not block.

    `repeatable`: doing it twice is as good as once, so a kill in the middle is mended by repeating.
    `goes_on(cid)`: whether it is under way already at a start, and needs no beginning.
    """

    name: str
    check: Callable[[Args], None]
    run: Callable[[str, Args, Finish], None]
    limits: Limits
    repeatable: bool = False
    goes_on: Callable[[str], bool] = lambda cid: False


def exactly(args: Args, required: Mapping[str, type], optional: Mapping[str, type]) -> None:
    """Raise ValueError unless `args` has these names with values of these very types."""
    for name in required.keys() - args.keys():
        raise ValueError(f"{name}: missing")
    for name, value in args.items():
        wanted = required.get(name) or optional.get(name)
        if wanted is None:
            known = ", ".join(sorted({*required, *optional})) or "none"
            raise ValueError(f"{name[:40]!r} is no argument; there are: {known}")
        # A bool is an int in Python, not here.
        if type(value) is not wanted:
            raise ValueError(f"{name}: expected {_WORDS[wanted]}, got {type(value).__name__}")


_WORDS = {str: "a text", int: "a whole number", bool: "true or false", dict: "an object"}

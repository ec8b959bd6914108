"""The agent stands still at a chosen call, so that its power can be cut there; orders are counted.

BRAIN_RIG_STAND is `module:Class.method:before|after`. Once the file /shore/armed is there, the next
call writes /shore/stands and never comes back. Each command that reaches a driver is a line in
/shore/effects. The directory is the host's, so what is in it outlives a power cut.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SHORE = Path("/shore")


def stand_at(module: str, path: str, when: str) -> None:
    owner: Any = importlib.import_module(module)
    *names, last = path.split(".")
    for name in names:
        owner = getattr(owner, name)
    original = getattr(owner, last)

    def here() -> None:
        if (SHORE / "armed").exists():
            (SHORE / "stands").touch()
            threading.Event().wait()

    @functools.wraps(original)
    def standing(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            here()
        answer = original(*args, **kwargs)
        if when == "after":
            here()
        return answer

    setattr(owner, last, standing)


def count_orders() -> None:
    from drivers.fms_j1939.driver import FmsJ1939

    original = FmsJ1939.command

    def command(self: FmsJ1939, verb: str, args: Mapping[str, Any]) -> Any:
        with (SHORE / "effects").open("a") as effects:
            effects.write(json.dumps(dict(args)) + "\n")
        return original(self, verb, args)

    FmsJ1939.command = command  # type: ignore[method-assign]


if "run" in sys.orig_argv and (point := os.environ.get("BRAIN_RIG_STAND")):
    stand_at(*point.split(":"))
elif "driver" in sys.orig_argv and "fms" in sys.orig_argv:
    count_orders()

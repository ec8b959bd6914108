"""Ends `brain run` at a chosen call, from outside the product: world.env = failpoint(...).

BRAIN_FAULT_AT is `module:Class.method:before|after:N`: SIGKILL before or after its Nth call.
BRAIN_FAULT_HANG is `module:Class.method`: from SIGUSR1 on it never comes back.
BRAIN_FAULT_SET is `module:NAME=number,...`: constants that have other values from the start on.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
import threading
from typing import Any


def holder(module: str, path: str) -> tuple[Any, str]:
    found: Any = importlib.import_module(module)
    *names, last = path.split(".")
    for name in names:
        found = getattr(found, name)
    return found, last


def die_at(module: str, path: str, when: str, count: str) -> None:
    owner, name = holder(module, path)
    original, calls = getattr(owner, name), 0

    @functools.wraps(original)
    def dying(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if when == "before" and calls == int(count):
            os.kill(os.getpid(), signal.SIGKILL)
        answer = original(*args, **kwargs)
        if when == "after" and calls == int(count):
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(owner, name, dying)


def hang_at(module: str, path: str) -> None:
    owner, name = holder(module, path)
    signal.signal(
        signal.SIGUSR1, lambda *_: setattr(owner, name, lambda *_: threading.Event().wait())
    )


def set_constants(text: str) -> None:
    for item in text.split(","):
        name, _, value = item.partition("=")
        module, _, path = name.partition(":")
        owner, last = holder(module, path)
        setattr(owner, last, type(getattr(owner, last))(float(value)))


if "run" in sys.orig_argv and "agent.cli.main" in sys.orig_argv:
    if point := os.environ.get("BRAIN_FAULT_AT"):
        die_at(*point.split(":"))
    if point := os.environ.get("BRAIN_FAULT_HANG"):
        hang_at(*point.split(":"))
    if text := os.environ.get("BRAIN_FAULT_SET"):
        set_constants(text)

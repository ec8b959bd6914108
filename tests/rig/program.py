"""A program in the guest: its output is a file of the host, its exit code comes by the server."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.rig.machine import Machine


@dataclass(frozen=True)
class Ended:
    """How a program in the guest ended. `code` is negative for a signal."""

    code: int
    output: str

    def json(self) -> Any:
        """The JSON object at the end of the output."""
        return json.loads(self.output[self.output.index("{") :])


class GuestFailed(AssertionError):
    """The guest or a program in it did not do what it should; the text ends with the console."""


class Program:
    """A program that was started in the guest."""

    def __init__(self, machine: Machine, name: str, argv: Sequence[str]) -> None:
        self.name = name
        self.argv = argv
        self._machine = machine
        self.file = machine.control / f"{name}.out"

    @property
    def output(self) -> str:
        """What it has printed so far; also after a power cut."""
        return self.file.read_text(errors="replace") if self.file.exists() else ""

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        self._machine.listen(0.0)
        return self._machine.ended.get(self.name)

    def wait(self, timeout_s: float = 60.0) -> Ended:
        """Wait for its end. Raises GuestFailed with its output and the console."""
        self._machine.until(
            lambda: self.name in self._machine.ended,
            f"{' '.join(self.argv)!r} ends",
            timeout_s,
            also=lambda: self.output,
        )
        return Ended(self._machine.ended[self.name], self.output)

    def kill(self, number: int = signal.SIGTERM) -> None:
        """Send a signal to it and its children."""
        self._machine.tell(kill=self.name, signal=int(number))

    def says(self, text: str, timeout_s: float = 60.0) -> None:
        """Wait until it has printed `text`. Raises GuestFailed, also where it ends without."""
        self._machine.until(
            lambda: text in self.output or self.code is not None,
            f"{' '.join(self.argv)!r} prints {text!r}",
            timeout_s,
            also=lambda: self.output,
        )
        if text not in self.output:
            raise self._machine.failed(
                f"{' '.join(self.argv)!r} ended without {text!r}", self.output
            )

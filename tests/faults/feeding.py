"""A feeder from outside: starts tests/faults/feeder.py, steers it and reads its ledger."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


class Feeder:
    """A driver process that emits numbers; see tests/faults/feeder.py."""

    def __init__(
        self,
        directory: Path,
        socket: Path,
        name: str,
        rate: float,
        before: Sequence[str] = (),
        after: int = 0,
    ) -> None:
        """`before` goes before its command line; `after` is the last number of an earlier life."""
        self.name, self.rate, self._after = name, rate, after
        self._ledger = directory / f"{name}.ledger"
        argv = [
            *before,
            sys.executable,
            "-P",
            str(Path(__file__).with_name("feeder.py")),
            str(socket),
        ]
        argv += [str(directory), "--name", name, "--rate", str(rate), "--after", str(after)]
        with (directory / f"{name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=CHECKOUT
            )

    def tell(self, line: str) -> None:
        """`rate N`: numbers a second, 0 is silence; `pad N`: bytes beside each number."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def emitted(self) -> int:
        """The last number that it began to emit."""
        text = self._ledger.read_text() if self._ledger.exists() else ""
        return max(self._after, int(text or 0))

    def kill(self) -> int:
        """SIGKILL: what its ring holds is gone. The last number that it began to emit."""
        self.close()
        return self.emitted()

    def close(self) -> None:
        """End it."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.kill()
        self.process.wait()

"""How `brain` ends: its exit codes and the errors that end it with one line."""

from __future__ import annotations

OK = 0
DEGRADED = 1
INVALID = 2
"""Bad configuration or bad arguments; a restart does not help."""
NOT_RUNNING = 3
IN_USE = 75
"""Another process has the outbox; EX_TEMPFAIL of sysexits.h."""
INTERRUPTED = 130
CLOSED_PIPE = 141
"""128 + SIGPIPE, as the shell reports it for other programs."""


class CliError(Exception):
    """Ends the command: `text` on stderr, `code` as exit code."""

    def __init__(self, text: str, code: int = DEGRADED) -> None:
        super().__init__(text)
        self.code = code


class ClosedPipe(Exception):
    """Nobody reads stdout any more, as with `| head`; no error."""

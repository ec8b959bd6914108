"""`brain`: picks the verb, imports that alone, and turns every error into one line.

`run`, `driver`, `up` and `simulate` come first to a box at ignition, or to its memory for good:
they are started without the command-line library.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from agent.cli import output
from agent.cli.exits import CLOSED_PIPE, DEGRADED, INTERRUPTED, INVALID, OK, CliError, ClosedPipe

LIGHT = {
    "simulate": "A whole vehicle, its broker and its cloud end on this machine.",
    "up": "Everything on this machine: the coordinator and each driver.",
    "run": "The coordinator alone; drivers are started beside it.",
    "driver": "The process of one driver, named as in the configuration.",
}
"""Verbs that start something, with their help. Each is `main(arguments) -> int` of its module."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    words, verbosity = _verbosity(sys.argv[1:] if arguments is None else list(arguments))
    try:
        code = _dispatch(words, verbosity)
        output.flush()
        return code
    except CliError as error:
        for text in str(error).split("\n"):
            output.error(text)
        return error.code
    except KeyboardInterrupt:
        return INTERRUPTED
    except ClosedPipe:
        return CLOSED_PIPE
    # The last guard: whatever slips through is one line, its traceback is for -vv.
    except Exception as error:
        if verbosity >= 2:
            raise
        return _explain(error, words)


def _dispatch(words: list[str], verbosity: int) -> int:
    verb = words[0] if words else ""
    if verb in ("--version", "-V"):
        from importlib.metadata import version

        output.line(f"brain {version('computing-brain')}")
        return OK
    if verb in LIGHT:
        from agent.cli.logs import configure
        from agent.protocol import die_with_parent

        die_with_parent()
        configure("info", verbosity)
        return int(import_module(f"agent.cli.{verb}").main(words[1:]))
    from agent.cli.verbs import invoke

    return invoke(words, verbosity)


def _explain(error: Exception, words: Sequence[str]) -> int:
    from agent.config_problems import ConfigInvalid, render

    if isinstance(error, ConfigInvalid):
        for text in render(error.problems):
            output.error(text)
        output.error(ended(len(error.problems)))
        return INVALID
    # Errors of the command-line library: unknown verb or option, a missing argument.
    explain = getattr(error, "format_message", None)
    if callable(explain):
        text = str(explain()).rstrip(".")
        known = words and not words[0].startswith("-") and "command" not in text
        where = f"brain {words[0]}" if known else "brain"
        output.error(f"{text}{'' if text.endswith('?') else '.'} See: {where} --help")
        return INVALID
    what = str(error) or "no text"
    output.error(f"brain: internal error: {type(error).__name__}: {what} (-vv shows where)")
    return DEGRADED


def ended(count: int) -> str:
    """The last line under a list of problems."""
    return f"{count} problem{'' if count == 1 else 's'}, nothing was started."


def _verbosity(words: list[str]) -> tuple[list[str], int]:
    """The words without -v and -vv, which may stand anywhere, and how often v was said."""
    kept = [word for word in words if word not in ("-v", "-vv", "--verbose")]
    count = sum(len(word) - 1 if word.startswith("-v") else 1 for word in words if word not in kept)
    return kept, count


if __name__ == "__main__":
    sys.exit(main())

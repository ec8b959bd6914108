"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from agent.config_files import DEFAULT_FILE

ConfigFile = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help=f"Configuration; default: {DEFAULT_FILE}.",
        show_default=False,
    ),
]
RunDir = Annotated[
    Path | None,
    typer.Option("--run-dir", metavar="DIR", help="Directory of the sockets.", show_default=False),
]
StateDir = Annotated[
    Path | None,
    typer.Option("--state-dir", metavar="DIR", help="Directory of the outbox.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs: JSON with a stable form.")]


def first_sentence(verb: Callable[..., object]) -> str:
    """The short help of a verb: all of its first sentence, where the library would cut it."""
    return (verb.__doc__ or "").split("\n")[0].split(". ")[0].strip().rstrip(".") + "."

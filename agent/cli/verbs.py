"""The table of verbs and the command line built from it; only the verb in use is imported."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any

import typer

from agent.cli.main import LIGHT
from agent.cli.options import first_sentence

COMMANDS = {
    "check": "agent.cli.check:check",
    "doctor": "agent.cli.doctor:doctor",
    "config": "agent.cli.configure:app",
    "status": "agent.cli.status:status",
    "audit": "agent.cli.audit:audit",
    "budget": "agent.cli.budget:budget",
    "commands": "agent.cli.commands:commands",
    "bundle": "agent.cli.bundle:bundle",
    "watch": "agent.cli.watch:watch",
    "explain": "agent.cli.explain:explain",
    "signals": "agent.cli.signals:signals",
    "record": "agent.cli.record:record",
    "outbox": "agent.cli.outbox:app",
    "decode": "agent.cli.decode:decode",
}
"""Verb -> what implements it: a function, or a Typer with verbs of its own."""


def invoke(words: list[str], verbosity: int) -> int:
    """Run the verb in `words`; without any, show all of them."""
    from agent.cli.logs import configure

    configure("warning", verbosity)
    command = typer.main.get_command(build(words[0] if words else ""))
    answer = command.main(args=words or ["--help"], prog_name="brain", standalone_mode=False)
    return answer if isinstance(answer, int) else 0


def build(verb: str = "") -> typer.Typer:
    """The command line with `verb` alone, or with all verbs where it is none of them."""
    app = typer.Typer(
        name="brain",
        help="The on-board computer of a bus: reads it, keeps what it said, sends it to the cloud.",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback()(_everywhere)
    if verb not in COMMANDS:
        for name, about in LIGHT.items():
            passed_on = {"allow_extra_args": True, "ignore_unknown_options": True}
            command = app.command(name, help=about, short_help=about, context_settings=passed_on)
            command(_light(name))
    for name in [verb] if verb in COMMANDS else COMMANDS:
        module, _, attribute = COMMANDS[name].partition(":")
        found = getattr(import_module(module), attribute)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name, short_help=str(found.info.help))
        else:
            app.command(name, short_help=first_sentence(found))(found)
    return app


def _everywhere(
    version: Annotated[bool, typer.Option("--version", "-V", help="Show the version.")] = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Say more; -vv also shows where an error arose."),
    ] = False,
) -> None:
    """Both are taken from the arguments before; here they get their help."""


def _light(name: str) -> Callable[[typer.Context], int]:
    """What `LIGHT` verbs are within the command line: `brain --help` lists them."""

    def start(context: typer.Context) -> int:
        main: Callable[[list[str]], Any] = import_module(f"agent.cli.{name}").main
        return int(main(context.args))

    return start

"""The command as a whole: help, errors, exit codes, how light the light verbs are."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from agent.cli import main as main_module
from agent.cli.main import LIGHT, main
from agent.cli.verbs import COMMANDS, build

from .conftest import Brain

VERBS = [*LIGHT, *COMMANDS]


def test_help_lists_every_verb_with_its_whole_sentence(process: Brain) -> None:
    done = process("--help")
    assert (done.code, done.err) == (0, "")
    for verb in VERBS:
        assert re.search(rf"^  {verb} +\S.*[.?]$", done.out, re.MULTILINE), verb
    assert "..." not in done.out.partition("Commands:")[2]
    assert process().out == process("--help").out


def test_every_verb_and_option_has_help() -> None:
    command = typer.main.get_command(build())
    commands = dict(command.commands)  # type: ignore[attr-defined]
    for name in ("config", "outbox"):
        deeper = commands[name].commands
        assert len(deeper) >= 4
        commands |= {f"{name} {verb}": each for verb, each in deeper.items()}
    for name, each in commands.items():
        assert each.help and each.help[0].isupper(), name
        for parameter in each.params:
            assert parameter.name == "help" or getattr(parameter, "help", ""), (name, parameter)


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "simulate"])
def test_each_verb_explains_itself(brain: Brain, verb: str) -> None:
    if verb in LIGHT:
        with pytest.raises(SystemExit) as ended:
            main([verb, "--help"])
        assert ended.value.code == 0
    else:
        done = brain(verb, "--help")
        assert (done.code, done.err) == (0, "")
        assert f"brain {verb}" in done.out


def test_version(process: Brain) -> None:
    assert re.fullmatch(r"brain \d+\.\d+\.\d+\n", process("--version").out)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["statsu"], "No such command 'statsu'. Did you mean 'status'? See: brain --help"),
        (["check", "--foo"], "No such option: --foo. See: brain check --help"),
        (["config"], "Missing command. See: brain --help"),
        (["signals", "--format", "xml"], "See: brain signals --help"),
        (["run", "--foo"], "brain run: unrecognized arguments: --foo. See: brain run --help"),
        (["driver"], "brain driver: the following arguments are required: NAME"),
    ],
)
def test_a_wrong_command_line_is_one_line(brain: Brain, words: list[str], says: str) -> None:
    done = brain(*words)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert done.err.count("\n") == 1


def test_a_fault_of_ours_is_one_line_and_a_traceback_with_vv(
    brain: Brain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(words: list[str], verbosity: int) -> int:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(main_module, "_dispatch", fail)
    done = brain("check")
    assert done.code == 1
    assert done.err == "brain: internal error: RuntimeError: two lines (-vv shows where)\n"
    with pytest.raises(RuntimeError):
        main(["check", "-vv"])


def test_ctrl_c_is_130(brain: Brain, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(words: list[str], verbosity: int) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(main_module, "_dispatch", interrupted)
    assert brain("watch") == type(brain("watch"))(130, "", "")


def test_simulate_becomes_the_simulator(process: Brain, tmp_path: Path) -> None:
    # A folder of that name where the user stands is not meant.
    (tmp_path / "simulator").mkdir()
    (tmp_path / "simulator" / "__main__.py").write_text("print('mine')")
    (tmp_path / "simulator" / "__init__.py").touch()
    done = process("simulate", "--help")
    assert done.code == 0
    assert "--fault" in done.out


def test_simulate_without_its_broker_is_one_line(
    brain: Brain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "iotcore", None)
    monkeypatch.setattr(
        "agent.cli.simulate.find_spec", lambda name: None if name == "iotcore" else object()
    )
    done = brain("simulate")
    assert done.code == 2
    assert "iotcore" in done.err and done.err.count("\n") == 1


def test_a_driver_imports_no_library_that_it_does_not_need(plugins: Path) -> None:
    code = "import agent.cli.driver, agent.host, sys, json; print(json.dumps(list(sys.modules)))"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    loaded = {name.partition(".")[0] for name in json.loads(out)}
    heavy = {"pydantic", "pydantic_core", "typer", "rich", "click", "tomlkit", "sqlite3", "paho"}
    assert not loaded & {*heavy, "asyncio", "email", "importlib_metadata"}


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from agent.cli.output import coloured

    class Terminal:
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert coloured("ok", "green", terminal) == "\x1b[32mok\x1b[0m"  # type: ignore[arg-type]
    monkeypatch.setenv("NO_COLOR", "1")
    assert coloured("ok", "green", terminal) == "ok"  # type: ignore[arg-type]
    with Path(os.devnull).open("w") as pipe:
        monkeypatch.delenv("NO_COLOR")
        assert coloured("ok", "green", pipe) == "ok"

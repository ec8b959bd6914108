"""`brain record`: the raw input of a driver as a file, for a bug report."""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.cli import output, words
from agent.cli.client import Control, NotRunning
from agent.cli.driver import own_section
from agent.cli.driver_types import resolve
from agent.cli.exits import DEGRADED, INTERRUPTED, INVALID, OK, CliError
from agent.cli.options import AsJson, ConfigFile, RunDir
from agent.cli.places import places_of
from agent.cli.recording import Recording
from agent.config_drivers import driver_config
from agent.config_files import DEFAULT_FILE, read
from agent.config_problems import ConfigInvalid
from agent.sdk import Commandable

MARGIN_S = 15
"""Beside the recording itself: other commands that the driver does first, slow flash."""
DEFAULT_SECONDS = 10


def record(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Driver, named as in [drivers.NAME].")
    ],
    seconds: Annotated[
        int | None,
        typer.Option("--seconds", "-s", min=1, max=3600, help="Record what comes, so long."),
    ] = None,
    past: Annotated[
        int | None,
        typer.Option("--past", min=1, max=60, help="Take the seconds that just passed instead."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="File to write.")
    ] = None,
    mask: Annotated[
        bool,
        typer.Option("--mask", help="Hide what is personal, as far as the driver can."),
    ] = False,
    config: ConfigFile = DEFAULT_FILE,
    run_dir: RunDir = None,
    as_json: AsJson = False,
) -> int:
    """The raw input of a driver as a file that brain decode reads, for a bug report.

    Through the running agent; where none runs, the driver is started here and Ctrl-C keeps what
    came. Without --seconds and --past: 10 s.
    """
    if seconds is not None and past is not None:
        raise CliError("--seconds and --past: expected one of them", INVALID)
    if out is not None and (out.exists() or not out.absolute().parent.is_dir()):
        what = "exists already" if out.exists() else "its folder does not exist"
        raise CliError(f"{out}: {what}, name another file with --out", INVALID)
    length = seconds or past or DEFAULT_SECONDS
    with _Progress(length, quiet=as_json or past is not None) as progress:
        control = Control(places_of(config, run_dir).run_dir, length + 2 * MARGIN_S)
        try:
            state_dir = control.ask("status")["outbox"]["directory"]
        except NotRunning:
            if past is not None:
                text = "brain is not running, so nothing of the past is kept"
                raise CliError(f"{text}; use --seconds", INVALID) from None
            result = _here(source, length, mask, config, out, progress)
        else:
            result = _asked(control, source, past is not None, length, mask, progress)
            result = _fetched(source, result, Path(state_dir) / "drivers" / source, out)
    result = {"source": source, "masked": mask, **result}
    if as_json:
        output.json_text(result)
    else:
        output.line(_said(result))
    return OK


def _asked(
    control: Control, source: str, past: bool, length: int, mask: bool, progress: _Progress
) -> dict[str, Any]:
    """The result of the driver's verb, through the agent."""
    answers: list[dict[str, Any] | BaseException] = []
    ended = threading.Event()

    def ask() -> None:
        try:
            args = {"seconds": length, "mask": mask}
            verb = "dump" if past else "record"
            timeout_s = MARGIN_S if past else length + MARGIN_S
            request = {"source": source, "command": verb, "args": args, "timeout_s": timeout_s}
            answers.append(control.ask("command", **request))
        except BaseException as error:
            answers.append(error)
        ended.set()

    threading.Thread(target=ask, name="ask", daemon=True).start()
    began = time.monotonic()
    try:
        while not ended.wait(0.2):
            progress.show(time.monotonic() - began)
    except KeyboardInterrupt:
        left_s = max(0.0, length - (time.monotonic() - began))
        text = f"{source} goes on recording for {left_s:.0f} s; its file stays with the driver"
        text += f". What passed: brain record {source} --past 60"
        raise CliError(text, INTERRUPTED) from None
    (answer,) = answers
    if isinstance(answer, BaseException):
        raise answer
    if not isinstance(answer.get("path"), str):
        raise CliError(f"{source} names no file: {answer}", DEGRADED)
    return answer


def _fetched(
    source: str, result: Mapping[str, Any], folder: Path, out: Path | None
) -> dict[str, Any]:
    """The result with `path` a copy of ours, or the driver's own file where we may not read it.

    Only what lies in the driver's own `folder` is copied: this user may read more than a driver.
    """
    theirs = Path(result["path"])
    target = out or Path(f"{source}-{theirs.name.removeprefix(f'{source}-')}")
    try:
        if not theirs.resolve().is_relative_to(folder.resolve()):
            text = f"{theirs} is not in the folder of {source}, {folder}: it is not copied"
            raise CliError(text, DEGRADED)
        content = theirs.open("rb")
    except PermissionError:
        return {**result, "copied": False}
    except OSError as error:
        raise CliError(f"{theirs}: {error.strerror or error}", DEGRADED) from error
    # "x": never over a file that is there.
    try:
        with content, target.open("xb") as ours:
            shutil.copyfileobj(content, ours)
    except OSError as error:
        text = f"{target}: {error.strerror or error}; it lies in {theirs}"
        raise CliError(text, DEGRADED) from error
    return {**result, "path": str(target), "copied": True}


def _here(
    source: str, length: int, mask: bool, config: Path, out: Path | None, progress: _Progress
) -> dict[str, Any]:
    """Run the driver in this process until it has recorded, or Ctrl-C."""
    section = own_section(read(config), source)
    found, problems = resolve(section)
    if problems or found is None:
        raise ConfigInvalid(problems)
    driver = found(driver_config(section, found.config_model))
    if not isinstance(driver, Commandable) or "record" not in driver.verbs:
        raise CliError(f"{source}: driver type {section.values['type']} cannot record", INVALID)
    with tempfile.TemporaryDirectory(prefix="brain-record-") as workdir:
        recording = Recording(source, driver, Path(workdir), length, mask)
        return _fetched(source, recording.run(progress.show), Path(workdir), out)


def _said(result: Mapping[str, Any]) -> str:
    lines, nbytes = result.get("lines", 0), result.get("bytes", 0)
    masked = ", masked" if result["masked"] else ", NOT masked: it may hold positions and names"
    said = (
        f"{result['path']}  {words.count(lines)} lines, {words.size(nbytes)}, "
        f"{result.get('seconds', 0):g} s{masked}"
    )
    if not result["copied"]:
        said += "\nIt is the driver's own file; this user may not read it: copy it as root."
    return said


class _Progress:
    """One line on a terminal that counts up; nothing elsewhere."""

    def __init__(self, length: int, quiet: bool) -> None:
        self._length = length
        self._shown = False
        self._quiet = quiet or not sys.stderr.isatty()

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def show(self, seconds: float) -> None:
        """How far it is."""
        if not self._quiet:
            self._shown = True
            text = f"\rrecording {min(seconds, self._length):.0f} of {self._length} s"
            sys.stderr.write(f"{text}   Ctrl-C ends it")
            sys.stderr.flush()

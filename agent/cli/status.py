"""`brain status`: one screen about the running agent."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from agent.cli import output, words
from agent.cli.client import Control, NotRunning
from agent.cli.exits import DEGRADED, NOT_RUNNING, OK, CliError
from agent.cli.options import AsJson, ConfigFile, RunDir
from agent.cli.places import places_of
from agent.config_files import DEFAULT_FILE

WIDTH = 80
HEIGHT = 24
WATCH_INTERVAL_S = 1.0
_INDENT = " " * 10
_CLOCKS = {
    "gnss": "GNSS-synced",
    "ntp": "NTP-synced",
    "vehicle": "set by the vehicle's",
    "rtc": "RTC, not synced",
    "none": "unknown",
}


def status(
    config: ConfigFile = DEFAULT_FILE,
    run_dir: RunDir = None,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Again each second.")] = False,
) -> int:
    """One screen about the running agent. Exit code 0 healthy, 1 degraded, 3 not running."""
    control = Control(places_of(config, run_dir).run_dir)
    pause = threading.Event()
    while True:
        code = _once(control, as_json, watch)
        if not watch or (code == NOT_RUNNING and not sys.stdout.isatty()):
            return code
        output.flush()
        pause.wait(WATCH_INTERVAL_S)


def _once(control: Control, as_json: bool, watch: bool) -> int:
    try:
        answer = control.ask("status")
    except NotRunning as error:
        if as_json:
            output.json_text({"health": "not running", "problems": [str(error)]}, pretty=not watch)
        elif watch and sys.stdout.isatty():
            _clear()
            output.line(str(error))
        else:
            raise
        return NOT_RUNNING
    healthy = answer.get("health") == "ok"
    if as_json:
        output.json_text(answer, pretty=not watch)
    else:
        if watch:
            _clear()
        output.lines(screen(answer))
    return OK if healthy else DEGRADED


def _clear() -> None:
    if sys.stdout.isatty():
        output.write("\x1b[H\x1b[2J")


def screen(status: Mapping[str, Any]) -> list[str]:
    """The answer of `status` on at most 24 lines of 80 characters."""
    try:
        shown = [_head(status), *_inputs(status), *_outbox(status), *_uplink(status)]
    except (KeyError, TypeError, AttributeError) as error:
        said = json.dumps(status)[:200]
        raise CliError(f"brain answers in another form, is it another version? {said}") from error
    shown += _notes(status)
    problems = list(status.get("problems", ()))
    free = HEIGHT - 1 - len(shown)
    shown += [_colour_problem(f"problem   {text}") for text in problems[:free]]
    if len(problems) > free:
        shown[-1] = f"{_INDENT}and {len(problems) - free + 1} more problems"
    return shown


def _head(status: Mapping[str, Any]) -> str:
    clock = status["clock"]
    health = "" if status["health"] == "ok" else "   " + output.coloured("DEGRADED", "yellow")
    return (
        f"{status['vehicle']}  running {words.duration(status['uptime_s'])}   "
        f"clock {_CLOCKS.get(clock['source'], clock['source'])}{health}"
    )


def _inputs(status: Mapping[str, Any]) -> Iterator[str]:
    drivers: Mapping[str, Any] = status["drivers"]
    most = HEIGHT - 8
    name_width = max((len(name) for name in drivers), default=0)
    for at, (name, driver) in enumerate(drivers.items()):
        title = "inputs    " if at == 0 else _INDENT
        if at == most - 1 and len(drivers) > most:
            yield f"{title}and {len(drivers) - at} more: brain status --json"
            return
        start = f"{title}{name:<{name_width}}  "
        if driver["connected"] and driver["device"] == "ok":
            age = driver.get("last_record_age_s")
            last = "nothing yet" if age is None else f"last {words.duration(age)} ago"
            text = f"{driver['rate_hz']:>6.1f} /s  {words.count(driver['records'])} records  {last}"
            yield f"{start}{output.coloured('ok', 'green')}      {text}"
            continue
        word, why = (
            ("NOT OK", driver["device"]) if driver["connected"] else ("DOWN", "not connected")
        )
        why = words.shortened(str(why), WIDTH - len(start) - 24)
        yield f"{start}{output.coloured(f'{word:<6}', 'red')}  {why} -> brain doctor"
    if not drivers:
        yield "inputs    none configured -> brain config sample"


def _outbox(status: Mapping[str, Any]) -> Iterator[str]:
    outbox = status["outbox"]
    classes = {name: outbox[name] for name in ("alarm", "history", "bulk")}
    queued = "   ".join(f"{name} {words.count(c['queued'])}" for name, c in classes.items())
    age = outbox.get("oldest_queued_age_s")
    oldest = "" if age is None else f"   oldest {words.duration(age)}"
    used = sum(c["bytes"] for c in classes.values())
    room = sum(c["quota_bytes"] for c in classes.values())
    yield f"outbox    {queued}{oldest}   {words.size(used)} of {words.size(room)}"
    dropped = {name: c["dropped"] for name, c in classes.items() if c["dropped"]}
    if dropped:
        said = "   ".join(f"{name} {words.count(number)}" for name, number in dropped.items())
        yield f"{_INDENT}dropped: {said} -> brain audit"


def _uplink(status: Mapping[str, Any]) -> Iterator[str]:
    uplink = status["uplink"]
    state, since = uplink["state"], uplink.get("since_s")
    age = "" if since is None else f" {words.duration(since)}"
    if state == "off":
        yield "uplink    off (uplink.enabled = false)"
        return
    word = output.coloured(state, "green") if state == "up" else output.coloured("DOWN", "red")
    retry = uplink.get("retry_in_s")
    again = "" if retry is None else f"   retry in {words.duration(retry)}"
    yield f"uplink    {word}{age}   {uplink['broker']}{again}"
    if uplink.get("error"):
        yield _INDENT + words.shortened(str(uplink["error"]), WIDTH - len(_INDENT))
    acked = uplink.get("last_ack_age_s")
    last = "no ack yet" if acked is None else f"last ack {words.duration(acked)} ago"
    resent = f", {words.count(uplink['resent_batches'])} again" if uplink["resent_batches"] else ""
    yield (
        f"{_INDENT}{last}   sent {words.count(uplink['sent_batches'])} batches{resent}, "
        f"{words.size(uplink['sent_bytes'])}   in flight {uplink['in_flight']}"
    )


def _notes(status: Mapping[str, Any]) -> Iterator[str]:
    """What is no problem and yet worth a look: sources that contradict each other."""
    for one in status.get("arbitration", {}).get("disagreements", ())[:3]:
        text = f"{one['signal']}: {one['other']} differs by {one['difference']:g}"
        yield words.shortened(f"note      {text} -> brain explain", WIDTH)


def _colour_problem(text: str) -> str:
    return output.coloured(words.shortened(text, WIDTH), "yellow")

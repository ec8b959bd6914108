"""A vehicle that takes commands from its standard input, one a line; for test_signed_commands.py.

Effects are lines of a file, replies go into a real outbox. `--die POINT --after N` kills it at the
Nth time that the failpoint is passed. It says "ready" and, when the input ends, "end".
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from agent.commands.commander import Commander
from agent.commands.door import Door
from agent.commands.gate import Trust
from agent.commands.judge import Limits
from agent.commands.operation import Args, Finish, Operation, Outcome
from agent.commands.replies import Signer
from agent.commands.token import Key
from agent.record import Record, StorageClass
from agent.store.journal import Journal
from agent.store.outbox import Outbox
from agent.store.rows import Change

VEHICLE, TOPIC, BOOT = "bus-1", "brain/v1/bus-1/dn/commands", "b" * 32


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("public")
    parser.add_argument("--die", default="")
    parser.add_argument("--after", type=int, default=1)
    parser.add_argument("--utc", type=int, default=2000)
    parser.add_argument("--revoked", action="store_true")
    options = parser.parse_args()
    passed = 0

    def failpoint(name: str) -> None:
        nonlocal passed
        passed += name == options.die
        if name == options.die and passed >= options.after:
            os.kill(os.getpid(), signal.SIGKILL)

    outbox = Outbox.open(options.directory, quota_bytes=dict.fromkeys(StorageClass, 1 << 20))

    def say(record: Record) -> None:
        outbox.commit(Change(records=[record], boot=BOOT))
        failpoint("on-flash")
        commander.told([record])

    effects = options.directory / "effects"
    journal = Journal(options.directory)
    if journal.began_anew:
        journal.begin(1)
    trust = Trust(
        {"k": Key(bytes.fromhex(options.public), "ops", "operator", options.revoked)},
        {"operator": {"once", "again"}},
    )
    door = Door(TOPIC)
    commander = Commander(
        VEHICLE,
        trust,
        door,
        journal,
        Signer.of(VEHICLE, "", options.directory),
        [
            Operation("once", lambda args: None, effect(effects, failpoint), Limits(86_400)),
            Operation(
                *("again", lambda args: None, effect(effects, failpoint), Limits(86_400)),
                repeatable=True,
            ),
        ],
        say=say,
        utc_ms=lambda: options.utc * 1000,
        beat=lambda: None,
        failpoint=failpoint,
    )
    commander.recover()
    commander.step()
    os.write(1, b"ready\n")
    for line in sys.stdin.buffer:
        commander.knock(TOPIC, line.strip(), False)
        commander.step()
        commander.step()
    commander.step()
    os.write(1, b"end\n")


def effect(file: Path, failpoint: Callable[[str], None]) -> Callable[[str, Args, Finish], None]:
    def run(cid: str, args: Args, finish: Finish) -> None:
        failpoint("before-effect")
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(fd, f"{cid}\n".encode())
        os.fsync(fd)
        os.close(fd)
        failpoint("in-effect")
        finish(Outcome("done", result={"n": 1}))

    return run


if __name__ == "__main__":
    main()

"""The operations of an ordinary vehicle: status, bundle, dump, restart of a driver."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.clock import boottime_ms
from agent.commands import bundle
from agent.commands.judge import Limits
from agent.commands.operation import DAY_S, QUARTER_S, Args, Finish, Operation, Outcome, exactly
from agent.commands.outgoing import Outgoing, Parcel
from agent.protocol import Downward, Stop
from agent.record import Scalar

DUMP_S = range(1, 61)
RESTART_S = 30.0
_SOURCE = re.compile(r"[A-Za-z0-9_-]{1,32}")

GiveLocally = Callable[
    [
        Mapping[str, object],
        Callable[[Mapping[str, Scalar] | None, str], None],
        Callable[[int], None] | None,
    ],
    None,
]


@dataclass(frozen=True, slots=True)
class Vehicle:
    """What operations may touch; `pid` is that of a connected driver, None where it is not.

    `archives`: the folder of support archives. `outgoing`: takes files that are to be uploaded.
    """

    status: Callable[[], Mapping[str, Any]]
    parts: Callable[[], Mapping[str, object]]
    archives: Path
    outgoing: Outgoing
    log: bundle.RecentLog
    give: GiveLocally
    send: Callable[[str, Downward], bool]
    sources: Callable[[], Iterable[str]]
    pid: Callable[[str], int | None]


def operations(vehicle: Vehicle) -> list[Operation]:
    """All of them, for one vehicle."""
    of = _Ordinary(vehicle)
    nothing: Callable[[Args], None] = lambda args: exactly(args, {}, {})  # noqa: E731
    reading = Limits(DAY_S)
    return [
        Operation("status", nothing, of.status, Limits(DAY_S, without_clock=True), repeatable=True),
        Operation("bundle", nothing, of.bundle, reading, repeatable=True),
        Operation("dump", _check_dump, of.dump, reading),
        Operation("driver.restart", _check_restart, of.restart, Limits(QUARTER_S)),
    ]


def _check_source(args: Args) -> None:
    if not _SOURCE.fullmatch(args["source"]):
        raise ValueError("source: expected the name of a driver")


def _check_dump(args: Args) -> None:
    exactly(args, {"source": str, "seconds": int}, {"mask": bool})
    _check_source(args)
    if args["seconds"] not in DUMP_S:
        raise ValueError(f"seconds: expected {DUMP_S.start}..{DUMP_S.stop - 1}")


def _check_restart(args: Args) -> None:
    exactly(args, {"source": str}, {})
    _check_source(args)


class _Ordinary:
    def __init__(self, vehicle: Vehicle) -> None:
        self._of = vehicle

    def status(self, cid: str, args: Args, finish: Finish) -> None:
        """The screen of `brain status`, without the counters of drivers where that is too much."""
        finish(Outcome("done", result=_small(self._of.status())))

    def bundle(self, cid: str, args: Args, finish: Finish) -> None:
        """The support archive, uploaded."""
        path = self._of.archives / f"{cid}.tar.gz"
        # There is one after a kill: the same file again is uploaded once.
        if not path.exists():
            path = bundle.write(self._of.archives, cid, self._of.parts(), self._of.log)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        name = f"bundle-{cid}.tar.gz"
        self._of.outgoing.send(Parcel(cid, name, "application/gzip", descriptor, finish))

    def dump(self, cid: str, args: Args, finish: Finish) -> None:
        """The last seconds of raw input that a driver keeps, uploaded."""
        source, files = args["source"], list[int]()

        def reply(result: Mapping[str, Scalar] | None, error: str) -> None:
            if result is None:
                finish(Outcome("failed", "driver", error))
            elif not files:
                finish(
                    Outcome("failed", "file_missing", f"{source} wrote no file that it can open")
                )
            else:
                about = {key: value for key, value in result.items() if key != "path"}
                name = f"dump-{source}-{cid}.log"
                parcel = Parcel(cid, name, "text/plain", files[0], finish, about)
                self._of.outgoing.send(parcel)

        wanted = {"seconds": args["seconds"], "mask": args.get("mask", True)}
        request = {"source": source, "command": "dump", "args": wanted, "timeout_s": 60.0}
        self._of.give(request, reply, files.append)

    def restart(self, cid: str, args: Args, finish: Finish) -> None:
        """Ask a driver to end; what supervises it starts it anew."""
        source = args["source"]
        before = self._of.pid(source)
        if before is None or not self._of.send(source, Stop()):
            known = ", ".join(sorted(self._of.sources())) or "none"
            raise ValueError(f"no driver {source} is connected; connected: {known}")
        deadline_ms = boottime_ms() + RESTART_S * 1000

        def wait() -> None:
            pause = threading.Event()
            while boottime_ms() < deadline_ms:
                now = self._of.pid(source)
                if now is not None and now != before:
                    finish(Outcome("done", result={"source": source, "pid": now}))
                    return
                pause.wait(0.2)
            text = f"{source} ended, it was not back within {RESTART_S:.0f} s"
            finish(Outcome("failed", "not_back", text))

        threading.Thread(target=wait, name="commands-restart", daemon=True).start()


def _small(status: Mapping[str, Any]) -> dict[str, Any]:
    shown = dict(status)
    drivers = {}
    for name, view in dict(shown.get("drivers", {})).items():
        drivers[name] = {k: v for k, v in dict(view).items() if k != "counters"}
    shown["drivers"] = drivers
    return shown

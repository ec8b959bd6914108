"""A driver process whose verbs do what verbs may do, well and badly; for test_commands.py.

Its results name no declared signal. SIGTERM ends it.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.host import Host
from agent.protocol import Notifier
from agent.sdk import Context, Datatype, DeviceUnavailable, Driver, DriverConfig, Group, Signal

COUNT = Group("count", (Signal("Vehicle.Test.Count", Datatype.INT64, "", "Counts up."),))


class Obedient(Driver[DriverConfig]):
    config_model = DriverConfig
    groups = (COUNT,)
    verbs = frozenset({"echo", "wait", "refuse", "break", "nonsense", "huge", "leave"})

    def run(self, ctx: Context) -> None:
        never = threading.Event()
        while ctx.running():
            ctx.emit(COUNT, {"Vehicle.Test.Count": 1})
            never.wait(0.1)

    def command(self, verb: str, args: Mapping[str, Any]) -> Mapping[str, Any]:
        if verb == "wait":
            threading.Event().wait(args["seconds"])
        if verb == "refuse":
            raise ValueError("seconds: expected 1..60,\n got 99")
        if verb == "break":
            raise DeviceUnavailable("/dev/x: gone") if args else KeyError("port")
        if verb == "nonsense":
            return {"odd": float("nan")} if args else {"odd": [1]}
        if verb == "huge":
            return {"text": "x" * 70_000}
        if verb == "leave":
            os._exit(3)
        return {"said": verb, **args}


class Deaf(Driver[DriverConfig]):
    """Takes no commands."""

    config_model = DriverConfig
    groups = (COUNT,)

    def run(self, ctx: Context) -> None:
        Obedient.run(self, ctx)  # type: ignore[arg-type]


class Dumping(Driver[DriverConfig]):
    """Keeps a file of what it heard; `what` is the kind of file that it names then."""

    config_model = DriverConfig
    groups = (COUNT,)
    verbs = frozenset({"dump"})

    def __init__(self, config: DriverConfig, what: str) -> None:
        super().__init__(config)
        self._what = what
        self._workdir: Path | None = None

    def run(self, ctx: Context) -> None:
        self._workdir = ctx.workdir
        Obedient.run(self, ctx)  # type: ignore[arg-type]

    def command(self, verb: str, args: Mapping[str, Any]) -> Mapping[str, Any]:
        assert self._workdir is not None
        with (self._workdir / "asked").open("a") as asked:
            asked.write(f"{json.dumps(dict(args))}\n")
        path = self._workdir / "captures" / "000001-dump.log"
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        if self._what == "pipe":
            os.mkfifo(path)
        elif self._what == "link":
            path.symlink_to("/etc/passwd")
        elif self._what == "file":
            path.write_text("(0000000001.000000) can0 18FEF100#FFFFFFFFFFFFFFFF\n" * 2_000)
        return {"path": str(path), "lines": 2_000, "seconds": float(args["seconds"])}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("name")
    parser.add_argument("--deaf", action="store_true")
    parser.add_argument("--dumps", default="")
    args = parser.parse_args()
    driver: Driver[DriverConfig] = (Deaf if args.deaf else Obedient)(DriverConfig())
    if args.dumps:
        driver = Dumping(DriverConfig(), args.dumps)
    socket, workdir = args.run_dir / "ingest.sock", args.run_dir / args.name
    host = Host(args.name, "obedient", "1", driver, socket, workdir, notifier=Notifier(""))
    raise SystemExit(host.run())


if __name__ == "__main__":
    main()

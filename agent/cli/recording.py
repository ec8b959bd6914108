"""A driver that runs in this very process for a recording; what it states is kept nowhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent.cli.exits import DEGRADED, CliError
from agent.sdk import Blob, Commandable, DeviceUnavailable, Driver, Group, Kind, Scalar, State

READY_LIMIT_S = 10.0
LEAVE_LIMIT_S = 2.0
_LOOK_S = 0.2


class NoContext:
    """agent.sdk.Context of such a driver: it runs until `stop`, and nothing is emitted."""

    def __init__(self, workdir: Path) -> None:
        self.workdir = workdir
        self.beats = threading.Event()
        self._stop = threading.Event()

    def stop(self) -> None:
        """Let the driver leave `run`."""
        self._stop.set()

    def running(self) -> bool:
        """See agent.sdk.Context."""
        self.beats.set()
        return not self._stop.is_set()

    def emit(
        self,
        group: Group,
        values: Mapping[str, Scalar],
        *,
        states: Mapping[str, State] | None = None,
        at_boottime_ms: int | None = None,
        kind: Kind = Kind.SAMPLE,
        blob: Blob | None = None,
        durable: bool = False,
    ) -> None:
        """Keeps nothing."""


class Recording:
    """One recording of `seconds` by `driver`, which must have the verb "record".

    `workdir` is the driver's; what it wrote is found there also where it was cut short.
    """

    def __init__(
        self, name: str, driver: Driver[Any], workdir: Path, seconds: int, mask: bool
    ) -> None:
        self._name = name
        self._driver = driver
        self._ctx = NoContext(workdir)
        self._args: dict[str, Scalar] = {"seconds": seconds, "mask": mask}
        self._result: Mapping[str, Scalar] | None = None
        self._error: BaseException | None = None
        self._began = time.monotonic()
        self._driving = self._thread("driver", self._drive)
        self._verb = self._thread("verbs", self._record)

    def run(self, progress: Callable[[float], None]) -> Mapping[str, Scalar]:
        """Record; `progress` hears the seconds so far. KeyboardInterrupt ends it early.

        Returns the result of the verb, with `path`. Raises CliError.
        """
        self._driving.start()
        try:
            self._await_device()
            self._began = time.monotonic()
            self._verb.start()
            while self._verb.is_alive():
                self._verb.join(_LOOK_S)
                progress(time.monotonic() - self._began)
                self._raise_failure()
        except KeyboardInterrupt:
            return self._cut_short()
        finally:
            self._ctx.stop()
            self._driving.join(LEAVE_LIMIT_S)
        self._raise_failure()
        assert self._result is not None
        return self._result

    @staticmethod
    def _thread(name: str, target: Callable[[], None]) -> threading.Thread:
        return threading.Thread(target=target, name=name, daemon=True)

    def _await_device(self) -> None:
        deadline = time.monotonic() + READY_LIMIT_S
        while not self._ctx.beats.wait(_LOOK_S):
            self._raise_failure()
            if time.monotonic() > deadline:
                text = f"{self._name} does not start within {READY_LIMIT_S:g} s"
                raise CliError(f"{text}; brain doctor says more", DEGRADED)

    def _raise_failure(self) -> None:
        error = self._error
        if error is None:
            return
        if isinstance(error, DeviceUnavailable | ValueError | OSError):
            raise CliError(f"{self._name}: {error}", DEGRADED)
        raise CliError(f"{self._name}: {type(error).__name__}: {error}", DEGRADED)

    def _cut_short(self) -> Mapping[str, Scalar]:
        """What came until now: what the verb still hands over, else its file, else the ring."""
        lasted_s = time.monotonic() - self._began
        self._ctx.stop()
        if self._verb.is_alive():
            self._verb.join(LEAVE_LIMIT_S)
        if self._result is not None:
            return self._result
        assert isinstance(self._driver, Commandable)
        seconds = min(60, max(1, round(lasted_s)))
        found = newest_file(self._ctx.workdir)
        if (found is None or seconds < 60) and "dump" in self._driver.verbs:
            try:
                return self._driver.command("dump", {**self._args, "seconds": seconds})
            # Third-party code on its way out: what the file holds is all there is.
            except Exception:
                found = newest_file(self._ctx.workdir)
        if found is None:
            raise CliError(f"{self._name}: nothing was recorded in {lasted_s:.0f} s", DEGRADED)
        content = found.read_bytes()
        return {
            "path": str(found),
            "lines": content.count(b"\n"),
            "bytes": len(content),
            "seconds": round(lasted_s, 1),
        }

    def _drive(self) -> None:
        try:
            self._driver.run(self._ctx)
        # A driver's code: whatever it raises ends the recording with one line.
        except BaseException as error:
            self._error = error

    def _record(self) -> None:
        assert isinstance(self._driver, Commandable)
        try:
            self._result = self._driver.command("record", self._args)
        except BaseException as error:
            self._error = error


def newest_file(workdir: Path) -> Path | None:
    """The newest capture that is not empty, None where there is none."""
    files = [f for f in (workdir / "captures").glob("*") if f.is_file() and f.stat().st_size]
    return max(files, key=lambda file: file.stat().st_mtime_ns, default=None)

"""Reads a file again and again as if it were a device, and keeps what it read for a minute."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from agent.sdk import (
    Context,
    Datatype,
    DeviceUnavailable,
    Driver,
    DriverConfig,
    Group,
    Meta,
    Scalar,
    Signal,
)

READING = "Vehicle.Bus.Recorder.Reading"
SIGNAL = Signal(READING, Datatype.STRING, "", "What the file holds.", source="file")
GROUP = Group("reading", (SIGNAL,))
PERIOD_S = 0.05
RING_S = 60
LONGEST_S = {"dump": RING_S, "record": 3600}


class Config(DriverConfig):
    """Where the file is."""

    path: Annotated[str, Meta(description="File that stands for the device.")]


class Recorder(Driver[Config]):
    """Commandable: dump and record, as the drivers of the project have them."""

    config_model = Config
    groups = (GROUP,)
    verbs = frozenset(LONGEST_S)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._ring: deque[tuple[float, str]] = deque(maxlen=int(RING_S / PERIOD_S))
        self._ctx: Context | None = None

    def run(self, ctx: Context) -> None:
        """Read every 50 ms."""
        self._ctx = ctx
        pause = threading.Event()
        while ctx.running():
            try:
                text = Path(self.config.path).read_text().strip()
            except OSError as error:
                raise DeviceUnavailable(f"{self.config.path}: {error.strerror}") from None
            self._ring.append((time.monotonic(), text))
            ctx.emit(GROUP, {READING: text})
            pause.wait(PERIOD_S)

    def command(self, verb: str, args: Mapping[str, Scalar]) -> Mapping[str, Scalar]:
        """Write what was, or what comes, to a file in `workdir / captures`."""
        seconds, mask = args["seconds"], args["mask"]
        if not isinstance(seconds, int) or not 1 <= seconds <= LONGEST_S[verb]:
            raise ValueError(f"seconds: expected 1..{LONGEST_S[verb]}, got {seconds}")
        ctx = self._ctx
        if ctx is None:
            raise DeviceUnavailable("the device was not opened yet")
        folder = ctx.workdir / "captures"
        folder.mkdir(exist_ok=True)
        path = folder / f"recorder-{verb}.log"
        now = time.monotonic()
        with path.open("w") as file:
            file.write("# recorder\n")
            if verb == "dump":
                kept = [text for at, text in list(self._ring) if now - at <= seconds]
                file.writelines(self._line(text, mask) for text in kept)
            else:
                self._follow(file, now, now + seconds, mask)
        content = path.read_bytes()
        return {
            "path": str(path),
            "lines": content.count(b"\n"),
            "bytes": len(content),
            "seconds": float(seconds),
        }

    def _follow(self, file: object, since: float, until: float, mask: object) -> None:
        pause = threading.Event()
        while time.monotonic() < until:
            news = [(at, text) for at, text in list(self._ring) if at > since]
            for at, text in news:
                since = at
                file.write(self._line(text, mask))  # type: ignore[attr-defined]
            file.flush()  # type: ignore[attr-defined]
            pause.wait(PERIOD_S)

    @staticmethod
    def _line(text: str, mask: object) -> str:
        return ("x" * len(text) if mask else text) + "\n"

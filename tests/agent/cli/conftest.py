"""A `brain` to call, driver types of a plug-in package, and a coordinator that only talks."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.cli.main import main

BRAIN = Path(sys.executable).with_name("brain")

PLUGIN = """
from typing import Annotated, Literal
from agent.sdk import *

class Config(DriverConfig):
    port: Annotated[str, Meta(description="Serial port.")]
    baud: Annotated[int, Meta(description="Baud rate.", ge=1200, le=921600)] = 9600
    password: Annotated[str, Meta(description="Of the device.")] = ""

class Probe(Driver[Config]):
    config_model = Config
    groups = (
        Group("fix", (
            Signal("Vehicle.Speed", Datatype.FLOAT, "km/h", "Road speed", sampled(1, 0.5), 0, 250),
            Signal("Vehicle.Bus.Gnss.Satellites", Datatype.UINT8, "", "Satellites: in use", CHANGE,
                   0, 40, 0, "NMEA 0183 GGA"),
            Signal("Vehicle.Exterior.AirPressure", Datatype.FLOAT, "hPa", 'Air "outside"'),
        )),
    )
    def probe(self):
        import os, time, threading
        if self.config.port == "hang":
            threading.Event().wait(60)
        if self.config.port == "crash":
            os._exit(7)
        if self.config.port == "none":
            raise DeviceUnavailable("none: no such device")
        return f"{self.config.port} answers"
    def run(self, ctx):
        raise NotImplementedError
    @classmethod
    def decode(cls, path):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line == "bad":
                raise ValueError(f"line {number}: bad")
            at_s = 1635188454.25 + number
            yield {"t": at_s, "signal": line, "value": 0.1 + 0.2, "state": None}
"""
ENTRY_POINTS = """[brain.drivers]
probe = probe_driver:Probe
broken = probe_broken:Probe
"""


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Brain = Callable[..., Result]


@pytest.fixture
def plugins(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that offers the types `probe` and `broken`, for this process and its children."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "probe_driver.py").write_text(PLUGIN)
    (folder / "probe_broken.py").write_text("import no_such_module\n")
    info = folder / "probe-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: probe\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.delitem(sys.modules, "probe_driver", raising=False)
    return folder


@pytest.fixture
def brain(capsys: pytest.CaptureFixture[str]) -> Brain:
    """Run a command in this process."""

    def run(*arguments: object) -> Result:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture
def process(tmp_path: Path) -> Brain:
    """Run a command as a process of its own, as people do."""

    def run(*arguments: object, **environ: str) -> Result:
        done = subprocess.run(
            [BRAIN, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=tmp_path,
            env={**os.environ, **environ},
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


class Coordinator:
    """Answers on control.sock what `answers` says; a list is streamed line by line."""

    def __init__(self, run_dir: Path, answers: Mapping[str, object]) -> None:
        self.asked: list[dict[str, Any]] = []
        self._answers = answers
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(run_dir / "control.sock"))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, name="coordinator")
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, client.makefile("rwb") as stream:
                request = json.loads(stream.readline())
                self.asked.append(request)
                answer = self._answers.get(request["verb"])
                if isinstance(answer, bytes):
                    lines = [answer]
                elif isinstance(answer, list) and request["verb"] == "watch":
                    lines = [json.dumps(line).encode() for line in answer]
                elif answer is None:
                    lines = [b'{"ok": false, "error": "no verb"}']
                else:
                    lines = [json.dumps({"ok": True, "result": answer}).encode()]
                stream.write(b"".join(line + b"\n" for line in lines))
                stream.flush()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._thread.join()


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run directory in which nothing runs."""
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


@pytest.fixture
def coordinator(run_dir: Path) -> Iterator[Callable[..., Coordinator]]:
    """Start a coordinator that only talks."""
    started: list[Coordinator] = []

    def start(**answers: object) -> Coordinator:
        started.append(Coordinator(run_dir, answers))
        return started[-1]

    yield start
    for one in started:
        one.stop()

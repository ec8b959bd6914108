"""The client of control.sock: JSON lines over a UNIX stream socket."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from agent.cli.exits import DEGRADED, NOT_RUNNING, CliError
from agent.config_places import CONTROL_SOCKET, SYSTEM_RUN

ANSWER_LIMIT_S = 5.0
_LONGEST_LINE = 64 << 20


class NotRunning(CliError):
    """No coordinator listens in this run directory; the text says what to do."""

    def __init__(self, text: str) -> None:
        super().__init__(text, NOT_RUNNING)


class Control:
    """Asks the coordinator that lives in `run_dir`; a connection a question."""

    def __init__(self, run_dir: Path, limit_s: float = ANSWER_LIMIT_S) -> None:
        self._run_dir = run_dir
        self._path = run_dir / CONTROL_SOCKET
        self._limit_s = limit_s

    def ask(self, verb: str, **arguments: object) -> Any:
        """The result of one question. Raises NotRunning, CliError where it is refused or late."""
        with closing(self._connect()) as sock, sock.makefile("rb") as answers:
            self._send(sock, verb, arguments)
            answer = self._read(answers)
        if answer is None:
            raise NotRunning(f"brain ended while it was asked. {what_to_do(self._run_dir)}")
        return self._result(verb, answer)

    def follow(self, verb: str, **arguments: object) -> Iterator[Mapping[str, Any]]:
        """Lines until the coordinator ends. Raises NotRunning, CliError where it is refused."""
        with closing(self._connect()) as sock, sock.makefile("rb") as answers:
            self._send(sock, verb, arguments)
            sock.settimeout(None)
            while (answer := self._read(answers)) is not None:
                if "ok" not in answer:
                    yield answer
                else:
                    self._result(verb, answer)

    def _connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        sock.settimeout(self._limit_s)
        try:
            sock.connect(os.fspath(self._path))
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
            sock.close()
            raise NotRunning(f"brain is not running. {what_to_do(self._run_dir)}") from error
        except OSError as error:
            sock.close()
            raise CliError(
                f"{self._path}: {error.strerror or error}; expected a socket that this user may "
                "use: run as the user of brain or join its group",
                DEGRADED,
            ) from error
        return sock

    def _send(self, sock: socket.socket, verb: str, arguments: Mapping[str, object]) -> None:
        try:
            sock.sendall(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
        except OSError as error:
            raise NotRunning(f"brain ended just now. {what_to_do(self._run_dir)}") from error

    def _read(self, answers: Any) -> dict[str, Any] | None:
        """The next line, None at the end."""
        try:
            line = answers.readline(_LONGEST_LINE)
        except TimeoutError as error:
            text = f"brain does not answer within {self._limit_s:g} s at {self._path}"
            raise CliError(f"{text}; its log says why", DEGRADED) from error
        except OSError:
            return None
        if not line.endswith(b"\n"):
            return None
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise CliError(f"{self._path}: expected a line of JSON, got something else", DEGRADED)
        return answer

    def _result(self, verb: str, answer: Mapping[str, Any]) -> Any:
        if not answer.get("ok"):
            raise CliError(f"brain refuses {verb}: {answer.get('error', 'no reason given')}")
        return answer.get("result")


def what_to_do(run_dir: Path) -> str:
    """How to get a coordinator in `run_dir`, seen from what plays PID 1 there."""
    try:
        up = json.loads((run_dir / "up.json").read_bytes())
        os.kill(int(up["pid"]), 0)
        run = up["run"]
        return (
            f"brain up restarts it (state {run['state']}, restarts {run['restarts']}); "
            "its output says why"
        )
    except (OSError, ValueError, KeyError, TypeError):
        pass
    if run_dir == SYSTEM_RUN:
        return "Start it with: systemctl start brain"
    return f"Start it with: brain up --config FILE, or try: brain simulate (looked in {run_dir})"

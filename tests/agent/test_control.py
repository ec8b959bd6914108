"""The local door: answers, refusals, live values, and a client that does not read."""

from __future__ import annotations

import json
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.board import Board
from agent.control import Control
from agent.record import Record, State


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def address(board: Board) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="brain-") as name:
        path = str(Path(name) / "control.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()

        def fail(request: object) -> object:
            raise ValueError("no such thing")

        answers = {"status": lambda request: {"health": "ok"}, "fail": fail}
        control = Control(
            listener, answers, board, lambda s, p: "km/h", lambda ms: None, lambda: None
        )
        control.start()
        yield path
        control.stop()
        assert not control.alive()


def ask(address: str, line: bytes) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(address)
        sock.sendall(line)
        answer = sock.makefile().readline()
    return dict(json.loads(answer))


@pytest.mark.parametrize(
    ("line", "want"),
    [
        (b'{"verb": "status"}\n', {"ok": True, "result": {"health": "ok"}}),
        (b'{"verb": "fail"}\n', {"ok": False, "error": "no such thing"}),
        (b"nonsense\n", {"ok": False, "error": 'expected one line {"verb": NAME}'}),
        (b"[1]\n", {"ok": False, "error": 'expected one line {"verb": NAME}'}),
    ],
)
def test_answers(address: str, line: bytes, want: dict[str, Any]) -> None:
    assert ask(address, line) == want


def test_an_unknown_verb_names_the_known_ones(address: str) -> None:
    answer = ask(address, b'{"verb": "stats"}\n')
    assert answer["error"] == "no verb 'stats'; there are fail, status, watch"


def test_watch_begins_with_the_latest_and_goes_on(address: str, board: Board) -> None:
    board.observe(Record("fms", 10, {"Vehicle.Speed": 1.5, "Vehicle.IsMoving": True}))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(address)
        sock.sendall(b'{"verb": "watch", "pattern": "Vehicle.S*"}\n')
        lines = sock.makefile()
        first = json.loads(lines.readline())
        assert (first["signal"], first["value"], first["unit"]) == ("Vehicle.Speed", 1.5, "km/h")
        board.observe(Record("fms", 11, {}, {"Vehicle.Speed": State.ERROR}))
        second = json.loads(lines.readline())
        assert (second["value"], second["state"], second["boottime_ms"]) == (None, "error", 11)


def test_a_watcher_that_does_not_read_holds_up_nobody(address: str, board: Board) -> None:
    with socket.socket(socket.AF_UNIX) as lazy:
        lazy.connect(address)
        lazy.sendall(b'{"verb": "watch"}\n')
        assert ask(address, b'{"verb": "status"}\n')["ok"]
        for i in range(20_000):
            board.observe(Record("fms", i, {"Vehicle.Speed": float(i)}))
        assert ask(address, b'{"verb": "status"}\n')["ok"]

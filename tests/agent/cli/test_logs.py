"""Log lines reach the journal with fields, stderr as text, and wait for neither."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.alarms import Alarm, of
from agent.cli.logs_journal import Journal, encoded, journal_listens
from agent.cli.logs_stderr import Stderr


def decoded(datagram: bytes) -> dict[str, str]:
    """The fields of one datagram, by the rules of the journal's protocol."""
    fields, rest = {}, datagram
    while rest:
        head, _, rest = rest.partition(b"\n")
        name, plain, value = head.partition(b"=")
        if not plain:
            size = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + size], rest[9 + size :]
        fields[name.decode()] = value.decode()
    return fields


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[tuple[socket.socket, Journal]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as far:
        far.bind(str(tmp_path / "socket"))
        far.settimeout(5)
        yield far, Journal("gnss", str(tmp_path / "socket"))


def line(text: str, *args: object, **extra: str) -> logging.LogRecord:
    made = logging.getLogger("brain").makeRecord(
        "brain", logging.ERROR, "/x/agent/app.py", 7, text, args, None, "run", extra
    )
    return made


def test_fields_of_a_line(journal: tuple[socket.socket, Journal]) -> None:
    far, handler = journal
    handler.emit(line("gone: %s", "two\nlines", **of(Alarm.DRIVER_DEVICE)))
    fields = decoded(far.recv(65_536))
    assert fields["MESSAGE"] == "gone: two\nlines"
    assert fields["PRIORITY"] == "3"
    assert fields["BRAIN_DRIVER"] == "gnss"
    assert fields["MESSAGE_ID"] == Alarm.DRIVER_DEVICE.value
    assert (fields["CODE_FILE"], fields["CODE_LINE"]) == ("/x/agent/app.py", "7")


def test_a_line_about_another_driver_is_its(journal: tuple[socket.socket, Journal]) -> None:
    far, handler = journal
    handler.emit(line("left", **of(Alarm.DRIVER_FAILED, "fms")))
    assert decoded(far.recv(65_536))["BRAIN_DRIVER"] == "fms"


def test_a_journal_that_takes_nothing_costs_lines_not_time(
    journal: tuple[socket.socket, Journal],
) -> None:
    far, handler = journal
    for at in range(5_000):
        handler.emit(line("line %d", at))
    assert handler.dropped > 1_000
    held = 5_000 - handler.dropped
    for at in range(held):
        assert decoded(far.recv(65_536))["MESSAGE"] == f"line {at}"
    handler.emit(line("after"))
    assert f"{5_000 - held} log lines were dropped" in decoded(far.recv(65_536))["MESSAGE"]
    assert decoded(far.recv(65_536))["MESSAGE"] == "after"


def test_no_journal_is_no_error(tmp_path: Path) -> None:
    handler = Journal("", str(tmp_path / "nobody"))
    handler.emit(line("x"))
    assert handler.dropped == 1


def test_a_message_longer_than_a_datagram_is_cut(journal: tuple[socket.socket, Journal]) -> None:
    far, handler = journal
    handler.emit(line("y" * 1_000_000))
    assert len(decoded(far.recv(1 << 20))["MESSAGE"]) == 48_000


def test_a_value_cannot_forge_a_field() -> None:
    assert decoded(encoded({"MESSAGE": "a\nPRIORITY=0\n"})) == {"MESSAGE": "a\nPRIORITY=0\n"}


def test_whether_stderr_is_the_journal() -> None:
    with socket.socket(socket.AF_UNIX) as stream:
        found = os.fstat(stream.fileno())
        said = f"{found.st_dev}:{found.st_ino}"
        assert journal_listens(stream.fileno(), {"JOURNAL_STREAM": said})
        # Redirected to a file by a shell in the unit: not the journal any more.
        assert not journal_listens(2, {"JOURNAL_STREAM": said})
        assert not journal_listens(stream.fileno(), {"JOURNAL_STREAM": "x"})
        assert not journal_listens(stream.fileno(), {})


def test_a_full_pipe_costs_lines_not_time() -> None:
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    handler = Stderr(write)
    for at in range(200):
        handler.emit(line("%03d " + "x" * 60, at))
    assert 100 < handler.dropped < 190
    first = os.read(read, 65_536).decode()
    assert first.startswith("000 ") and first.endswith("\n")
    handler.emit(line("after"))
    assert os.read(read, 65_536).decode().splitlines() == [
        f"{handler_dropped(first)} log lines were dropped before this one",
        "after",
    ]
    # Whoever shares the pipe still finds it as it was.
    assert os.get_blocking(write)
    for fd in (read, write):
        os.close(fd)


def handler_dropped(first: str) -> int:
    return 200 - len(first.splitlines())


@pytest.mark.parametrize("stream", ["pipe", "file"])
def test_lines_of_a_program(stream: str, tmp_path: Path) -> None:
    program = (
        "import logging; from agent.cli.logs import configure\n"
        "configure('info'); configure('warning', driver='gnss')\n"
        "logging.info('hidden'); logging.warning('seen'); logging.warning('too')\n"
    )
    with (tmp_path / "log").open("w+") as file:
        done = subprocess.run(
            [sys.executable, "-c", program],
            stderr=file if stream == "file" else subprocess.PIPE,
            text=True,
            check=True,
        )
        file.seek(0)
        said = file.read() if stream == "file" else done.stderr
    assert [text.split()[-1] for text in said.splitlines()] == ["seen", "too"]

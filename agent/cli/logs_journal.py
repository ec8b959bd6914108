"""The journal's own protocol: one datagram a log line, with fields. A line has as many lines as it
likes; where the journal does not take it at once, it is dropped and counted.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
from collections.abc import Iterator, Mapping

JOURNAL_SOCKET = "/run/systemd/journal/socket"
PRIORITY = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}
MAX_TEXT = 48_000
"""Characters of a message: larger datagrams than the socket takes would need a memfd."""


def journal_listens(stderr: int, environ: Mapping[str, str]) -> bool:
    """Whether file descriptor `stderr` is the journal's, see systemd.exec(5) on JOURNAL_STREAM."""
    try:
        device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
        found = os.fstat(stderr)
        return (found.st_dev, found.st_ino) == (int(device), int(inode))
    except (OSError, ValueError):
        return False


class Journal(logging.Handler):
    """Sends each line with PRIORITY, CODE_*, LOGGER, THREAD and what `extra` adds."""

    verbose = False

    def __init__(self, driver: str = "", address: str = JOURNAL_SOCKET) -> None:
        super().__init__()
        self.driver = driver
        self.dropped = 0
        self._address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def emit(self, record: logging.LogRecord) -> None:
        """Send it or count it. Never blocks, never raises."""
        try:
            text = self.format(record)
        except Exception:
            text = f"a log line that cannot be formatted: {record.msg!r}"
        if self.dropped:
            lost = f"{self.dropped} log lines were dropped, the journal did not take them"
            if self._send({"MESSAGE": lost, "PRIORITY": "4", "SYSLOG_IDENTIFIER": "brain"}):
                self.dropped = 0
        if not self._send(dict(self._fields(record, text))):
            self.dropped += 1

    def _fields(self, record: logging.LogRecord, text: str) -> Iterator[tuple[str, str]]:
        yield "MESSAGE", text[:MAX_TEXT]
        yield "PRIORITY", str(PRIORITY.get(record.levelname, 6))
        yield "SYSLOG_IDENTIFIER", "brain"
        yield "LOGGER", record.name
        yield "THREAD_NAME", str(record.threadName)
        yield "CODE_FILE", record.pathname
        yield "CODE_LINE", str(record.lineno)
        yield "CODE_FUNC", record.funcName
        if driver := getattr(record, "brain_driver", self.driver):
            yield "BRAIN_DRIVER", driver
        if message_id := getattr(record, "message_id", ""):
            yield "MESSAGE_ID", message_id

    def _send(self, fields: Mapping[str, str]) -> bool:
        try:
            self._socket.sendto(encoded(fields), self._address)
        except OSError:
            return False
        return True


def encoded(fields: Mapping[str, str]) -> bytes:
    """Fields as the journal takes them: a value of many lines is preceded by its length."""
    parts = []
    for name, value in fields.items():
        text = value.encode(errors="replace")
        if b"\n" in text:
            parts.append(name.encode() + b"\n" + struct.pack("<Q", len(text)) + text + b"\n")
        else:
            parts.append(name.encode() + b"=" + text + b"\n")
    return b"".join(parts)

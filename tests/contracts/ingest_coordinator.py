"""A coordinator that only commits, as a process of its own; started by test_ingest.py.

The listener is descriptor 3. The flash is a journal: one line a commit with records and marks, one
write, one fsync, so both are there or neither. `--die POINT --after N` kills itself at the Nth
commit; SIGUSR1 cuts all connections. `--bug` builds in what the contract must find.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import signal
import socket
import threading
from pathlib import Path
from typing import Any

from agent.ingest import Arrival, Inbound, Ingest
from agent.store.rows import Mark


class Forgetful(Ingest):
    """The bug: what was passed on is known only as long as the connection lives."""

    def _greet(self, peer: Any, hello: Any) -> None:
        progress = self._book.of(hello.name, hello.stream)
        progress.received = progress.durable
        super()._greet(peer, hello)


class Journal:
    """Lines of JSON; a torn last one, which a kill may leave, is cut off when opened."""

    def __init__(self, path: Path) -> None:
        whole = path.read_bytes() if path.exists() else b""
        whole = whole[: whole.rfind(b"\n") + 1]
        path.touch()
        os.truncate(path, len(whole))  # at no moment less than that: a kill may come here too
        self.marks: dict[str, Mark] = {}
        for line in whole.splitlines():
            for source, (stream, upto) in json.loads(line)["marks"].items():
                self.marks[source] = Mark(stream, upto)
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND)

    def commit(self, arrivals: list[Arrival]) -> dict[str, Mark]:
        marks = {item.source: Mark(item.stream, item.upto) for item in arrivals}
        line = {
            "marks": {source: [mark.stream, mark.upto] for source, mark in marks.items()},
            "records": [
                [item.source, item.stream, *record.values.values()]
                for item in arrivals
                for record in item.records
            ],
        }
        os.write(self._fd, json.dumps(line).encode() + b"\n")
        os.fsync(self._fd)
        return marks


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("journal", type=Path)
    parser.add_argument("--die", choices=["before-commit", "after-commit", "after-reply"])
    parser.add_argument("--after", type=int, default=0)
    parser.add_argument("--interval", type=float, default=0.03)
    parser.add_argument("--bug", choices=["early-durable", "no-dedupe"])
    args = parser.parse_args()

    journal = Journal(args.journal)
    out: queue.Queue[Inbound] = queue.Queue(64)
    kind = Forgetful if args.bug == "no-dedupe" else Ingest
    ingest = kind(socket.socket(fileno=3), journal.marks, out, lambda: None)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGUSR1, lambda *_: cut(ingest))
    ingest.start()
    commits = 0

    def failpoint(point: str) -> None:
        if args.die == point and commits >= args.after:
            os.kill(os.getpid(), signal.SIGKILL)

    while not stop.wait(args.interval):
        arrivals = [item for item in drain(out) if isinstance(item, Arrival)]
        if not arrivals:
            continue
        commits += 1
        marks = {item.source: Mark(item.stream, item.upto) for item in arrivals}
        if args.bug == "early-durable":
            confirm(ingest, marks)
            stop.wait(0.02)  # so that the answer is out when the failpoint strikes
        failpoint("before-commit")
        journal.commit(arrivals)
        failpoint("after-commit")
        confirm(ingest, marks)
        if args.die == "after-reply":
            stop.wait(0.02)
        failpoint("after-reply")
    ingest.stop()


def drain(out: queue.Queue[Inbound]) -> list[Inbound]:
    items: list[Inbound] = []
    while not out.empty():
        items.append(out.get())
    return items


def confirm(ingest: Ingest, marks: dict[str, Mark]) -> None:
    for source, mark in marks.items():
        ingest.durable(source, mark)


def cut(ingest: Any) -> None:
    for peer in list(ingest._sockets.peers):
        peer.sock.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    main()

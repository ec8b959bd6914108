"""In which order the agent writes, forces to disk and tells drivers: read from its system calls.

`kill -9` cannot tell a commit that reached the disk from one that only the kernel has; a power cut
can, in the rig. Here the order itself is looked at: before a driver hears `durable{upto}`, a state
that says so was written to the log, and the log was forced to disk after that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from agent.store.state import carve
from tests.faults.injection import strace

_CALL = re.compile(r"(?P<tid>\d+) +(?:<\.\.\. )?(?P<name>\w+)(?P<rest>.*)")
_TEXT = re.compile(r"(?:\\x[0-9a-f]{2})+")
LONGEST = 5_000
"""Bytes shown of a write: a page of the log and its head."""


def command(log: Path) -> list[str]:
    """What goes before the agent's command line; `log` gets a line a system call."""
    argv = [strace(), "-f", "-qq", "-y", "-xx", "-s", str(LONGEST), "-o", str(log)]
    return [*argv, "-e", "signal=none", "-e", "trace=pwrite64,fdatasync,fsync,sendto,sendmsg"]


def words(log: Path, source: str) -> Iterator[tuple[int, int]]:
    """Each `durable` to a driver: the number that it was told, and the one on disk by then.

    There may be no other driver than `source`.
    """
    written = on_disk = 0
    begun: dict[str, int] = {}
    for line in log.read_text(errors="replace").splitlines():
        call = _CALL.match(line)
        if call is None:
            continue
        tid, name, rest = call["tid"], call["name"], call["rest"]
        texts = [bytes.fromhex(text.replace(r"\x", "")) for text in _TEXT.findall(rest)]
        of_log = bool(texts) and texts[0].endswith(b"outbox.db-wal")
        if name == "pwrite64" and of_log and len(texts) > 1:
            for state in carve(texts[1]):
                written = max(written, state.marks.get(source, ("", 0))[1])
        elif name in ("fdatasync", "fsync"):
            if of_log:
                begun[tid] = written
            if rest.endswith("= 0"):
                on_disk = max(on_disk, begun.pop(tid, 0))
        elif name.startswith("send") and len(texts) > 1 and b"durable" in texts[1]:
            told = msgspec.msgpack.decode(texts[1])
            yield int(told["upto"]), on_disk

"""Files that commands make: into the spool, then a FILE record, then the command is done.

A reply that names a file is said only when the record of that file is on flash: what the far end
reads of, it gets, or an account of. Hashing and copying take as long as the disk takes, so a thread
of its own does it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import queue
import stat
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.clock import boottime_ms
from agent.commands.operation import Finish, Outcome
from agent.commands.replies import FILE, SOURCE
from agent.record import Blob, Kind, Record
from agent.spool import PIECE_BYTES, FileRefused, Spool

log = logging.getLogger("brain.commands")

STOP_S = 2.0


@dataclass(frozen=True, slots=True)
class Parcel:
    """A file of command `cid` behind an open descriptor; `result` is what else is answered."""

    cid: str
    name: str
    media_type: str
    descriptor: int
    finish: Finish
    result: Mapping[str, Any] = field(default_factory=dict)


class Outgoing:
    """Owns the thread "commands-files", which begins with the first parcel."""

    def __init__(self, spool: Spool, say: Callable[[Record], None]) -> None:
        """`say` hands a record to the pipeline; `written` hears when it is on flash."""
        self._spool = spool
        self._say = say
        self._parcels: queue.SimpleQueue[Parcel | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting: dict[str, tuple[Parcel, Blob]] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="commands-files", daemon=True)

    def send(self, parcel: Parcel) -> None:
        """Take over a file; its command is finished from another thread. Never blocks."""
        with self._lock:
            if self._thread.ident is None:
                self._thread.start()
        self._parcels.put(parcel)

    def written(self, records: Sequence[Record]) -> None:
        """These are on flash. From the pipeline's thread."""
        for record in records:
            if record.kind is not Kind.FILE or FILE not in record.values:
                continue
            with self._lock:
                found = self._waiting.pop(str(record.values[FILE]), None)
            if found is not None:
                parcel, blob = found
                about: dict[str, Any] = {"name": parcel.name, "media_type": blob.media_type}
                about |= {"size": blob.size, "sha256": blob.sha256}
                parcel.finish(Outcome("done", result={**parcel.result, "file": about}))

    def stop(self) -> None:
        """End; a file that is not on flash yet has no record, and its command no result."""
        self._stopping = True
        self._parcels.put(None)
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def _run(self) -> None:
        while (parcel := self._parcels.get()) is not None:
            try:
                self._take(parcel)
            except FileRefused as error:
                if not self._stopping:
                    parcel.finish(Outcome("failed", error.reason, str(error)))
            except OSError as error:
                text = f"{parcel.name}: {error.strerror or error}"
                parcel.finish(Outcome("failed", "file_unreadable", text))
            finally:
                os.close(parcel.descriptor)

    def _take(self, parcel: Parcel) -> None:
        size, sha256 = self._look(parcel.descriptor)
        self._spool.take(parcel.descriptor, sha256, size, self._beat)
        blob = Blob(parcel.name, parcel.media_type, size, sha256)
        with self._lock:
            self._waiting[parcel.cid] = (parcel, blob)
        values = {FILE: parcel.cid}
        self._say(Record(SOURCE, boottime_ms(), values, kind=Kind.FILE, blob=blob))

    def _look(self, descriptor: int) -> tuple[int, str]:
        """Size and sha256 of what is there now; the spool checks that it copies the same."""
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise FileRefused("file_unreadable", "it is no regular file")
        if status.st_size > self._spool.limit_bytes:
            text = f"{status.st_size} bytes, files have {self._spool.limit_bytes} in all"
            raise FileRefused("quota", text)
        digest, at = hashlib.sha256(), 0
        while piece := os.pread(descriptor, min(PIECE_BYTES, status.st_size - at), at):
            digest.update(piece)
            at += len(piece)
            self._beat()
        return at, digest.hexdigest()

    def _beat(self) -> None:
        if self._stopping:
            raise FileRefused("file_missing", "the agent stops")

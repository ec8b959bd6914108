"""Files at the door: their records wait until the spool has the bytes, their neighbours do not.

A driver's host passes the open file with the record (SCM_RIGHTS), since nobody but the driver's own
user can open it by name. Copying takes as long as the disk takes, so a thread of its own does it;
meanwhile nothing more is read from that one connection.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
from collections.abc import Callable, Collection
from typing import NamedTuple

from agent.alarms import Alarm, of
from agent.ingest_peer import Peer
from agent.protocol import Records, WireRecord
from agent.record import Kind
from agent.spool import FileRefused, Spool

log = logging.getLogger(__name__)

STOP_S = 2.0


class _Job(NamedTuple):
    peer: Peer
    message: Records
    source: int
    size: int
    sha256: str


class FileDoor:
    """Owns the thread "spool". `wake` is called when a record that waited may go on."""

    def __init__(self, spool: Spool | None, wake: Callable[[], None]) -> None:
        """`spool` None: files are not taken, their records are."""
        self._spool = spool
        self._wake = wake
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[Peer, Records]] = queue.SimpleQueue()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is being copied was not accepted, and comes again."""
        self._stopping = True
        self._jobs.put(None)
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def hold(self, peer: Peer, message: Records) -> bool:
        """Whether these records must wait for a file; takes over the peer's descriptors."""
        descriptors, peer.descriptors = peer.descriptors, []
        blob = next((r.blob for r in message.records if _names_file(r)), None)
        if self._spool is None or blob is None or len(descriptors) != 1 or self._spool.has(blob[3]):
            for descriptor in descriptors:
                os.close(descriptor)
            return False
        peer.holding = True
        self._jobs.put(_Job(peer, message, descriptors[0], blob[2], blob[3]))
        return True

    def ready(self, peers: Collection[Peer]) -> list[tuple[Peer, Records]]:
        """Records that may go on now; not those of connections that are no more."""
        found = []
        with contextlib.suppress(queue.Empty):
            while True:
                peer, message = self._done.get_nowait()
                peer.holding = False
                if peer in peers:
                    found.append((peer, message))
        return found

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._copy(job)
            finally:
                os.close(job.source)
            if not self._stopping:
                self._done.put((job.peer, job.message))
                self._wake()

    def _copy(self, job: _Job) -> None:
        assert self._spool is not None
        who = job.peer.source
        try:
            self._spool.take(job.source, job.sha256, job.size, self._beat)
        except (FileRefused, ValueError) as error:
            about = of(Alarm.SPEAKER_REFUSED)
            log.warning("%s: file %.12s not taken: %s", who, job.sha256, error, extra=about)

    def _beat(self) -> None:
        if self._stopping:
            raise FileRefused("file_missing", "the coordinator stops")


def _names_file(record: WireRecord) -> bool:
    return record.blob is not None and record.kind == Kind.FILE.value

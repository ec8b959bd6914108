"""The bytes of files: which records have one, what the cloud needs of it, the next chunk.

A FILE record is the manifest of its file. The cloud books it, answers with what is missing, and
acknowledges it when the whole file with the right sha256 is on its own disk; only then the record
leaves the outbox and the file the spool. Used by the pump's thread.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from agent.alarms import Alarm, of
from agent.spool import Spool
from agent.store.rows import Range, RowDamaged, RowHead
from agent.uplink.delivery import Delivery
from agent.uplink.lookout import LOOK_ROWS
from agent.uplink.named_files import Named, Source, files_named
from agent.uplink.need import Need
from agent.uplink.putter import Putter
from agent.uplink.upload import BLOCK_BYTES, Chunk, Upload, frame

log = logging.getLogger("brain.uplink")

MAX_UPLOADS = 64
"""Files that are announced at a time; the rest waits its turn."""
DAMAGED = "damaged"
SWEEP_AFTER_S = 3_600.0
LOOK_AGAIN_S = 10.0
"""How often a copy of ours is read as a whole because the cloud says that it got another file."""
MAX_PUT_FAILURES = 4
"""So many parts in a row fail before a file goes in chunks."""


@dataclass(frozen=True, slots=True)
class Part:
    """A chunk that is to be sent."""

    upload: Upload
    blocks: Range
    payload: bytes


class Files:
    """All files of the outbox's oldest bulk rows. `refuse` drops a row, with an account."""

    def __init__(
        self,
        spool: Spool,
        delivery: Delivery,
        refuse: Callable[[RowHead, str], None],
        *,
        ask_s: float,
        first: Collection[str] = (),
        putter: Putter | None = None,
        sweep_after_s: float = SWEEP_AFTER_S,
    ) -> None:
        """`first`: sources and media types whose files go before history and other files.
        `putter` None: there is no way but MQTT."""
        self._spool = spool
        self._delivery = delivery
        self._refuse = refuse
        self._ask_s = ask_s
        self._first = frozenset(first)
        self._putter = putter
        self._rows: dict[RowHead, tuple[Named, ...]] = {}
        self._uploads: dict[str, Upload] = {}
        self._leaving: dict[RowHead, tuple[Named, ...]] = {}
        self._open: tuple[str, int] | None = None
        self._look_again_at = 0.0
        self._swept = False
        self._sweep_at = time.monotonic() + sweep_after_s

    @property
    def uploads(self) -> Collection[Upload]:
        """What is under way or waits for its turn, in that order."""
        return self._uploads.values()

    # --- what there is -------------------------------------------------------------------------

    def sort_out(self, heads: Sequence[RowHead], source: Source) -> list[RowHead]:
        """The open bulk rows that name no file; those that do are ours. Raises READ_ERRORS."""
        known, self._rows = self._rows, {}
        for head in heads:
            found = known.get(head)
            if found is None:
                found = files_named(head, source, self._first)
            if found is not None:
                self._rows[head] = found
        for head in known.keys() - self._rows.keys():
            if known[head]:
                self._leaving[head] = known[head]
        self._match()
        self._let_go(source)
        self._sweep(len(heads))
        return [head for head, named in self._rows.items() if not named]

    def _sweep(self, looked_at: int) -> None:
        """Once, late, with all rows in sight: salvage of a damaged outbox may bring some more."""
        if not self._swept and looked_at < LOOK_ROWS and time.monotonic() >= self._sweep_at:
            self._swept = True
            left = self._spool.sweep({name.sha256 for row in self._rows.values() for name in row})
            if left:
                log.info("%d files that no record names were removed", left)

    def _match(self) -> None:
        """One upload a file, however many records name it."""
        named = [name for row in self._rows.values() for name in row]
        known, self._uploads = self._uploads, {}
        for name in sorted(named, key=lambda name: not name.urgent):
            if name.sha256 not in self._uploads and len(self._uploads) < MAX_UPLOADS:
                fresh = Upload(name.sha256, name.size, self._ask_s, name.urgent)
                self._uploads[name.sha256] = known.get(name.sha256, fresh)

    def _let_go(self, source: Source) -> None:
        """Remove the files of rows that have left the outbox for good."""
        for head, row in list(self._leaving.items()):
            if head in self._rows:
                del self._leaving[head]
                continue
            try:
                source.load(head)
            except KeyError:
                del self._leaving[head]
            except RowDamaged:
                continue
            else:
                continue
            kept = {name.sha256 for row in self._rows.values() for name in row}
            for name in row:
                if name.sha256 not in kept:
                    self._close(name.sha256)
                    self._spool.remove(name.sha256)

    # --- what goes next ------------------------------------------------------------------------

    def manifest(self, now: float) -> RowHead | None:
        """The row that is to be sent now: for the first time, or to ask again."""
        for head, row in self._rows.items():
            uploads = [self._uploads.get(name.sha256) for name in row]
            started = [upload for upload in uploads if upload is not None]
            if not started or any(upload.held_until > now for upload in started):
                continue
            told = self._delivery.was_told(head.epoch, head.first, head.last)
            if not told or any(upload.ask_due(now) for upload in started):
                return head
        return None

    def announced(self, head: RowHead, now: float) -> None:
        """The row went out: an ack of its records counts from now on."""
        self._delivery.told(head.epoch, head.first, head.last)
        for name in self._rows.get(head, ()):
            if name.sha256 in self._uploads:
                self._uploads[name.sha256].asked_now(now)

    def next_part(self, max_bytes: int, now: float, *, urgent: bool = False) -> Part | None:
        """The chunk to send now; `urgent`: of a file that goes first, or none."""
        for upload in list(self._uploads.values()):
            if upload.held_until > now or (urgent and not upload.urgent):
                continue
            blocks = upload.next_chunk(max_bytes)
            if blocks is None:
                continue
            content = self._content(upload, blocks)
            if content is not None:
                return Part(upload, blocks, frame(upload.sha256, blocks.first, content))
        return None

    def put_parts(self, now: float) -> None:
        """See to the parts that go another way: hear how the last one went, begin the next."""
        if self._putter is None:
            return
        result = self._putter.finished()
        if result is not None:
            if result.error:
                log.warning("file %.12s: a part was not taken: %s", result.put.sha256, result.error)
            upload = self._uploads.get(result.put.sha256)
            if upload is not None:
                upload.put_done(result.put, failed=bool(result.error), now=now)
        if self._putter.current is None:
            waiting = [u for u in self._uploads.values() if u.puts and u.held_until <= now]
            if waiting:
                self._putter.start(waiting[0].puts[0])

    def next_ask(self) -> float | None:
        """When a manifest may be due by the clock."""
        moments = [upload.next_ask() for upload in self._uploads.values()]
        return min((moment for moment in moments if moment is not None), default=None)

    def _content(self, upload: Upload, blocks: Range) -> bytes | None:
        """The bytes of some blocks; None, with an account, where the file is not what it was."""
        if self._open is None or self._open[0] != upload.sha256:
            self._close()
            descriptor = self._spool.open(upload.sha256)
            if descriptor is None:
                self._give_up(upload.sha256, self._spool.why(upload.sha256))
                return None
            self._open = (upload.sha256, descriptor)
        begin = blocks.first * BLOCK_BYTES
        length = min(upload.size - begin, (blocks.last - blocks.first + 1) * BLOCK_BYTES)
        try:
            content = os.pread(self._open[1], length, begin)
        except OSError:
            content = b""
        if len(content) != length:
            self._give_up(upload.sha256, DAMAGED)
            return None
        return content

    # --- what comes back -----------------------------------------------------------------------

    def need(self, need: Need) -> None:
        """The cloud said what it needs."""
        upload = self._uploads.get(need.sha256)
        if upload is None:
            return
        if upload.puts:
            return  # parts are under way; it is asked again when they are there
        upload.needs(need)
        putter = self._putter
        if putter is not None and upload.put_failures < MAX_PUT_FAILURES:
            upload.puts = tuple(
                put
                for put in need.puts
                if putter.allows(put.url) and put.offset + put.length <= upload.size
            )
        if need.missing and self._spool.open_size(need.sha256) != upload.size:
            self._give_up(need.sha256, self._spool.why(need.sha256))
        elif need.again and self._look_again() and not self._intact(upload):
            self._give_up(need.sha256, DAMAGED)

    def find(self, message: tuple[int, int]) -> tuple[Upload, Chunk] | None:
        """The chunk that went out as `message`."""
        for upload in self._uploads.values():
            for chunk in upload.under_way:
                if chunk.message == message:
                    return upload, chunk
        return None

    def unconfirmed(self) -> list[Chunk]:
        """All chunks that the broker owes us confirmation for."""
        return [chunk for upload in self._uploads.values() for chunk in upload.unconfirmed()]

    def lost(self, now: float, *, by_peer: bool) -> None:
        """The connection is gone."""
        for upload in self._uploads.values():
            upload.lost(now, by_peer=by_peer)

    def close(self) -> None:
        """Close what is open."""
        self._close()

    def _look_again(self) -> bool:
        """Whether a whole file may be read now: a broker can ask for it a thousand times."""
        now = time.monotonic()
        if now < self._look_again_at:
            return False
        self._look_again_at = now + LOOK_AGAIN_S
        return True

    def _intact(self, upload: Upload) -> bool:
        """Whether the copy of ours is still what the record says."""
        descriptor = self._spool.open(upload.sha256)
        if descriptor is None:
            return False
        with os.fdopen(descriptor, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == upload.sha256

    def _give_up(self, sha256: str, reason: str) -> None:
        """Drop the rows of a file, with an account."""
        text = "file %.12s cannot be delivered, dropped: %s"
        log.error(text, sha256, reason, extra=of(Alarm.UPLINK_DENIED))
        self._close(sha256)
        self._uploads.pop(sha256, None)
        for head, row in self._rows.items():
            if any(name.sha256 == sha256 for name in row):
                self._refuse(head, reason)

    def _close(self, sha256: str | None = None) -> None:
        if self._open is not None and sha256 in (None, self._open[0]):
            os.close(self._open[1])
            self._open = None

"""The counts on disk: three slots of one small file, written in place.

A kill loses nothing that was written: slot 0 is written at each change, without waiting for the
disk, so the kernel has it. A power cut loses at most what was counted since slots 1 and 2, which
are written in turn and followed by fdatasync: after SYNC_BYTES on a metered link, and every SYNC_S.
"""

from __future__ import annotations

import logging
import os
import struct
import threading
import zlib
from pathlib import Path

import msgspec

from agent.uplink.traffic import Counted

log = logging.getLogger("brain.uplink")

FILE = "traffic"
SLOT_BYTES = 8_192
SLOTS = 3
SYNC_BYTES = 64 * 1024
SYNC_S = 600.0
_MAGIC = b"brain-traffic-1\n"
_HEAD = struct.Struct(">16sQII")
"""Magic, serial, size and CRC of serial and body."""
STOP_S = 2.0

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Counted)


def encode(counted: Counted) -> bytes:
    """The counts as a slot holds them."""
    return _encoder.encode(counted)


def decode(body: bytes) -> Counted:
    """What `encode` encoded. Raises ValueError for anything else."""
    return _decoder.decode(body)


def load(directory: Path) -> tuple[int, Counted]:
    """(serial, counts) of the newest slot that is whole; (0, nothing) where there is none."""
    newest = (0, Counted())
    try:
        with (directory / FILE).open("rb") as file:
            raw = file.read(SLOTS * SLOT_BYTES)
    except OSError:
        return newest
    for at in range(0, len(raw), SLOT_BYTES):
        slot = raw[at : at + SLOT_BYTES]
        if len(slot) < _HEAD.size:
            break
        magic, serial, size, crc = _HEAD.unpack_from(slot)
        body = slot[_HEAD.size : _HEAD.size + size]
        if magic != _MAGIC or len(body) != size or crc != _crc(serial, body):
            continue
        try:
            counted = decode(body)
        except (msgspec.MsgspecError, ValueError):
            continue
        if serial > newest[0] and counted.sound:
            newest = (serial, counted)
    return newest


def _crc(serial: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(serial.to_bytes(8, "big")))


class TrafficFile:
    """Owns the thread "traffic", which alone waits for the disk. A disk that fails is said once."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._serial, self.counted = load(directory)
        self._fd: int | None = None
        self._problem: str | None = None
        self._slot = 1
        self._due: bytes | None = None
        self._wake = threading.Event()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def start(self) -> None:
        """Be ready to wait for the disk."""
        self._thread.start()

    def write(self, body: bytes, *, sync: bool) -> None:
        """Keep these encoded counts over a kill; with `sync` soon over a power cut too."""
        self._serial += 1
        if len(body) > SLOT_BYTES - _HEAD.size:
            self._say(f"the counts take {len(body)} bytes")
            return
        slot = _HEAD.pack(_MAGIC, self._serial, len(body), _crc(self._serial, body)) + body
        self._put(slot, 0)
        if sync:
            self._due = slot
            self._wake.set()

    def stop(self) -> None:
        """Write what is due and end."""
        self._ending = True
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_S)

    def _run(self) -> None:
        while not self._ending or self._due is not None:
            self._wake.wait(1.0)
            self._wake.clear()
            slot, self._due = self._due, None
            if slot is not None and self._put(slot, self._slot):
                self._slot = 3 - self._slot
                self._sync()

    def _put(self, slot: bytes, number: int) -> bool:
        try:
            if self._fd is None:
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.pwrite(self._fd, slot, number * SLOT_BYTES)
        except OSError as error:
            self._say(error.strerror or str(error))
            return False
        self._problem = None
        return True

    def _sync(self) -> None:
        try:
            if self._fd is not None:
                os.fdatasync(self._fd)
        except OSError as error:
            self._say(error.strerror or str(error))

    def _say(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("%s: %s; bytes are counted in memory until it works", self._path, problem)
        self._problem = problem

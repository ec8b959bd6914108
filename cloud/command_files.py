"""Files that vehicles made at a command: waited for in the ledger, then copied out."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from cloud import schema
from cloud.file_books import Key
from cloud.files import FileStore

PIECE_BYTES = 1 << 20


class NotHere(Exception):
    """The file cannot be had here; the text says why."""


class Files:
    """The files that the receiver of a ledger puts together."""

    def __init__(self, ledger: Path, directory: Path | None = None) -> None:
        """`directory`: where the receiver keeps files, None for its default.

        Raises LedgerUnusable.
        """
        self._db = schema.open_reader(ledger)
        self._store = FileStore(directory or ledger.with_name(f"{ledger.name}.files"))

    def close(self) -> None:
        self._db.close()

    def whole(self, key: Key) -> bool:
        """Whether the receiver has all of a file."""
        row = self._db.execute(
            "SELECT whole FROM file WHERE vehicle = ? AND sha256 = ?", key
        ).fetchone()
        return row is not None and bool(row[0])

    def copy(self, key: Key, target: Path) -> None:
        """Copy a whole file to `target`, which must not exist. Raises NotHere, OSError."""
        digest = hashlib.sha256()
        try:
            source = self._store.path(key).open("rb")
        except FileNotFoundError as error:
            text = f"{key[0]}/{key[1]} is whole, but not on this disk: look in the bucket"
            raise NotHere(text) from error
        with source, target.open("xb") as file:
            while piece := source.read(PIECE_BYTES):
                digest.update(piece)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != key[1]:
            target.unlink()
            raise NotHere(f"{self._store.path(key)} is not what it was: it has another sha256")

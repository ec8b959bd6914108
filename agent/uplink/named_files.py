"""Which rows of the outbox name files."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from agent.record import Kind
from agent.store.rows import Row, RowDamaged, RowHead


class Source(Protocol):
    """Where rows come from."""

    def load(self, head: RowHead) -> Row: ...


@dataclass(frozen=True, slots=True)
class Named:
    """A file that a record of a row names. `urgent`: it does not wait for history."""

    sha256: str
    size: int
    urgent: bool


def files_named(head: RowHead, source: Source, first: Collection[str]) -> tuple[Named, ...] | None:
    """The files that a row names; None where the row is gone. Raises READ_ERRORS.

    `first`: sources and media types whose files are urgent.
    """
    try:
        records = source.load(head).records
    except KeyError:
        return None
    except RowDamaged:
        return ()  # an ordinary batch accounts for it
    return tuple(
        Named(
            record.blob.sha256,
            record.blob.size,
            record.source in first or record.blob.media_type in first,
        )
        for record in records
        if record.kind is Kind.FILE and record.blob is not None
    )

"""The far end of the uplink: takes what vehicles send, books it durably, then acknowledges it.

`python -m cloud` is the receiver, `python -m cloud report` prints what its ledger holds. It meets
the vehicle on MQTT only and shares no code with it: the payload is read from `telemetry.proto`.

    batch, structure, columns, decoder, json_format   payload bytes -> a checked Batch (pure, total)
    catalogue, shelf           what vehicles declared, which batches refer to
    intervals, dating, acks    sets of seq; boot time -> UTC; what to acknowledge (pure)
    topics, intake             one MQTT message -> delivery, status or rejection (pure)
    schema, rows, boots, spans, notes, ledger   the books in SQLite
    session, receiver          MQTT in, commit, acknowledge
    report, __main__           what people and scripts read

A vehicle keeps a record until it is acknowledged here, so nothing is acknowledged before the commit
that holds it. Whatever comes twice is booked once and acknowledged twice. What cannot be read is
kept aside, counted and not acknowledged.
"""

from cloud.batch import Batch, Blob, Drop, Offset, Record
from cloud.catalogue import Catalogues, CatalogueUnknown, Shape, decode_catalogue, hash_of
from cloud.dating import Piece, pieces, utc_ms
from cloud.decoder import decode

__all__ = [
    "Batch",
    "Blob",
    "CatalogueUnknown",
    "Catalogues",
    "Drop",
    "Offset",
    "Piece",
    "Record",
    "Shape",
    "decode",
    "decode_catalogue",
    "hash_of",
    "pieces",
    "utc_ms",
]

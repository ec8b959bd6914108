"""The application's ack as it arrives: `{"epoch": "<32 hex>", "ranges": [[first, last], ...]}`."""

from __future__ import annotations

import msgspec

from agent.store.rows import Range

MAX_SEQ = (1 << 48) - 1


class NoAck(ValueError):
    """Bytes that are no ack."""


class _Ack(msgspec.Struct):
    epoch: str
    ranges: list[tuple[int, int]]


_decoder = msgspec.json.Decoder(_Ack)


def parse(payload: bytes) -> tuple[str, list[Range]]:
    """Epoch and ranges; ranges that no seq can be in are left out. Raises NoAck."""
    try:
        ack = _decoder.decode(payload)
    # msgspec raises UnicodeDecodeError for a text that is no UTF-8.
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise NoAck(str(error)) from error
    spans = [Range(first, last) for first, last in ack.ranges]
    return ack.epoch, [span for span in spans if 0 < span.first <= span.last <= MAX_SEQ]

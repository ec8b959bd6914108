"""What a capture says, frame by frame: for `brain decode fms_j1939 FILE`."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from pathlib import Path

from drivers.codecs import can_log
from drivers.codecs.j1939 import TP_CM, TP_DT, Transport, split_id
from drivers.codecs.left_out import LeftOut
from drivers.fms_j1939.table import PGNS


def decode(path: Path) -> Generator[Mapping[str, object], None, str]:
    """Each value of each frame of a candump log, without thinning or preference of a sender.

    `state` follows the raw class alone; a value beyond its plausible limits has `plausible` False.
    A message of several packets has the stamp of its last one. Raises ValueError with file and line
    where the log is damaged.
    """
    # Two buses in one log have sessions of their own.
    transports: dict[str, Transport] = {}
    left_out = LeftOut()
    for frame in can_log.read(path):
        if left_out.takes(frame):
            continue
        identifier = split_id(frame.can_id)
        if identifier.pgn in (TP_CM, TP_DT):
            transport = transports.setdefault(frame.interface, Transport())
            message = transport.feed(frame.t, identifier, frame.payload)
            if message is not None:
                yield from _readings(message.t, message.pgn, message.sa, message.payload)
        else:
            yield from _readings(frame.t, identifier.pgn, identifier.sa, frame.payload)
    return left_out.note()


def _readings(t: float, number: int, sa: int, payload: bytes) -> Iterator[Mapping[str, object]]:
    pgn = PGNS.get(number)
    if pgn is None:
        return
    for spn, value, state, plausible, path, _ in pgn.read(payload):
        line: dict[str, object] = {
            "t": t,
            "pgn": number,
            "sa": sa,
            "spn": spn.number,
            "signal": path,
            "value": value,
            "state": "value" if state is None else state.value,
            "unit": spn.unit,
        }
        if not plausible:
            line["plausible"] = False
        yield line

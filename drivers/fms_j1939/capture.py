"""What a capture says, frame by frame: for `brain decode fms_j1939 FILE`."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path

from drivers.codecs import can_log
from drivers.codecs.j1939 import TP_CM, TP_DT, Transport, split_id
from drivers.codecs.left_out import LeftOut
from drivers.codecs.log_lines import Damaged
from drivers.codecs.logged_frame import LoggedFrame
from drivers.fms_j1939 import dm1
from drivers.fms_j1939.dm1 import DM1
from drivers.fms_j1939.driver_ids import Identity
from drivers.fms_j1939.dtc_signals import DTC
from drivers.fms_j1939.pgn import Pgn
from drivers.fms_j1939.spn import Reading, Shape
from drivers.fms_j1939.table import parameter_groups

_MAX_INTERFACES = 64
"""Buses in one log; more names than that are noise, and all are learnt anew."""

PLAIN_VARIABLE = "BRAIN_DECODE_DRIVER_ID"
"""Set to `plain`, `decode` shows the drivers' cards; else pseudonyms with a key of the run."""


def decode(path: Path) -> Generator[Mapping[str, object], None, str]:
    """Each SPN of each frame of a capture, without thinning or preference of a sender.

    `value` is in the `unit` of the standard; `signal_value` and `signal_unit` come where the signal
    has another. `state` follows the raw class alone; a value beyond its plausible limits has
    `plausible` False. `spn` is None where the standard's number is not known, `signal` where the
    parameter is none. A message of several packets has the stamp of its last one. A damaged line
    among others is one frame less, and told in what is returned. Raises ValueError with file and
    place where no line is a frame, or where what follows cannot be read.
    """
    plain = os.environ.get(PLAIN_VARIABLE) == "plain"
    pgns = parameter_groups(electric=True, identity=Identity("plain" if plain else "pseudonym"))
    left_out = LeftOut()
    try:
        yield from _messages(can_log.read(path), pgns, left_out)
    except Damaged as error:
        if not left_out.seen:
            raise
        return "; ".join(filter(None, (left_out.note(), str(error).removeprefix(f"{path}:"))))
    return left_out.note()


def _messages(
    frames: Iterator[LoggedFrame], pgns: Mapping[int, Pgn], left_out: LeftOut
) -> Iterator[Mapping[str, object]]:
    # Two buses in one log have sessions of their own.
    transports: dict[str, Transport] = {}
    for frame in frames:
        if left_out.takes(frame):
            continue
        identifier = split_id(frame.can_id)
        if identifier.pgn in (TP_CM, TP_DT):
            if len(transports) >= _MAX_INTERFACES and frame.interface not in transports:
                transports.clear()
            transport = transports.setdefault(frame.interface, Transport())
            message = transport.feed(frame.t, identifier, frame.payload)
            if message is not None and message.pgn in pgns:
                yield from readings(message.t, pgns[message.pgn], message.sa, message.payload)
            elif message is not None and message.pgn == DM1:
                yield from trouble_codes(message.t, message.sa, message.payload)
        elif identifier.pgn == DM1:
            yield from trouble_codes(frame.t, identifier.sa, frame.payload)
        elif identifier.pgn in pgns:
            yield from readings(frame.t, pgns[identifier.pgn], identifier.sa, frame.payload)


def readings(t: float, pgn: Pgn, sa: int, payload: bytes) -> Iterator[dict[str, object]]:
    """The lines of one message."""
    details = pgn.details(payload)
    line: dict[str, object] | None = None
    for reading in pgn.read(payload):
        if reading.spn.shape is Shape.WHOLE and line is not None:
            # A signal of the whole message is shown with the parameter that it begins with.
            line |= {"signal": reading.path} | _stated(reading)
            if reading.stated is None and line["value"] is not None:
                line["plausible"] = False
            continue
        if line is not None:
            yield line
        line = {"t": t, "pgn": pgn.number, "sa": sa, **_line(reading), **details}
    if line is not None:
        yield line


def trouble_codes(t: float, sa: int, payload: bytes) -> Iterator[dict[str, object]]:
    """A line for each active code of one DM1; none where it is too short to be one."""
    try:
        message = dm1.decode(payload)
    except ValueError:
        return
    for spn, fmi, oc, cm in message.dtcs:
        yield {
            "t": t,
            "pgn": DM1,
            "sa": sa,
            "spn": spn,
            "signal": DTC,
            "value": None,
            "state": "value",
            "unit": "",
            "fmi": fmi,
            "oc": oc,
            "cm": cm,
            "lamps": message.lamps,
        }


def _line(reading: Reading) -> dict[str, object]:
    spn, value, state, plausible, path, stated = reading
    line: dict[str, object] = {
        "spn": spn.number or None,
        "signal": path,
        "value": value,
        "state": "value" if state is None else state.value,
        "unit": spn.unit,
    }
    if not plausible:
        line["plausible"] = False
    if spn.special is not None and value is None and stated is not None:
        line["meaning"] = spn.special.meaning
    if (path and spn.signal_unit != spn.unit) or (stated is not None and value is None):
        line |= _stated(reading)
    return line


def _stated(reading: Reading) -> dict[str, object]:
    return {"signal_value": reading.stated, "signal_unit": reading.spn.signal_unit}

"""Frames as a file of each format, by other people's writers or as their programs print them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from pathlib import Path

import can

from drivers.codecs import candump
from drivers.codecs.logged_frame import LoggedFrame

Writer = Callable[[Path, Sequence[LoggedFrame]], None]


def _python_can(kind: type[can.io.generic.MessageWriter]) -> Writer:
    def write(path: Path, frames: Sequence[LoggedFrame]) -> None:
        with kind(path) as log:
            for frame in frames:
                log.on_message_received(
                    can.Message(
                        timestamp=frame.t,
                        arbitration_id=frame.can_id,
                        is_extended_id=frame.extended,
                        is_remote_frame=frame.remote,
                        data=frame.payload,
                        channel=0,
                    )
                )

    return write


def _lines(line: Callable[[LoggedFrame], str], header: str = "") -> Writer:
    def write(path: Path, frames: Sequence[LoggedFrame]) -> None:
        path.write_text(header + "".join(line(frame) + "\n" for frame in frames))

    return write


def _identifier(frame: LoggedFrame) -> str:
    return f"{frame.can_id:08X}" if frame.extended else f"{frame.can_id:03X}"


def _screen(frame: LoggedFrame) -> str:
    cells = "".join(f" {byte:02X}" for byte in frame.payload)
    rest = "  remote request" if frame.remote else " " + cells
    return f" ({frame.t:.6f})  can0  {_identifier(frame)}   [{len(frame.payload)}] {rest}"


def _trc_1_1(frame: LoggedFrame) -> str:
    cells = "RTR" if frame.remote else frame.payload.hex(" ").upper()
    wide = f"{frame.can_id:08X}" if frame.extended else f"{frame.can_id:04X}"
    return f" 1) {frame.t * 1000:.3f}  Rx  {wide}  {len(frame.payload)}  {cells}"


def _asc_decimal(frame: LoggedFrame) -> str:
    cells = " ".join(f"{byte:3d}" for byte in frame.payload)
    rest = "r" if frame.remote else f"d {len(frame.payload)} {cells}"
    return f"   {frame.t:.6f} 1  {frame.can_id}{'x' * frame.extended}  Rx  {rest}"


def _gvret(frame: LoggedFrame) -> str:
    cells = "".join(f"{byte:02X}," for byte in frame.payload)
    stamp, flag = round(frame.t * 1e6), str(frame.extended).lower()
    return f"{stamp},{frame.can_id:08X},{flag},Rx,0,{len(frame.payload)},{cells}"


def _table(frame: LoggedFrame) -> str:
    data = base64.b64encode(frame.payload).decode()
    flags = f"{frame.extended:d},{frame.remote:d},0"
    return f"{frame.t!r},{frame.can_id:#x},{flags},{len(frame.payload)},{data}"


TEXTS: dict[str, Writer] = {
    "candump -L": lambda path, frames: _write(path, b"".join(map(candump.line, frames))),
    "candump -ta": _lines(_screen),
    "asc": _python_can(can.ASCWriter),
    "asc decimal": _lines(_asc_decimal, "base dec  timestamps absolute\n"),
    "trc": _python_can(can.TRCWriter),
    "trc 1.1": _lines(_trc_1_1, ";$FILEVERSION=1.1\n;$STARTTIME=25569\n"),
    "csv": _lines(_table, "timestamp,arbitration_id,extended,remote,error,dlc,data\n"),
    "gvret": _lines(_gvret, "Time Stamp,ID,Extended,Dir,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8\n"),
}
WRITERS: dict[str, Writer] = {
    **TEXTS,
    "blf": _python_can(can.BLFWriter),
    "mf4": _python_can(can.MF4Writer),
}
NO_REMOTE = {"trc", "gvret"}
"""Writers that have no word for a remote request."""


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)

"""The MF4 log, through asammdf."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import can
import numpy as np
import pytest
from asammdf import MDF, Signal
from asammdf.blocks.v4_blocks import SourceInformation
from asammdf.blocks.v4_constants import BUS_TYPE_CAN, SOURCE_BUS

from drivers.codecs import can_log, mf4

from .test_can_log import SAMPLE, alike


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mf4") / "capture.mf4"
    with can.MF4Writer(path) as writer:
        for frame in SAMPLE:
            writer.on_message_received(
                can.Message(
                    timestamp=frame.t,
                    arbitration_id=frame.can_id,
                    is_extended_id=frame.extended,
                    data=frame.payload,
                    channel=2,
                )
            )
        more = {"timestamp": SAMPLE[-1].t + 1, "channel": 2}
        writer.on_message_received(can.Message(arbitration_id=0x123, is_remote_frame=True, **more))
        writer.on_message_received(can.Message(is_error_frame=True, **more))
        writer.on_message_received(
            can.Message(arbitration_id=0x123, is_fd=True, data=bytes(12), **more)
        )
    return path


def test_frames_of_all_kinds(log: Path) -> None:
    got = list(mf4.read(log))
    assert alike(got[: len(SAMPLE)]) == alike(SAMPLE)
    assert {frame.interface for frame in got} == {"2"}
    rest = got[len(SAMPLE) :]
    assert sorted((f.remote, f.error, f.fd) for f in rest) == [
        (False, False, True),
        (False, True, False),
        (True, False, False),
    ]


def test_a_damaged_log_names_the_file_after_the_frames_before(log: Path, tmp_path: Path) -> None:
    data = log.read_bytes()
    whole = alike(list(mf4.read(log)))
    path = tmp_path / "cut.mf4"
    told = 0
    for size in range(8, len(data), max(1, len(data) // 60)):
        path.write_bytes(data[:size])
        got = []
        try:
            for frame in can_log.read(path):
                got.append(frame)
        except ValueError as error:
            told += 1
            assert str(error).startswith(f"{path}: damaged behind frame {len(got)}: ")
        assert set(alike(got)) <= set(whole)
    assert told > 20


def test_without_asammdf_the_error_says_what_to_install(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "asammdf", None)
    with pytest.raises(ValueError, match=r"capture\.mf4: .*pip install 'computing-brain\[mf4\]'"):
        list(mf4.read(log))


def test_nothing_heavy_is_imported_for_other_formats(tmp_path: Path) -> None:
    path = tmp_path / "capture.log"
    path.write_text("(1.0) can0 123#00\n")
    code = (
        "import sys; from pathlib import Path; from drivers.codecs import can_log; "
        f"print(len(list(can_log.read(Path({str(path)!r})))), "
        "sorted({'can', 'asammdf', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == "1 []"


def logger(path: Path, *groups: tuple[str, dict[str, tuple[str, list[object]]]]) -> None:
    """A log of groups (name, columns as type and values), a record a second from 2023-09-21."""
    with MDF(version="4.10") as log:
        log.header.start_time = datetime(2023, 9, 21, tzinfo=UTC)
        for name, columns in groups:
            count = len(next(iter(columns.values()))[1])
            table = np.zeros(count, dtype=[(f"{name}.{key}", t) for key, (t, _) in columns.items()])
            for key, (_, values) in columns.items():
                table[f"{name}.{key}"] = values
            times = np.arange(count, dtype="<f8")
            source = SourceInformation(source_type=SOURCE_BUS, bus_type=BUS_TYPE_CAN)
            log.append(Signal(name=name, samples=table, timestamps=times, source=source))
        log.save(path, overwrite=True)


DAY = 1695254400.0


def test_columns_that_loggers_leave_out(tmp_path: Path) -> None:
    path = tmp_path / "capture.mf4"
    payloads = [[1, 2, 3, 0], [4, 0, 0, 0], [0, 0, 0, 0]]
    logger(
        path,
        (
            "CAN_DataFrame",
            {
                "ID": ("<u4", [0x80000100, 0x123, 0x18FEF100]),
                "DLC": ("<u1", [4, 1, 0]),
                "DataBytes": ("(4,)u1", payloads),
            },
        ),
    )
    assert [tuple(frame) for frame in mf4.read(path)] == [
        (DAY, "1", 0x100, b"\x01\x02\x03\x00", True, False, False, False),
        (DAY + 1, "1", 0x123, b"\x04", False, False, False, False),
        (DAY + 2, "1", 0x18FEF100, b"", True, False, False, False),
    ]


def test_requests_among_data_and_error_frames_of_odd_shape(tmp_path: Path) -> None:
    path = tmp_path / "capture.mf4"
    data = {
        "BusChannel": ("<u1", [2, 2]),
        "ID": ("<u4", [0x123, 0x18FEF100]),
        "IDE": ("<u1", [0, 1]),
        "RTR": ("<u1", [1, 0]),
        "DataLength": ("<u1", [8, 8]),
        "DataBytes": ("(8,)u1", [[0] * 8, [9] * 8]),
    }
    # An integer for bytes, as one maker's logger writes it.
    errors = {"BusChannel": ("<u1", [3]), "DataLength": ("<u1", [4]), "DataBytes": ("<u4", [1])}
    logger(path, ("CAN_DataFrame", data), ("CAN_ErrorFrame", errors))
    assert sorted(tuple(frame) for frame in mf4.read(path)) == [
        (DAY, "2", 0x123, b"", False, True, False, False),
        (DAY, "3", 0x20000000, b"", False, False, False, True),
        (DAY + 1, "2", 0x18FEF100, bytes([9] * 8), True, False, False, False),
    ]


def test_a_log_without_frames_has_none(tmp_path: Path) -> None:
    path = tmp_path / "capture.mf4"
    logger(path, ("Speed", {"Value": ("<f8", [1.0, 2.0])}))
    assert list(mf4.read(path)) == []


def test_more_frames_than_are_unpacked_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "capture.mf4"
    count = 25_000
    columns: dict[str, tuple[str, list[object]]] = {
        "ID": ("<u4", [n & 0x7FF for n in range(count)]),
        "DataLength": ("<u1", [1] * count),
        "DataBytes": ("(8,)u1", [[n & 255] + [0] * 7 for n in range(count)]),
    }
    logger(path, ("CAN_DataFrame", columns))
    assert [(frame.can_id, frame.payload[0]) for frame in mf4.read(path)] == [
        (n & 0x7FF, n & 255) for n in range(count)
    ]


def test_a_length_beyond_the_bytes_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "capture.mf4"
    columns: dict[str, tuple[str, list[object]]] = {
        "ID": ("<u4", [1, 2]),
        "DataLength": ("<u1", [4, 5]),
        "DataBytes": ("(4,)u1", [[0] * 4] * 2),
    }
    logger(path, ("CAN_DataFrame", columns))
    frames = mf4.read(path)
    assert next(frames).can_id == 1
    with pytest.raises(ValueError, match="damaged behind frame 1: a frame of 5 bytes has 4"):
        next(frames)

"""The MF4 log, through python-can and asammdf."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import can
import pytest

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

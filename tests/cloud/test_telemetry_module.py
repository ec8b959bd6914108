"""Both ends' generated protobuf modules are what telemetry.proto says, compared as files.

They are never imported into one process: both register the same names.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENDS = [ROOT / "agent" / "uplink", ROOT / "cloud"]


@pytest.mark.parametrize("name", ["telemetry_pb2.py", "telemetry_pb2.pyi"])
def test_both_ends_have_the_same_module(name: str) -> None:
    one, other = [(end / name).read_bytes() for end in ENDS]
    assert one == other, f"{name} differs between agent/uplink and cloud; run: make proto"


def test_the_module_is_what_the_description_says(tmp_path: Path) -> None:
    if importlib.util.find_spec("grpc_tools") is None:
        pytest.skip("grpc_tools is not installed; the modules are not generated again")
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'config'}"),
            *(f"--python_out={tmp_path}", str(ROOT / "config" / "telemetry.proto")),
        ],
        check=True,
        timeout=60,
    )
    made = (tmp_path / "telemetry_pb2.py").read_bytes()
    assert made == (ENDS[1] / "telemetry_pb2.py").read_bytes(), "out of date; run: make proto"

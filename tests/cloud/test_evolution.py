"""The payload may grow: the first decoder reads today's messages, today's reads tomorrow's.

`frozen/telemetry_1.proto` is the description that the first release had; it is never edited.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from cloud_payloads import message, packed
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from cloud import telemetry_pb2 as pb
from cloud.decoder import decode

HERE = Path(__file__).parent
SAMPLE = {"offsets": [(0, 1_800_000_000_000, 3)], "drops": [(1, 4, 6, 3, "quota")]}


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The message class Batch as the first description has it."""
    if importlib.util.find_spec("grpc_tools") is None:
        pytest.skip("grpc_tools is not installed")
    out = tmp_path_factory.mktemp("frozen") / "set"
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-I{HERE / 'frozen'}"),
            *(f"--descriptor_set_out={out}", str(HERE / "frozen" / "telemetry_1.proto")),
        ],
        check=True,
        timeout=60,
    )
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("brain.Batch"))


def known_part(fields: Any) -> dict[int, Any]:
    return {field.number: (field.name, field.type, field.is_repeated) for field in fields}


def test_no_field_was_renumbered_renamed_or_retyped(frozen: Any) -> None:
    """What the first description has, today's has, with the same number, name and type."""
    seen = {"Batch"}
    pairs = [(frozen.DESCRIPTOR, pb.Batch.DESCRIPTOR)]
    while pairs:
        old, new = pairs.pop()
        was, now = known_part(old.fields), known_part(new.fields)
        assert was.items() <= now.items(), f"{old.name} changed"
        for field in old.fields:
            inner = field.message_type
            if inner is not None and inner.name not in seen:
                seen.add(inner.name)
                pairs.append((inner, new.fields_by_number[field.number].message_type))
    assert {"Boot", "Offset", "Drop", "Group", "Column", "Blob"} <= seen


def test_the_first_decoder_reads_todays_messages(frozen: Any) -> None:
    """To a far end that never says that it has the catalogue everything is named."""
    today = message([1, 2, 3], **SAMPLE)
    old = frozen.FromString(today.SerializeToString())
    assert old.vehicle == today.vehicle and list(old.runs) == list(today.runs)
    assert old.groups[0].columns[0].path == today.groups[0].columns[0].path
    assert list(old.groups[0].columns[0].delta) == list(today.groups[0].columns[0].delta)
    assert old.SerializeToString() == today.SerializeToString()


def test_todays_decoder_reads_the_first_messages(frozen: Any) -> None:
    today = message([1, 2, 3], **SAMPLE)
    first = frozen.FromString(today.SerializeToString())
    assert decode(b"\x01" + zlib.compress(first.SerializeToString())) == decode(packed(today))


UNKNOWN = [
    b"\xf8\x06\x07",  # field 111, a varint
    b"\xfa\x06\x03abc",  # field 111, bytes
    b"\xf9\x06" + bytes(8),  # field 111, 8 bytes
    b"\xfd\x06" + bytes(4),  # field 111, 4 bytes
]


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_todays_decoder_skips_what_it_does_not_know(unknown: bytes) -> None:
    today = message([1, 2, 3], **SAMPLE)
    want = decode(packed(today))
    body = today.SerializeToString() + unknown
    assert decode(b"\x01" + zlib.compress(body)) == want
    today.groups[0].MergeFromString(unknown)
    today.groups[0].columns[0].MergeFromString(unknown)
    today.boots[0].MergeFromString(unknown)
    assert decode(packed(today)) == want


def test_the_frozen_description_is_the_first_one() -> None:
    text = (HERE / "frozen" / "telemetry_1.proto").read_text()
    assert max(int(n) for n in re.findall(r"= (\d+);", text)) == 10

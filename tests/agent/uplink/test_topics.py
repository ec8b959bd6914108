"""Topic names: what brokers take, and nothing else."""

from __future__ import annotations

import pytest

from agent.profiles import MAX_SLASHES
from agent.record import StorageClass
from agent.uplink.topics import Topics


@pytest.mark.parametrize(
    ("prefix", "telemetry", "acks"),
    [
        ("brain", "brain/v1/bus-1/up/telemetry", "brain/v1/bus-1/dn/acks"),
        ("fleet/brain", "fleet/brain/v1/bus-1/up/telemetry", "fleet/brain/v1/bus-1/dn/acks"),
        ("$aws/rules/r_1/b", "$aws/rules/r_1/b/v1/bus-1/up/telemetry", "b/v1/bus-1/dn/acks"),
        ("$aws/rules/r_1", "$aws/rules/r_1/v1/bus-1/up/telemetry", "v1/bus-1/dn/acks"),
    ],
)
def test_topics(prefix: str, telemetry: str, acks: str) -> None:
    topics = Topics(prefix, "bus-1")
    assert topics.of(StorageClass.HISTORY) == telemetry
    assert topics.acks == acks
    assert topics.of(StorageClass.ALARM).endswith("/up/events")
    assert topics.of(StorageClass.BULK).endswith("/up/files")
    assert topics.status.endswith("/up/status")


def test_a_chunk_of_a_file_has_as_many_slashes_as_possible_and_no_more() -> None:
    assert Topics("fleet/brain", "bus-1").chunk("0" * 64, 3).count("/") == MAX_SLASHES


@pytest.mark.parametrize(
    ("prefix", "vehicle", "says"),
    [
        ("", "bus-1", "uplink.prefix"),
        ("/brain", "bus-1", "uplink.prefix"),
        ("brain/", "bus-1", "uplink.prefix"),
        ("$aws/rules/r/", "bus-1", "uplink.prefix"),
        ("a//b", "bus-1", "uplink.prefix"),
        ("a/+", "bus-1", "uplink.prefix"),
        ("#", "bus-1", "uplink.prefix"),
        ("a\0", "bus-1", "uplink.prefix"),
        ("$SYS", "bus-1", "belong to the broker"),
        ("a/b/c", "bus-1", "8 slashes"),
        ("x" * 200, "bus-1", "256 are possible"),
        ("brain", "", "vehicle.id"),
        ("brain", "a/b", "vehicle.id"),
        ("brain", "bus 1", "vehicle.id"),
        ("brain", "x" * 65, "vehicle.id"),
    ],
)
def test_what_no_broker_takes_is_refused(prefix: str, vehicle: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Topics(prefix, vehicle)

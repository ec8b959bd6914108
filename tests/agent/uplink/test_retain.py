"""Who asks a broker to keep birth and will: a policy of AWS IoT may end the connection for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from uplink_rig import Box, embedded, until

from tests.faults.liar import CONNECT, PUBLISH, Liar, Line, Packet


@pytest.mark.parametrize(("profile", "retained"), [("mosquitto", True), ("aws_iot", False)])
def test_birth_and_will(tmp_path: Path, profile: str, retained: bool) -> None:
    seen: dict[int, Packet] = {}

    def look(one: Packet, line: Line) -> bytes:
        seen.setdefault(one.type, one)
        return one.raw

    with embedded(tmp_path) as broker:
        liar = Liar(broker.port)
        liar.up = look
        box = Box(tmp_path, liar.port, profile=profile)
        try:
            box.uplink.start()
            until(lambda: {CONNECT, PUBLISH} <= seen.keys(), "the birth is stated")
        finally:
            box.close()
            liar.close()
    birth, flags = seen[PUBLISH], seen[CONNECT].body[7]
    assert birth.topic.endswith("/up/status")
    assert bool(birth.raw[0] & 1) == retained
    assert flags & 0b100, "there is a will"
    assert bool(flags & 0b100000) == retained

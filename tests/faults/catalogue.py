"""The ids of faults that must have a test here or in the rig, and why some have none.

A fault is looked for under its id or a refinement of it: G11.1 and A4-control count for G11 and A4.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
from pathlib import Path

import pytest

SECTIONS = {"A": 13, "B": 16, "C": 8, "G": 16, "H": 7}
IDS = (
    *(f"{section}{n}" for section, last in SECTIONS.items() for n in range(1, last + 1)),
    *(f"I{n}" for n in range(5, 13)),
)

NOT_INJECTED = {
    "A6": "clips come with the cameras",
    "A13": "a hung kernel needs a watchdog chip: a bench does it, see docs/rig.md",
}

TITLES = {
    "A3": "kill -9 of agent, drivers, broker and cloud end again and again, under load",
    "B5": "no room: for a byte, filled by somebody else, for a file (inodes); alarms still flow",
    "B1.calls": "each storage system call fails, once, then for seconds: EIO, EINTR ...",
    "B6.calls": "each storage system call fails, once, then for seconds: EDQUOT, EFBIG",
    "B12": "files of the database are deleted or replaced, open or not",
    "C6": "TLS with a wrong clock: the right alarm, healed by GNSS, every check is made",
    "F7": "uploads: cut, killed, twice, flipped; the copy harmed, the far end's needs a lie",
    "G1": "the broker goes up and down once a second, or is away for longer than the quota lasts",
    "G2": "half-open lines: up, down, all but pings, with nothing to send",
    "G3": "confirmations twice, of unknown messages, in another order, a minute late, never",
    "G4": "the broker confirms and loses: at will, killed, with a full queue, on a denied topic",
    "G6": "refused: not allowed (0x87), over the quota (0x97), busy (0x89), at each SUBSCRIBE",
    "G6.1": "what the CONNACK announces is kept: QoS, retain, packet size, number in flight",
    "G7": "poison: what the broker refuses or hangs up on is split, then given up with an account",
    "G8": "certificates that are no good, of the broker or our own: nothing is sent, one alarm",
    "G10": "the name service fails, hangs, lies, or knows an IPv6 address that leads nowhere",
    "G14": "a thousand vehicles wait for a broker: spread, and a short outage is over soon",
    "G15": "somebody with our name, or thrown out: one alarm, no ping-pong",
    "G16": "the far end goes back to an older ledger: it says to the number what is gone, goes on",
    "H5": "days of records in minutes, with and without outages: nothing grows by 1 MB a day",
    "H4": "no thread can be started: another way where there is one, else said and healed",
    "I5": "a configuration that is cut, empty, huge or foreign: the last good one is used",
    "I6": "a change from afar that cuts the line, dies half-way or rots: the old one comes back",
    "I9": "hostile commands, 40 kinds, 10 MB, a million of them: no effect, telemetry flows on",
    "I10": "an order's agent is killed between any two steps: done at most once, answered always",
    "I11": "packets of 256 MB, 30,000 acks, 5,000 topics, retained: the line holds, memory stays",
}
"""What the report calls a fault whose tests are each called something else."""

_HERE = Path(__file__).parent


class _Collector:
    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.texts: dict[str, set[str]] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            for name in ("fault", "rig"):
                self.ids |= {str(marker.args[0]) for marker in item.iter_markers(name)}
            for marker in item.iter_markers("fault"):
                self.texts.setdefault(str(marker.args[0]), set()).add(str(marker.args[1]))


def collected() -> dict[str, list[str]]:
    """`tested`: the ids that tests/faults and tests/rig name. `untitled`: those of tests/faults
    that need a title: their tests have several texts. Collects in this process."""
    found = _Collector()
    os.environ["BRAIN_FAULTS_ALL"] = os.environ["BRAIN_RIG_ALL"] = "1"
    with contextlib.redirect_stdout(io.StringIO()):
        argv = ["--collect-only", "-q", "-p", "no:cacheprovider", "--import-mode=importlib"]
        pytest.main([*argv, str(_HERE), str(_HERE.parent / "rig")], [found])
    several = {one for one, texts in found.texts.items() if len(texts) > 1}
    return {
        "tested": sorted({base for one in found.ids if (base := _base(one))}),
        "untitled": sorted(several - set(TITLES)),
    }


def _base(identity: str) -> str:
    match = re.match(r"[A-Z]\d+", identity)
    return match[0] if match else ""


if __name__ == "__main__":
    print(json.dumps(collected()))  # noqa: T201

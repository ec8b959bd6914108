"""A commander on a real journal, whose effects are lines of a file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from signing import NOW_S, TRUST, VEHICLE

from agent.commands import strict_json
from agent.commands.commander import Commander, nowhere
from agent.commands.door import Door
from agent.commands.gate import Trust
from agent.commands.judge import Limits
from agent.commands.operation import Args, Finish, Operation, Outcome, exactly
from agent.commands.replies import CID, TOKEN, Signer
from agent.record import Record
from agent.store.journal import Journal

TOPIC = f"brain/v1/{VEHICLE}/dn/commands"


class Vehicle:
    """Steps by hand, without a thread. `utc_s` None: no clock. `clock` drives the quotas."""

    def __init__(
        self,
        directory: Path,
        *,
        trust: Trust = TRUST,
        failpoint: Callable[[str], None] = nowhere,
        on_flash: bool = True,
    ) -> None:
        self.directory = directory
        self.effects = directory / "effects"
        self.utc_s: float | None = NOW_S + 10
        self.seconds = 0.0
        self.said: list[Record] = []
        self.on_flash = on_flash
        self.door = Door(TOPIC, lambda: self.seconds)
        self.journal = Journal(directory)
        if self.journal.began_anew:
            self.journal.begin(NOW_S - 86_400)
        self.signer = Signer.of(VEHICLE, "", directory)
        self.commander = Commander(
            VEHICLE,
            trust,
            self.door,
            self.journal,
            self.signer,
            [
                Operation("touch", self._check, self._touch, Limits(900)),
                Operation("read", self._check, self._touch, Limits(86_400, True), repeatable=True),
                Operation("look", self._check, self._touch, Limits(86_400), repeatable=True),
            ],
            say=self._say,
            utc_ms=lambda: None if self.utc_s is None else round(self.utc_s * 1000),
            beat=lambda: None,
            failpoint=failpoint,
        )

    def _check(self, args: Args) -> None:
        exactly(args, {}, {"path": str, "n": int})
        if "/" in args.get("path", ""):
            raise ValueError("path: expected a name")

    def _touch(self, cid: str, args: Args, finish: Finish) -> None:
        with self.effects.open("ab") as file:
            file.write(f"{cid}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        finish(Outcome("done", result={"touched": cid}))

    def _say(self, record: Record) -> None:
        self.said.append(record)
        if self.on_flash:
            self.commander.told([record])

    def send(self, message: bytes, *, topic: str = TOPIC, retained: bool = False) -> None:
        """A message arrives and all that follows is done; ten seconds pass."""
        self.seconds += 10.0
        for bucket in self.commander._gate.buckets.values():
            bucket._level = 10.0
        self.commander.knock(topic, message, retained)
        self.settle()

    def settle(self) -> None:
        for _ in range(3):
            self.commander.step()

    def ran(self) -> list[str]:
        return self.effects.read_text().split() if self.effects.exists() else []

    def refused(self) -> dict[str, int]:
        return self.door.counts()

    def replies(self) -> list[dict[str, Any]]:
        return [payload(record) for record in self.said]

    def close(self) -> None:
        self.journal.close()


def payload(record: Record) -> dict[str, Any]:
    import base64

    part = str(record.values[TOKEN]).split(".")[1]
    said: dict[str, Any] = strict_json.loads(
        base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    )
    assert said["cid"] == record.values[CID]
    assert json.dumps(said)
    return said

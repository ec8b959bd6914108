"""Signed commands composed: journal, key, operations and trial, where any key is trusted."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.alarms import Alarm, of
from agent.clock import boottime_ms
from agent.commands import bundle
from agent.commands.commander import Commander
from agent.commands.door import Door
from agent.commands.gate import Trust
from agent.commands.operations import GiveLocally, Vehicle, operations
from agent.commands.outgoing import Outgoing
from agent.commands.replies import Signer
from agent.commands.token import Key
from agent.commands.trial import ConfigTrial, Reload
from agent.config import Config, SecretUnavailable, reveal
from agent.config_command_keys import public_bytes
from agent.protocol import Downward
from agent.record import Record
from agent.spool import Spool
from agent.store import journal_file
from agent.store.journal import Journal, JournalRefuses
from agent.uplink.topics import Topics

log = logging.getLogger("brain.commands")

ARCHIVES = "bundles"
"""Folder of the support archives, in the state directory."""


@dataclass(frozen=True, slots=True)
class Remote:
    """Where changes that come as commands are written, and what judges them before.

    `judge(text)`: what would be wrong if `file` had that text.
    """

    file: Path
    judge: Callable[[Path, str], Sequence[str]]


class Commanding:
    """Off until a configuration trusts a key; its parts live until the end then."""

    def __init__(
        self,
        directory: Path,
        remote: Remote,
        *,
        spool: Spool,
        status: Callable[[], Mapping[str, Any]],
        parts: Callable[[], Mapping[str, object]],
        give: GiveLocally,
        send: Callable[[str, Downward], bool],
        sources: Callable[[], Iterable[str]],
        pid: Callable[[str], int | None],
        say: Callable[[Record], None],
        utc_ms: Callable[[], int | None],
        beat: Callable[[], Callable[[], None]],
        reload: Reload,
    ) -> None:
        """`beat` enters the thread into the supervision; `spool`: where files wait to be
        uploaded; for the rest see agent.commands."""
        spoken = bundle.RecentLog()
        logging.getLogger().addHandler(spoken)
        self._directory = directory
        self._remote = remote
        self._outgoing = Outgoing(spool, say)
        archives = directory / ARCHIVES
        self._vehicle = Vehicle(
            status, parts, archives, self._outgoing, spoken, give, send, sources, pid
        )
        self._say = say
        self._utc_ms = utc_ms
        self._beat = beat
        self._reload = reload
        self._commander: Commander | None = None
        self._trial: ConfigTrial | None = None
        self.problem: str | None = None

    def apply(self, config: Config) -> None:
        """Trust the keys of a configuration from now on; start what that takes."""
        try:
            trust = trusted(config)
            if self._commander is not None:
                self._commander.trust_now(trust, _topic(config))
            elif trust.keys or (self._directory / journal_file.FILE).exists():
                self._build(config, trust)
        except (ValueError, OSError, SecretUnavailable, JournalRefuses) as error:
            # Nobody may command what cannot remember or answer; it records all the same.
            self.problem = f"commands are off: {error}"
            log.error("%s", self.problem, extra=of(Alarm.COMMAND_REFUSED))
        else:
            self.problem = None

    def _build(self, config: Config, trust: Trust) -> None:
        name = config.vehicle.id
        pem = reveal(config.commands.reply_key, os.environ)
        signer = Signer.of(name, pem, self._directory)
        books = Journal(self._directory)
        trial = ConfigTrial(
            books,
            self._remote.file,
            self._remote.judge,
            self._reload,
            # The two know each other: the commander comes second.
            finish=lambda cid, outcome: commander.finish(cid, outcome),  # noqa: PLW0108
            interim=lambda cid, outcome: commander.interim(cid, outcome),  # noqa: PLW0108
        )
        commander = Commander(
            name,
            trust,
            Door(_topic(config)),
            books,
            signer,
            [*operations(self._vehicle), trial.operation()],
            say=self._say,
            utc_ms=self._utc_ms,
            beat=self._beat(),
            tick=trial.tick,
        )
        trial.resume()
        self._commander, self._trial = commander, trial
        commander.start()

    def retry(self, config: Config) -> bool:
        """Try again what failed before; whether there is somebody to listen now."""
        if self.problem is None:
            return False
        self.apply(config)
        return self.problem is None and self.ear is not None

    @property
    def ear(self) -> Callable[[str, bytes, bool], None] | None:
        """Who hears commands, None where nobody may give any."""
        commander = self._commander
        return commander.knock if commander is not None and commander.trust.keys else None

    def written(self, records: Sequence[Record]) -> None:
        """These are on flash. From the pipeline's thread."""
        if self._commander is not None:
            self._outgoing.written(records)
            self._commander.told(records)

    def acked(self) -> None:
        """The cloud application acknowledged something. From the pump's thread."""
        if self._trial is not None:
            self._trial.acked()

    def answers(self) -> dict[str, Callable[[Mapping[str, object]], object]]:
        """The verbs of control.sock."""
        return {"commands": lambda request: self.status(), "bundle": lambda request: self.bundle()}

    def status(self) -> dict[str, object]:
        """For `brain commands`."""
        if self._commander is None:
            return {"state": "off", "problem": self.problem}
        state, problem = "on" if self._commander.trust.keys else "off", self.problem
        uplink = self._vehicle.status()["uplink"]
        deaf_to = [topic for topic in uplink["deaf_to"] if topic.endswith("/commands")]
        if state == "on" and deaf_to:
            state = "not heard"
            problem = f"the broker does not allow the subscription to {deaf_to[0]}"
        return {"state": state, "problem": problem, **self._commander.status()}

    def bundle(self) -> dict[str, object]:
        """Write a support archive for somebody at this computer. Raises OSError."""
        of = self._vehicle
        path = bundle.write(of.archives, f"bundle-{boottime_ms()}", of.parts(), of.log)
        return {"path": str(path), "size": path.stat().st_size}

    def stop(self) -> None:
        """End the threads; what is under way is answered in the next life."""
        self._outgoing.stop()
        if self._commander is not None:
            self._commander.stop()


def _topic(config: Config) -> str:
    return Topics(config.uplink.prefix, config.vehicle.id).commands


def trusted(config: Config) -> Trust:
    """Keys and roles of a configuration. Raises ValueError, SecretUnavailable."""
    section = config.commands
    keys = {
        kid: Key(public_bytes(key), key.issuer, key.role, key.state == "revoked")
        for kid, key in section.keys.items()
    }
    if all(key.revoked for key in keys.values()):
        keys = {}
    return Trust(keys, {role: frozenset(names) for role, names in section.roles.items()})

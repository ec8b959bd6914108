"""A change on trial: kept after an ack, taken back without one, whatever ends the process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.commands import settable, trial
from agent.commands.operation import Outcome
from agent.commands.trial import ConfigTrial
from agent.config_models import Config
from agent.reload import FIXED
from agent.store.journal import Entry, Journal

CID = "0" * 26


class Killed(BaseException):
    """The process is gone."""


class Life:
    """One life of the agent around a trial; the directory stays."""

    def __init__(self, directory: Path, die: str = "") -> None:
        self.directory = directory
        self.file = directory / "conf.d" / settable.FILE
        self.now = 0.0
        self.problems: Sequence[str] = ()
        self.refused: Sequence[str] = ()
        self.waiting: Sequence[str] = ()
        self.reloads: list[str] = []
        self.outcomes: list[Outcome] = []
        self.interim: list[Outcome] = []
        self.deaf = False
        self.journal = Journal(directory)

        def failpoint(name: str) -> None:
            if name == die:
                raise Killed

        self.trial = ConfigTrial(
            self.journal,
            self.file,
            lambda file, text: self.problems,
            self._reload,
            finish=self._finish,
            interim=lambda cid, outcome: self.interim.append(outcome),
            clock=lambda: self.now,
            failpoint=failpoint,
        )
        self.trial.resume()

    def _reload(self, answer: Callable[[Sequence[str], Sequence[str]], None]) -> None:
        self.reloads.append(self.text())
        if not self.deaf:
            answer(self.refused, self.waiting)

    def _finish(self, cid: str, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.journal.finish(cid, outcome.state, outcome.code, outcome.text, dict(outcome.result))

    def set(self, **values: Any) -> None:
        changes = {key.replace("__", "."): value for key, value in values.items()}
        settable.check({"set": changes})
        if self.journal.entry(CID) is None:
            entry = Entry(CID, "ops", 1, "k", "config.set", {"set": changes}, "test")
            self.journal.intend(entry, 0)
        self.trial.run(CID, {"set": changes}, lambda outcome: self._finish(CID, outcome))

    def passes(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.now += 1.0
            self.trial.tick()

    def text(self) -> str:
        return self.file.read_text() if self.file.exists() else ""

    @property
    def codes(self) -> list[str]:
        return [outcome.code for outcome in self.outcomes]

    def end(self) -> None:
        self.journal.close()


def test_kept_after_an_ack_that_came_after_it(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.set(store__commit_interval_s=2.0)
    life.trial.acked()  # of what was sent before the reload
    life.passes(2)
    assert life.codes == [] and [o.state for o in life.interim] == ["trial"]
    assert "commit_interval_s = 2.0" in life.text()
    life.trial.acked()
    life.passes(1)
    assert life.codes == ["confirmed"]
    life.passes(700)
    assert life.codes == ["confirmed"] and "2.0" in life.text()
    assert not (life.file.parent / trial.BACKUP).exists()


@pytest.mark.parametrize("before", [None, "[store]\ncommit_interval_s = 5.0\n"])
def test_taken_back_after_ten_minutes(tmp_path: Path, before: str | None) -> None:
    if before is not None:
        (tmp_path / "conf.d").mkdir()
        (tmp_path / "conf.d" / settable.FILE).write_text(before)
    life = Life(tmp_path)
    life.set(uplink__enabled=False)
    assert "enabled = false" in life.text()
    life.passes(599)
    assert life.codes == []
    life.passes(2)
    assert life.codes == ["rolled_back"]
    assert life.text() == (before or "")
    assert life.file.exists() == (before is not None)
    assert len(life.reloads) == 2


def test_ten_minutes_are_counted_over_kills_and_reboots(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.set(uplink__enabled=False)
    total = 0
    while True:
        life.passes(100)
        total += 100
        assert total <= 600
        if life.codes:
            break
        life.end()
        life = Life(tmp_path)
    assert total >= 300, "each start costs half a minute"
    assert life.codes == ["rolled_back"] and life.text() == ""


def test_a_crash_loop_ends_by_itself(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.set(uplink__enabled=False)
    for _ in range(25):
        life.end()
        life = Life(tmp_path)
        life.passes(1)
        if life.codes:
            break
    assert life.codes == ["rolled_back"] and life.text() == ""


def test_so_does_one_that_is_over_before_anything_is_done(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.set(uplink__enabled=False)
    for _ in range(25):
        life.end()
        life = Life(tmp_path)
        if life.codes:
            break
    assert life.codes == ["rolled_back"] and life.text() == ""
    assert life.reloads == [""], "this life has read the other one"


@pytest.mark.parametrize("point", ["trial", "written"])
def test_killed_while_it_is_applied(tmp_path: Path, point: str) -> None:
    life = Life(tmp_path, die=point)
    with pytest.raises(Killed):
        life.set(store__commit_interval_s=2.0)
    life.end()
    life = Life(tmp_path)
    assert "2.0" in life.text()
    life.passes(1)
    life.trial.acked()
    life.passes(1)
    assert life.codes == ["confirmed"]


def test_killed_after_it_was_taken_back_it_stays_so(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.set(uplink__enabled=False)
    life.trial._finish = lambda cid, outcome: None  # killed before the journal has it
    life.passes(601)
    life.end()
    assert life.text() == ""
    life = Life(tmp_path)
    life.passes(1)
    assert life.codes == ["rolled_back"] and life.text() == ""


def test_a_start_that_refuses_it_puts_the_old_text_back(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.set(uplink__enabled=False)
    life.end()
    assert trial.put_back(life.file)
    life = Life(tmp_path)
    assert life.codes == ["rolled_back"] and life.text() == ""
    life.passes(1)
    assert not trial.put_back(life.file), "once"


def test_nothing_is_put_back_where_nothing_is_on_trial(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.set(store__commit_interval_s=2.0)
    life.passes(1)
    life.trial.acked()
    life.passes(2)
    assert not trial.put_back(life.file)
    assert "2.0" in life.text()


def test_refused_by_check_nothing_is_written(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.problems = ["store.commit_interval_s: expected a number"]
    life.set(store__commit_interval_s=2.0)
    assert life.codes == ["invalid"] and not life.file.exists() and life.reloads == []


def test_refused_by_the_coordinator_it_is_taken_back_at_once(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.refused = ["no"]
    life.set(store__commit_interval_s=2.0)
    life.passes(1)
    assert life.codes == ["refused"] and not life.file.exists()


def test_what_waits_for_a_restart_is_not_confirmed_but_taken_back(tmp_path: Path) -> None:
    """Acks go on coming, and prove nothing of what is not in force."""
    life = Life(tmp_path)
    life.waiting = ["arbitration.speed.order", "vehicle.id"]
    life.set(**{"arbitration.speed.order": ["gnss"], "budget.monthly_mb": 5})
    life.trial.acked()
    life.passes(1)
    life.trial.acked()
    life.passes(700)
    assert life.codes == ["needs_restart"] and life.interim == []
    assert "arbitration.speed.order" in life.outcomes[0].text
    assert "vehicle.id" not in life.outcomes[0].text
    assert not life.file.exists() and len(life.reloads) == 2


def test_what_waits_for_a_restart_since_somebody_else_changed_it_is_not_in_the_way(
    tmp_path: Path,
) -> None:
    life = Life(tmp_path)
    life.waiting = ["store.files_mb", "budget.monthly_mb_more"]
    life.set(budget__monthly_mb=5)
    life.passes(1)
    life.trial.acked()
    life.passes(1)
    assert life.codes == ["confirmed"]


def test_the_reply_names_the_drivers_that_read_it_at_their_start(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.set(**{"drivers.gnss.baud": 9600, "drivers.gnss.protocol": "nmea", "uplink.window": 4})
    life.passes(1)
    life.trial.acked()
    life.passes(1)
    assert life.outcomes[0].result == {"changed": True, "restart": ["gnss"]}


def test_the_same_again_is_nothing(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.set(store__commit_interval_s=2.0)
    life.passes(1)
    life.trial.acked()
    life.passes(1)
    stamp = life.file.stat()
    life.set(store__commit_interval_s=2.0)
    assert life.codes == ["confirmed", "unchanged"]
    assert life.file.stat().st_ino == stamp.st_ino and len(life.reloads) == 1


def test_somebody_who_edits_the_file_meanwhile_wins(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.set(uplink__enabled=False)
    life.end()
    life.file.write_text("[uplink]\nwindow = 4\n")
    life = Life(tmp_path)
    assert life.codes == ["overtaken"] and "window" in life.text()


def test_where_the_folder_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "conf.d").write_text("a file")
    life = Life(tmp_path)
    with pytest.raises(OSError):
        life.set(store__commit_interval_s=2.0)


@pytest.mark.parametrize(
    "key",
    [
        *("uplink.broker", "uplink.port", "uplink.tls", "uplink.ca_file", "uplink.cert_file"),
        *("uplink.key_file", "uplink.username", "uplink.password", "uplink.prefix"),
        *("uplink.profile", "vehicle.id", "vehicle.overlay", "agent.run_dir", "agent.state_dir"),
        *("commands.reply_key", "commands.keys.x.key", "commands.roles.x", "commands", "uplink"),
        *("drivers.gnss.type", "drivers", "drivers.gnss", "schema", "store", "arbitration.speed"),
        *("store.quota_mb", "store.quota_mb.history", "store.files_mb", "store.thin_history"),
        *("store.quota_hours.alarm", "store.quota_records.bulk", "store.commit_interval_s.x"),
    ],
)
def test_not_settable(key: str) -> None:
    with pytest.raises(ValueError, match="cannot be set from afar"):
        settable.check({"set": {key: "x"}})


def test_what_is_settable_is_tried_at_once(tmp_path: Path) -> None:
    """No key that may be set waits for a restart: the reload applies it."""
    config = Config.model_validate({"schema": 1, "vehicle": {"id": "bus-1"}})
    leaves = [*paths(config.model_dump(by_alias=True), ())]
    tried = [path for path in leaves if settable.settable(path)]
    assert len(tried) > 15
    for fixed in FIXED:
        assert not any(path[: len(fixed)] == fixed for path in tried), fixed
        assert any(path[: len(fixed)] == fixed for path in leaves), fixed


def paths(values: dict[str, Any], above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from paths(value, (*above, key))
        else:
            yield (*above, key)


@pytest.mark.parametrize(
    "value",
    ["/etc/passwd", "../x", "a\\b", "file:x", "env:HOME", "credential:x", "x\ny", "x" * 201, {}],
)
def test_values_that_are_places_or_trees(value: object) -> None:
    for given_value in (value, [value]):
        with pytest.raises(ValueError, match=r"^budget\.x: (paths|expected)"):
            settable.check({"set": {"budget.x": given_value}})


@given(
    st.dictionaries(
        st.sampled_from(["store.a", "store.b", "store.c.d", "uplink.window", "drivers.x.y"]),
        st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text("ab\" '#=", max_size=5)),
        max_size=5,
    )
)
def test_what_is_written_says_what_was_asked(changes: dict[str, Any]) -> None:
    import tomllib

    text = settable.edited("[store]\na = 7\n", changes)
    found: Any = tomllib.loads(text)
    for key, value in {"store.a": 7, **changes}.items():
        node = found
        for part in key.split("."):
            node = node.get(part, {}) if isinstance(node, dict) else {}
        assert node == ({} if value is None else value)
    assert settable.edited(text, changes) == text
    assert json.dumps(found) is not None

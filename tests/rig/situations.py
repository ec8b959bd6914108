"""Situations in which no process fails: start, reload, stop, a second agent, a refusing disk.

The second half of the table in lifecycle.py, in the same way for both supervisors.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from tests.rig.lifecycle import Supervisor, until_whole
from tests.rig.program import Ended


class Place(Supervisor, Protocol):
    """A supervisor, and what can be done around it."""

    sections: dict[str, str]

    def start(self, *names: str) -> None: ...
    def stop(self, *names: str) -> None: ...
    def reload(self, *names: str) -> None: ...
    def configure(self, **sections: str | None) -> None: ...
    def outbox_exists(self) -> bool: ...
    def outbox_held(self) -> AbstractContextManager[int]: ...
    def second(self) -> tuple[Ended, float]: ...
    def hush(self, name: str) -> None: ...
    def read_only(self, state: bool) -> None: ...
    def ignition_off(self) -> float: ...


DRIVERS = ("gnss", "fms")
# systemd looks itself whether it can hand the directory over.
UNWRITABLE = r"(state directory \S+ is not writable|Failed to set up .*Read-only file system)"


@dataclass(frozen=True)
class Situation:
    """`play` brings it about, asserts what is owed and leaves an agent that will be whole; it may
    return figures for the report."""

    id: str
    what: str
    play: Callable[[Place], dict[str, Any] | None]


def says(place: Place, since: str, pattern: str, timeout_s: float = 40.0) -> None:
    """Wait until the log holds a pattern."""
    found = lambda: re.search(pattern, place.log(since), re.S)  # noqa: E731
    place.until(found, f"the log: {pattern}", timeout_s)


def reloaded_live(place: Place) -> None:
    """What can be applied at once is; what cannot is named; no process is started anew."""
    before, since, was = place.states(), place.mark(), dict(place.sections)
    place.configure(
        vehicle='id = "bus-9999"\n',
        store="commit_interval_s = 0.5\n",
        uplink=was["uplink"] + "linger_s = 0.5\n",
    )
    place.reload("run")
    says(
        place,
        since,
        r"configuration read again: applied: store.commit_interval_s, uplink.linger_s; "
        r"needs a restart of the coordinator: vehicle.id.*uplink up",
    )
    until_whole(place)
    assert place.answer("status")["vehicle"] == "bus-4021"
    since = place.mark()
    place.configure(vehicle=was["vehicle"], store=None, uplink=was["uplink"])
    place.reload("run")
    says(place, since, r"configuration read again: applied: .*uplink up")
    until_whole(place)
    assert place.states() == before


def reload_refused(place: Place) -> None:
    """An invalid configuration changes nothing, is told with its line, and is a problem in status
    until it is put right."""
    before, since, was = place.states(), place.mark(), place.sections["uplink"]
    kept = re.sub(r"password = .*\n", "", was)
    place.configure(uplink=kept + 'brokr = "x"\npassword = "canary-in-the-config"\n')
    place.reload("run")
    says(place, since, r'configuration not taken: \S*brain.toml:\d+ +uplink.brokr .*"broker"')
    assert "canary" not in place.log(since)
    status = place.answer("status")
    assert status["health"] == "degraded"
    told = [text for text in status["problems"] if text.startswith("configuration not taken")]
    assert any("brokr" in text for text in told) and "canary" not in str(status)
    assert status["uplink"]["state"] == "up"
    place.configure(uplink=was)
    place.reload("run")
    until_whole(place)
    assert place.answer("status")["problems"] == []
    assert place.states() == before


def driver_reloaded(place: Place) -> None:
    """A changed section: the driver goes on with it inside its process. An invalid one: a problem,
    nothing else. Unchanged: nothing. Its siblings notice nothing."""
    before, since, was = place.states(), place.mark(), place.sections["drivers.gnss"]
    place.reload("gnss")
    says(place, since, "gnss: configuration read again: nothing changed")
    since = place.mark()
    place.configure(drivers__gnss=was + "baud = 9601\n")
    place.reload("gnss")
    says(place, since, r"gnss: configuration not taken: \S*brain.toml:\d+ +drivers.gnss.baud")
    place.until(
        lambda: any(
            "gnss: configuration not taken" in p for p in place.answer("status")["problems"]
        ),
        "a problem in status",
    )
    since = place.mark()
    place.hush("gnss")
    place.configure(drivers__gnss=re.sub("port = .*", 'port = "/dev/nowhere"', was))
    place.reload("gnss")
    says(place, since, "gnss: configuration read again: applied: port.*/dev/nowhere: no such port")
    place.configure(drivers__gnss=was)
    place.reload("gnss")
    until_whole(place)
    assert place.states() == before


def another_coordinator(place: Place) -> None:
    """A second one on the same state directory ends at once and names the holder."""
    before = place.states()
    ended, took_s = place.second()
    assert ended.code == 75, ended
    assert f"pid {before['run'].pid}" in ended.output, ended.output
    assert len(ended.output.strip().splitlines()) == 1, ended.output
    assert took_s < 20
    until_whole(place)
    assert place.states() == before


def outbox_held(place: Place) -> None:
    """READY not before the outbox is open: somebody else holds it, the log names who."""
    place.stop()
    since = place.mark()
    with place.outbox_held() as holder:
        place.start()
        says(place, since, rf"another `brain run` holds this outbox, pid {holder}")
        says(place, since, r"(holds this outbox.*){2}")
        assert not place.states()["run"].ready
        assert "recording for" not in place.log(since)
    until_whole(place)


def state_read_only(place: Place) -> None:
    """The coordinator comes back to a read-only state directory: one line says so, the drivers keep
    what they read, all is well once it is writable."""
    before, since = place.states(), place.mark()
    place.read_only(True)
    try:
        place.signal("run", signal.SIGKILL)
        says(place, since, f"{UNWRITABLE}.*{UNWRITABLE}")
        assert not place.states()["run"].ready
        assert "Traceback" not in place.log(since)
    finally:
        place.read_only(False)
    until_whole(place)
    after = place.states()
    assert {name: after[name] for name in DRIVERS} == {name: before[name] for name in DRIVERS}
    for name, of in place.answer("status")["drivers"].items():
        assert of["counters"]["lost_samples"] == 0, name


def ignition_off(place: Place) -> dict[str, Any]:
    """SIGTERM, 2 s to live, SIGKILL: what was accepted is committed; the outbox was closed."""
    took_s = place.ignition_off()
    since = place.mark()
    place.start()
    until_whole(place)
    # A system call is dear in the guest: there the kill may come; the outbox is whole even so.
    assert took_s < 2 or place.kind == "systemd", took_s
    says(place, since, r"outbox \S+ \(clean\)" if took_s < 2 else r"outbox \S+ \(\w+\)")
    return {"stop_s": round(took_s, 2)}


def invalid_at_the_start(place: Place) -> None:
    """A driver with an invalid section is not started again; with a valid one it is, by a reload
    under `brain up`, by a start under systemd. Its siblings run."""
    was = place.sections["drivers.gnss"]
    place.stop("gnss")
    since = place.mark()
    place.configure(drivers__gnss=was + "baud = 9601\n")
    place.start("gnss")
    says(place, since, r"brain.toml:\d+ +drivers.gnss.baud")
    says(place, since, "status=2/INVALIDARGUMENT|gnss: refused its configuration")
    place.until(lambda: place.states()["fms"].ready and place.states()["run"].ready, "siblings run")
    settled = time.monotonic() + 3
    place.until(lambda: time.monotonic() > settled, "3 s pass")
    assert place.states()["gnss"].pid is None
    place.configure(drivers__gnss=was)
    if place.kind == "systemd":
        place.start("gnss")
    else:
        place.reload()
    until_whole(place)


SITUATIONS = [
    Situation("S3", "reload: applied live, or named as waiting for a restart", reloaded_live),
    Situation(
        "S4", "reload of an invalid configuration changes nothing and is told", reload_refused
    ),
    Situation("S5", "reload of a driver's section inside its process", driver_reloaded),
    Situation(
        "A11", "a second coordinator ends at once, the first is untouched", another_coordinator
    ),
    Situation("S6", "not READY before the outbox is open", outbox_held),
    Situation("B13", "a read-only state directory: told, survived, healed", state_read_only),
    Situation("A8", "ignition off: 2 s to live", ignition_off),
    Situation(
        "S7", "an invalid section of a driver: exit 2, not started again", invalid_at_the_start
    ),
]

"""Whatever a driver does, it is run again, and the log says it once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.context import HostContext
from agent.driver_loop import Backoff, DriverLoop
from agent.ring import Ring
from agent.sdk import Context, DeviceUnavailable, Driver, DriverConfig

ROUNDS = 4


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Acting(Driver[DriverConfig]):
    """Does `act` in each run; in a last one beyond ROUNDS it is asked to stop."""

    config_model = DriverConfig
    groups = ()

    def __init__(self, act: Callable[[], None], stop: threading.Event) -> None:
        super().__init__(DriverConfig())
        self.act = act
        self.stop = stop
        self.rounds = 0

    def run(self, ctx: Context) -> None:
        self.rounds += 1
        if self.rounds > ROUNDS:
            self.stop.set()
        self.act()


def raising(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def run(act: Callable[[], None], clock: Clock | None = None) -> tuple[DriverLoop, list[float]]:
    """All rounds with pauses of nothing; the loop and the ceilings of its pauses."""
    stop, ended = threading.Event(), threading.Event()
    ceilings: list[float] = []

    def jitter(_: float, ceiling: float) -> float:
        ceilings.append(ceiling)
        return 0.0

    driver = Acting(act, stop)
    ctx = HostContext((), Ring(1, lambda: None), Path("/x"), stop)
    loop = DriverLoop(
        "gnss", driver, ctx, stop, ended.set, backoff=Backoff(jitter), clock=clock or Clock()
    )
    assert loop.device == "starting"
    loop.start()
    assert ended.wait(5)
    return loop, ceilings


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RuntimeError("no\nluck"), "RuntimeError: no luck"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt: no text"),
        (Unprintable(), "Unprintable: no text"),
        (MemoryError(), "MemoryError: no text"),
    ],
)
def test_an_exception_costs_one_line_with_its_place(
    error: BaseException, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        loop, ceilings = run(raising(error))
    assert loop.failures == ROUNDS
    assert ceilings == [1, 2, 4, 8]
    assert len(caplog.records) == 1
    assert caplog.records[0].levelno == logging.ERROR
    assert caplog.records[0].exc_info is None
    assert caplog.records[0].getMessage().startswith("gnss: test_driver_loop.py:")
    assert text in caplog.text
    assert text in loop.device


def test_the_traceback_is_there_for_those_who_ask(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        run(raising(RuntimeError("x")))
    assert caplog.records[0].levelno == logging.DEBUG
    assert caplog.records[0].exc_info


def test_an_absent_device_is_a_quiet_retry(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        loop, ceilings = run(raising(DeviceUnavailable("GNSS port /dev/gnss: not there")))
    assert (loop.unavailable, loop.failures) == (ROUNDS, 0)
    assert ceilings == [1, 2, 4, 8]
    assert [r.levelno for r in caplog.records] == [logging.WARNING]
    assert loop.device == "GNSS port /dev/gnss: not there"


def test_a_run_that_returns_is_a_failure() -> None:
    loop, _ = run(lambda: None)
    assert loop.failures == ROUNDS
    assert "run returned while it should run" in loop.device


def test_leaving_when_asked_is_no_failure() -> None:
    stop, ended = threading.Event(), threading.Event()
    driver = Acting(stop.set, stop)
    ctx = HostContext((), Ring(1, lambda: None), Path("/x"), stop)
    loop = DriverLoop("gnss", driver, ctx, stop, ended.set)
    loop.start()
    assert ended.wait(5)
    assert (loop.failures, loop.unavailable, loop.device) == (0, 0, "starting")


def test_a_minute_of_health_makes_the_pauses_short_again() -> None:
    clock = Clock()

    def act() -> None:
        clock.now += 60
        raise RuntimeError

    _, ceilings = run(act, clock)
    assert ceilings == [1, 1, 1, 1]


@given(st.integers(1, 40))
def test_pauses_stay_within_half_a_second_and_a_minute(failures: int) -> None:
    backoff = Backoff()
    assert all(0.5 <= backoff.next_s() <= 60 for _ in range(failures))


@pytest.mark.parametrize("named", [True, False])
def test_a_plug_that_is_put_in_ends_the_pause(tmp_path: Path, named: bool) -> None:
    port = tmp_path / "gnss"
    stop, ended, tried = threading.Event(), threading.Event(), threading.Event()
    attempts: list[bool] = []

    def act() -> None:
        attempts.append(port.exists())
        tried.set()
        if attempts[-1]:
            stop.set()
        raise DeviceUnavailable("not there", path=str(port) if named else None)

    ctx = HostContext((), Ring(1, lambda: None), Path("/x"), stop)
    backoff = Backoff(lambda low, high: 30.0)
    loop = DriverLoop("gnss", Acting(act, stop), ctx, stop, ended.set, backoff=backoff)
    loop.start()
    assert tried.wait(5)
    port.touch()
    assert ended.wait(5) == named
    stop.set()
    assert ended.wait(5)
    assert attempts == ([False, True] if named else [False])


@pytest.mark.parametrize("named", [True, False])
def test_a_port_that_cannot_be_opened_is_tried_every_second(named: bool) -> None:
    stop, ended, twice = threading.Event(), threading.Event(), threading.Event()
    attempts: list[None] = []

    def act() -> None:
        attempts.append(None)
        if len(attempts) == 2:
            twice.set()
        raise DeviceUnavailable("nothing behind it", path="/dev/null" if named else None)

    ctx = HostContext((), Ring(1, lambda: None), Path("/x"), stop)
    backoff = Backoff(lambda low, high: 30.0)
    loop = DriverLoop("gnss", Acting(act, stop), ctx, stop, ended.set, backoff=backoff)
    loop.start()
    assert twice.wait(6) == named
    stop.set()
    assert ended.wait(5)

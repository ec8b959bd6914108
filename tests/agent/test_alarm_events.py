"""Alarms as events: which lines of the log are one, how often, and what waits while nobody can."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from agent.alarm_events import KIND, MAX_TEXT, QUIET_S, TEXT, AlarmEvents
from agent.alarms import Alarm, of
from agent.health import SOURCE
from agent.record import CLASS_OF, Record, StorageClass

log = logging.getLogger("brain.test")


class Bench:
    """The handler on the real logger; `at` is its clock in seconds."""

    def __init__(self) -> None:
        self.at = 0.0
        self.ready = True
        self.told: list[Record] = []
        self.events = AlarmEvents(lambda: self.at)
        self.events.attach()

    def listen(self) -> None:
        self.events.listen(self.told.append, lambda: self.ready)

    def texts(self) -> list[str]:
        return [str(record.values[TEXT]) for record in self.told]


def line(text: str, argument: object) -> logging.LogRecord:
    """An alarm that only the handler under test gets to see."""
    about = of(Alarm.FAILED)
    return log.makeRecord("brain", logging.ERROR, "", 1, text, (argument,), None, extra=about)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.events.detach()


def test_an_alarm_is_an_event_of_the_agent_in_class_alarm(bench: Bench) -> None:
    bench.listen()
    log.error("the outbox is %s", "damaged", extra=of(Alarm.OUTBOX_DAMAGED))
    (record,) = bench.told
    assert record.source == SOURCE
    assert CLASS_OF[record.kind] is StorageClass.ALARM
    assert record.values == {KIND: "outbox_damaged", TEXT: "the outbox is damaged"}


def test_what_calls_nobody_is_no_event(bench: Bench) -> None:
    bench.listen()
    log.warning("sending less", extra=of(Alarm.BUDGET))
    log.error("an error that is no alarm")
    assert bench.told == []


def test_a_flood_of_one_kind_is_one_event_and_a_number(bench: Bench) -> None:
    bench.listen()
    for n in range(10_000):
        log.error("refused %d", n, extra=of(Alarm.UPLINK_DENIED))
    log.error("another", extra=of(Alarm.UPLINK_TAKEN_OVER))
    assert bench.texts() == ["refused 0", "another"]
    bench.at += QUIET_S
    log.error("refused again", extra=of(Alarm.UPLINK_DENIED))
    assert bench.texts()[2:] == ["refused again (and 9999 more since the last)"]


def test_while_nothing_can_be_committed_one_of_a_kind_waits(bench: Bench) -> None:
    bench.listen()
    bench.ready = False
    for n in range(50):
        bench.at += QUIET_S
        log.error("full %d", n, extra=of(Alarm.OUTBOX_REFUSES))
    bench.events.flush()
    assert bench.told == []
    bench.ready = True
    bench.events.flush()
    bench.events.flush()
    assert bench.texts() == ["full 0"], "the first, once"


def test_what_was_said_before_anybody_listened_is_not_lost(bench: Bench) -> None:
    log.error("taken back", extra=of(Alarm.CONFIG_ROLLED_BACK))
    bench.listen()
    bench.events.flush()
    assert bench.texts() == ["taken back"]


@pytest.mark.parametrize(
    "text",
    ["x" * 5_000, "a\nb\x00\x1b[31m", "bad \udcff path"],
    ids=["long", "control", "no Unicode"],
)
def test_a_text_is_short_and_can_be_sent(bench: Bench, text: str) -> None:
    bench.listen()
    bench.events.handle(line("%s", text))
    (said,) = bench.texts()
    assert len(said) <= MAX_TEXT and said.isprintable()
    said.encode()


def test_a_line_that_cannot_be_formatted_raises_nothing(bench: Bench) -> None:
    bench.listen()
    bench.events.handle(line("%d of %d", 1))
    assert bench.texts() == ["%d of %d"]


def test_any_thread_may_call(bench: Bench) -> None:
    bench.listen()
    kinds = [Alarm.FAILED, Alarm.STALLED, Alarm.UPLINK_CLOCK, Alarm.UPLINK_DENIED]
    threads = [
        threading.Thread(target=lambda k=kind: [log.error("x", extra=of(k)) for _ in range(200)])
        for kind in kinds
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(str(r.values[KIND]) for r in bench.told) == sorted(k.name.lower() for k in kinds)

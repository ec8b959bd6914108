"""The pump between a real outbox and real brokers: what goes out, and what an ack achieves."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from uplink_rig import (
    Box,
    Broker,
    Message,
    alarm,
    embedded,
    mosquitto,
    needs_mosquitto,
    running,
    sample,
    samples,
    until,
)

from agent.store.reader import OutboxReader
from agent.store.rows import Range
from agent.uplink.session import Session

pytestmark = [pytest.mark.mosquitto, needs_mosquitto]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with mosquitto(tmp_path) as found:
        yield found


def never(message: Message) -> bool:
    return False


def noise(nbytes: int, seed: int = 1) -> str:
    """Text that no compression makes much shorter."""
    return random.Random(seed).randbytes(nbytes // 2).hex()


def rows(n: int, records: int = 1) -> Callable[[Box], None]:
    def fill(box: Box) -> None:
        for number in range(n):
            box.commit(*samples(number * records, records))

    return fill


@pytest.mark.parametrize("form", ["protobuf", "json"])
def test_all_arrives_and_is_deleted(tmp_path: Path, broker: Broker, form: str) -> None:
    with running(tmp_path, broker, format=form) as (box, far):
        sent = [*samples(0, 40), alarm(1), *samples(40, 40)]
        box.commit(*sent[:41])
        box.commit(*sent[41:])
        box.until_empty()
        in_order = [sent[40], *sent[:40], *sent[41:]]
        assert far.records == dict(enumerate(in_order, 1))
        assert {raw[:1] for raw in far.raw} == {b"\x01" if form == "protobuf" else b"{"}
        topics = {message.topic.rpartition("/")[2] for message in far.messages}
        assert topics == {"events", "telemetry"}
        assert box.uplink.status()["duplicates_sent"] == 0
        assert box.dropped == 0


@pytest.mark.parametrize("version", ["v5", "v4"])
def test_the_embedded_broker_and_one_that_speaks_3_1_1_only(tmp_path: Path, version: str) -> None:
    pytest.importorskip("iotcore")
    spoken = MQTTProtocolVersion.MQTTv5 if version == "v5" else MQTTProtocolVersion.MQTTv311
    with (
        embedded(tmp_path, version) as broker,
        running(tmp_path, broker, version=spoken) as (box, far),
    ):
        box.commit(*samples(0, 50))
        box.until_empty()
        assert sorted(far.seqs) == list(range(1, 51))


def test_no_more_than_the_window_is_in_flight_over_an_outage(
    tmp_path: Path, broker: Broker
) -> None:
    with running(
        tmp_path, broker, answers=never, before=rows(60, 50), window=4, max_payload_kib=1
    ) as (box, far):
        box.until(lambda: len(far.messages) == 3, "three of four places are history's")
        broker.kill()
        box.until(lambda: box.uplink.state() == "down", "the outage is noticed")
        box.until(lambda: box.uplink.status()["error"], "the outage has a reason")
        beats = box.looks
        box.commit(*samples(9_000, 5))
        broker.start()
        box.until(lambda: len(far.messages) >= 6, "it is sent again", 15)
        assert box.looks - beats < 60, "an outage is no reason to spin"
        assert len(far.messages) == 6
        far.ack_all()
        box.until_empty(20)
        assert box.max_in_flight <= 4
        assert set(far.seqs) == set(range(1, 3006))


def test_a_lost_ack_is_no_loss(tmp_path: Path, broker: Broker) -> None:
    answered: list[Message] = []

    def second_time(message: Message) -> bool:
        answered.append(message)
        return len(answered) > 1

    with running(tmp_path, broker, answers=second_time, ack_timeout_s=0.5) as (box, far):
        box.commit(*samples(0, 10))
        box.until_empty()
        assert [message.seqs for message in far.messages] == [list(range(1, 11))] * 2
        assert box.uplink.status()["duplicates_sent"] == 10
        assert box.uplink.status()["resent_batches"] == 1


NO_ACKS = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"epoch":' + b"[" * 100_000,
    b'{"unknown":' + b"[" * 100_000,
    b'{"epoch":"%s","ranges":[[1,1e999]]}',
    b'{"epoch":"%s","ranges":[[1.0,2.5]]}',
    b'{"epoch":"%s","ranges":[["1","10"]]}',
    b'{"epoch":"%s","ranges":[[true,true]]}',
    b'{"epoch":"%s","ranges":[[1]]}',
    b'{"epoch":"%s","ranges":[1,10]}',
    b'{"epoch":"%s","ranges":{"1":10}}',
    b'{"epoch":"%s","ranges":null}',
    b'{"epoch":"%s","ranges":[[10,1],[0,10],[-5,10],[1,281474976710656]]}',
    b'{"epoch":"%s","ranges":[[1,' + b"9" * 5_000 + b"]]}",
    b'{"epoch":"00000000000000000000000000000000","ranges":[[1,10]]}',
    b'{"epoch":"%s","ranges":[[11,1000000]]}',
]


def test_what_is_no_ack_of_ours_changes_nothing(tmp_path: Path, broker: Broker) -> None:
    with running(tmp_path, broker, answers=never, ack_timeout_s=30) as (box, far):
        box.commit(*samples(0, 10))
        box.until(lambda: far.messages, "the batch arrives")
        epoch = box.outbox.epoch.encode()
        for payload in NO_ACKS:
            far.say(payload.replace(b"%s", epoch))
        far.ack(box.outbox.epoch, (5, 5))
        box.until(lambda: box.acked, "the ack behind them is heard")
        assert [span for _, span in box.acked] == [(5, 5)]
        assert box.queued == 10


def test_acks_partial_repeated_out_of_order_and_too_wide(tmp_path: Path, broker: Broker) -> None:
    with running(tmp_path, broker, answers=never, ack_timeout_s=30) as (box, far):
        box.commit(*samples(0, 10))
        box.commit(*samples(10, 10))
        box.until(lambda: len(set(far.seqs)) == 20, "both rows arrive")
        epoch = box.outbox.epoch
        far.ack(epoch, (15, 17))
        far.ack(epoch, (15, 17), (16, 18))
        far.ack(epoch, (19, 40), (11, 14))
        box.until(lambda: box.queued == 10, "the later row is complete")
        assert [span for _, span in box.acked] == [(15, 17), (18, 18), (19, 20), (11, 14)]
        far.ack(epoch, (1, 1_000))
        box.until_empty()
        assert box.acked[-1][1] == (1, 10)
        assert box.in_flight == 0


def test_batches_are_split_to_what_the_broker_takes(tmp_path: Path) -> None:
    with (
        mosquitto(tmp_path, "max_packet_size 2000") as broker,
        running(tmp_path, broker) as (box, far),
    ):
        box.commit(*(sample(number, noise(400, number)) for number in range(30)))
        box.commit(sample(30, noise(200)), sample(31, noise(9_000)), sample(32, noise(200)))
        box.commit(*samples(33, 3))
        box.until_empty()
        assert set(far.seqs) == set(range(1, 37)) - {32}
        assert max(len(raw) for raw in far.raw) < 2_000
        assert [(loss.spans, loss.reason) for loss in box.refused] == [
            ((Range(32, 32),), "refused")
        ]
        drops = [drop for message in far.messages for drop in message.payload.drops]
        assert {(drop.first, drop.last, drop.reason) for drop in drops} == {(32, 32, "refused")}
        assert box.uplink.state() == "up"
        assert box.uplink.status()["sent_batches"] == len(far.messages)


def test_a_large_row_goes_in_parts_until_the_link_has_shown_what_it_carries(
    tmp_path: Path, broker: Broker
) -> None:
    def fill(box: Box) -> None:
        box.commit(*(sample(number, noise(400, number)) for number in range(200)))

    with running(tmp_path, broker, before=fill) as (box, far):
        box.until_empty()
        sizes = [len(raw) for raw in far.raw]
        assert sizes[0] <= 8 * 1024 < max(sizes)
        assert len(far.raw) > 3
        assert far.seqs == list(range(1, 201)), "once each, and in their order"
        assert not box.refused


def test_a_topic_that_is_denied_is_paused_and_the_others_flow(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.write_text("topic deny brain/v1/bus-1/up/events\ntopic readwrite brain/#\n")
    rules.chmod(0o600)
    with (
        mosquitto(tmp_path, f"acl_file {rules}") as broker,
        running(tmp_path, broker, window=3) as (box, far),
    ):
        for number in range(5):
            box.commit(alarm(number))
        box.until(lambda: box.uplink.status()["error"], "the problem is stated")
        box.commit(*samples(0, 20))
        box.until(lambda: set(range(6, 26)) == set(far.seqs), "history flows")
        box.until(lambda: box.queued == 5, "history is acknowledged")
        assert "does not allow brain/v1/bus-1/up/events" in str(box.uplink.status()["error"])
        assert box.uplink.state() == "up"
        assert box.in_flight == 0
        assert not box.refused


def test_an_alarm_overtakes_a_backlog(tmp_path: Path, broker: Broker) -> None:
    with running(
        tmp_path, broker, answers=never, before=rows(200, 20), window=3, max_payload_kib=1
    ) as (box, far):
        box.until(lambda: len(far.messages) == 2, "history has filled its places")
        box.commit(alarm(1))
        box.until(lambda: len(far.messages) == 3, "the alarm goes out")
        assert far.messages[-1].topic.endswith("/up/events")
        far.ack_all()
        box.until_empty()


@pytest.mark.parametrize("n", [300, 1_500])
def test_the_freshest_goes_out_while_a_backlog_drains(
    tmp_path: Path, broker: Broker, n: int
) -> None:
    with running(
        tmp_path, broker, answers=never, before=rows(n, 4), window=4, max_payload_kib=1
    ) as (box, far):
        box.until(lambda: len(far.messages) == 3, "history has filled its places")
        assert n * 4 in far.messages[0].seqs, "the newest goes first"
        assert any(1 in message.seqs for message in far.messages), "the oldest goes in turn"
        box.commit(*samples(n * 4, 4))
        far.ack_all()
        box.until(lambda: n * 4 + 1 in far.seqs, "what is new arrives")
        assert len(set(far.seqs)) < n * 2, "most of the backlog is still there"
        box.until_empty(30)
        assert sorted(set(far.seqs)) == list(range(1, n * 4 + 5))
        assert box.dropped == 0


def test_a_damaged_row_is_given_up_and_the_queue_goes_on(tmp_path: Path, broker: Broker) -> None:
    def damage(box: Box) -> None:
        rows(5, 10)(box)
        db = sqlite3.connect(box.directory / "outbox.db")
        with db:
            db.execute("UPDATE history SET body = x'00112233' WHERE first = 21")
        db.close()

    with running(tmp_path, broker, before=damage) as (box, far):
        box.until_empty()
        assert [(loss.head.first, loss.spans, loss.reason) for loss in box.refused] == [
            (21, (), "damaged")
        ]
        assert sorted(far.seqs) == [*range(1, 21), *range(31, 51)]
        assert box.dropped == 10


def test_accounts_of_drops_travel_alone_where_nothing_else_waits(
    tmp_path: Path, broker: Broker
) -> None:
    def shed(box: Box) -> None:
        for number in range(40):
            box.commit(sample(number, noise(2_000, number)))

    with running(tmp_path, broker, before=shed, quota=8_000) as (box, far):
        box.until_empty()
        assert box.dropped > 30
        account = next(drop for message in far.messages for drop in message.payload.drops)
        assert (account.first, account.count, account.reason) == (1, box.dropped, "quota")
        assert not OutboxReader(box.directory).drops()


def test_a_silent_far_end_costs_no_processor_time(tmp_path: Path, broker: Broker) -> None:
    with running(
        tmp_path, broker, answers=never, before=rows(60, 50), window=3, max_payload_kib=1
    ) as (box, far):
        box.until(lambda: len(far.messages) == 2, "history has filled its places")
        seen: list[int] = []

        def looked_150_times() -> bool:
            seen.append(box.looks)
            return len(seen) > 150

        box.until(looked_150_times, "a second and a half passes")
        assert seen[-1] - seen[0] < 30


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_without_the_thread_of_the_connection_it_beats_no_more(
    tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the watchdog ends the process, and its next life is connected."""

    def defective(self: Session) -> None:
        raise RuntimeError("a defect")

    with running(tmp_path, broker) as (box, _):
        monkeypatch.setattr(Session, "open", defective)
        broker.kill()
        until(lambda: not box.uplink.alive(), "it has ended")

"""Orders of the owner, and of those who are not: at most once, never without a signature.

The agent is `brain run`; a hostile broker is anybody who may publish, or stands in between.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.faults.injection import command, failpoint, killed
from tests.faults.liar import PUBLISH, between, packet
from tests.faults.orders import TOPIC, Orders, b64, path_of
from tests.faults.test_configuration import rss_kb
from tests.faults.world import VEHICLE, World

HOSTILE = "hostile commands: bad signature, other vehicle, expired, replayed, huge: no effect"
ONCE = "a command is killed between any two steps: done at most once, answered always"
TRIAL = "a change from afar that cuts the line, or dies half-way: the old one comes back"


@pytest.fixture
def orders(world: World) -> Orders:
    return Orders(world)


def hostile(orders: Orders, seen: bytes) -> list[tuple[str, bytes]]:
    """(the word of the refusal, the message): what has no effect, ever."""
    good = orders.dump()[1]
    head, body, signature = good.split(b".")
    now_s = int(time.time())
    plain = orders.claims("dump", {"source": "raw", "seconds": 5})

    def dump(**changes: Any) -> bytes:
        return orders.dump(**changes)[1]

    def text(edit: Callable[[str], str]) -> bytes:
        return orders.signed(edit(json.dumps(plain)).encode())

    def flip(raw: bytes, at: int) -> bytes:
        changed = bytearray(base64.urlsafe_b64decode(raw + b"=="))
        changed[at] ^= 1
        return b64(bytes(changed)).encode()

    public = orders.private.public_key().public_bytes_raw()
    by_hmac = orders.signed(json.dumps(plain).encode(), alg="HS256").rpartition(b".")[0]
    mac = b64(hmac.new(public, by_hmac, hashlib.sha256).digest()).encode()
    stranger = b64(Ed25519PrivateKey.generate().sign(head + b"." + body)).encode()
    return [
        ("signature", head + b"." + body + b"." + stranger),
        ("signature", head + b"." + body + b"." + flip(signature, 0)),
        ("signature", head + b"." + body + b"." + flip(signature, 63)),
        ("signature", head + b"." + dump().split(b".")[1] + b"." + signature),
        ("signature", head + b"." + body + b"." + b64(bytes(64)).encode()),
        ("signature", head + b"." + body + b"." + b64(bytes(63)).encode()),
        ("malformed", head + b"." + body + b"."),
        ("malformed", head + b"." + body),
        ("algorithm", orders.signed(json.dumps(plain).encode(), alg="none")),
        ("algorithm", by_hmac + b"." + mac),
        ("type", orders.signed(json.dumps(plain).encode(), typ="JWT")),
        ("header", orders.signed(json.dumps(plain).encode(), jku="https://evil.example/k")),
        ("header", orders.signed(json.dumps(plain).encode(), jwk="{}")),
        ("unknown_key", orders.signed(json.dumps(plain).encode(), kid="other")),
        ("header", orders.signed(json.dumps(plain).encode(), kid="../../etc/passwd")),
        ("audience", dump(aud="bus-1")),
        ("audience", dump(aud="*")),
        ("claims", dump(aud=["bus-4021"])),
        ("claims", dump(aud=...)),
        ("issuer", dump(iss="other")),
        ("role", dump(role="nobody")),
        ("claims", dump(ctr=0)),
        ("claims", dump(ctr=1 << 60)),
        ("replayed", dump(ctr=1)),
        ("replayed", dump(iat=now_s - 9_000)),  # signed before the vehicle began to remember
        ("replayed", seen),
        ("claims", dump(exp=...)),
        ("claims", dump(v=2)),
        ("claims", dump(cid="../../x")),
        ("claims", dump(pur="x\nERROR all is lost")),
        ("claims", dump(extra=1)),
        ("claims", text(lambda t: t.replace('"seconds": 5', '"seconds": NaN'))),
        ("claims", text(lambda t: t[:-1] + ', "aud": "bus-4021"}')),
        ("claims", orders.signed(b'{"args":' + b"[" * 2_000 + b"]" * 2_000 + b"}")),
        ("claims", orders.signed(b"[]")),
        ("claims", orders.signed(b"\xff\xfe")),
        ("too_large", b"A" * 100_000),
        ("too_large", b"." * 100_000),
        ("malformed", b""),
        ("malformed", bytes(500)),
        ("malformed", good + b"=="),
        ("malformed", b'{"payload":"","signatures":[]}'),
        # Signed, for this vehicle, new: answered, and not done.
        ("expired", dump(iat=now_s, nbf=now_s, exp=now_s + 3)),  # by the time it is sent
        ("not_yet_valid", dump(nbf=now_s + 8_000, exp=now_s + 9_000)),
        ("lifetime", dump(exp=now_s + 900_000)),
        ("unknown_operation", orders.order("shell", {"line": "id"})),
        ("arguments", orders.order("dump", {"source": "../raw", "seconds": 5})),
        ("arguments", orders.order("dump", {"source": "raw", "seconds": True})),
    ]


def judged(
    world: World, orders: Orders, send: Callable[[], None], want: Counter[str], why: str
) -> None:
    """Send until the door lets it in, 2 a second: what it turns away proves nothing."""
    flood = orders.refused().get("flood", 0)
    send()

    def fact() -> bool:
        nonlocal flood
        found = Counter(orders.refused())
        turned_away = found.pop("flood", 0)
        if turned_away > flood:
            flood = turned_away
            send()
        assert found.total() < want.total() or found == want, f"expected {why}: {found - want}"
        return found == want

    world.until(fact, f"{why} is refused", 60)


@pytest.mark.fault("I9", HOSTILE, slice=True)
@pytest.mark.timeout(400)
def test_no_hostile_command_has_an_effect(world: World, orders: Orders) -> None:
    world.dial()
    world.start()
    world.feed()
    with orders.driver(), orders.broker() as send:
        world.until(world.healthy, "the line is up")
        cid, seen = orders.dump()
        send(seen)
        world.until(lambda: orders.states(cid) == ["done"], "the good one is done", 60)
        assert orders.effects() == 1
        send(seen, "brain/v1/bus-1/dn/commands")  # of another vehicle: never heard
        want: Counter[str] = Counter()
        for why, message in hostile(orders, seen):
            want[why] += 1
            judged(world, orders, lambda message=message: send(message), want, why)  # type: ignore[misc]
        assert want.total() >= 40
        send(seen, retain=True)
        # A power cut: the broker's copy of the one that was done comes again, and again.
        world.kill()
        world.start()
        world.until(lambda: orders.refused().get("retained"), "the copy on the shelf", 60)
        send(b"", retain=True)
        send(seen)
        world.until(lambda: orders.refused().get("replayed"), "the replay is refused", 60)
        world.until(lambda: len(orders.replies()) == 1 + 6, "the six are answered", 60)
        answered = {state for said in orders.replies().values() for state in [said[-1]["state"]]}
        assert answered == {"done", "refused"}
        assert orders.effects() == 1 and list(orders.files()) == [cid]
        world.until(lambda: orders.connected("raw"), "the driver is connected again", 60)
        last, message = orders.dump()
        send(message)
        world.until(lambda: orders.states(last) == ["done"], "nothing stands in its way", 90)
        assert orders.effects() == 2
        assert len(orders.replies()) == 1 + 6 + 1, "whoever is not the owner has no answer"
        world.figures["runs"] = want.total()
        assert world.settle(healed_at=time.monotonic()).dropped == 0


def publish(topic: str, payload: bytes) -> bytes:
    """A PUBLISH of QoS 0, MQTT 5, as a broker sends it."""
    name = topic.encode()
    return packet(PUBLISH << 4, len(name).to_bytes(2, "big") + name + b"\0" + payload)


@pytest.mark.fault("I9", "a million commands as fast as the line takes them: telemetry flows on")
@pytest.mark.timeout(600)
def test_a_million_commands(world: World, orders: Orders) -> None:
    """Memory stays, records are accepted and delivered meanwhile, and the owner is heard after."""
    million = 1_000_000
    with between(world) as liar:
        world.dial()
        world.start()
        world.feed()
        world.accepts(50)
        with orders.driver(), orders.broker() as send:
            world.until(world.healthy, "the line is up")
            cid, seen = orders.dump()
            send(seen)
            world.until(lambda: orders.states(cid) == ["done"], "the good one is done", 60)
            batch = b"".join(
                publish(TOPIC, message)
                for message in [seen, b"x", seen[:-4] + b"AAAA", b"x", b"", b"y", b"z", b"{}"]
            )
            line, before_kb, delivered = liar.lines[-1], rss_kb(world.pid), world.delivered()
            began, offered, over = time.monotonic(), 0, threading.Event()

            def flood() -> None:
                nonlocal offered
                while offered < million and line.open:
                    line.answer(batch * 500)
                    offered += 8 * 500
                over.set()

            threading.Thread(target=flood, daemon=True).start()
            accepted, slowest = 0, 0.0
            while not over.is_set():
                slowest = max(slowest, world.accepts(50, 60))
                accepted += 50
            took_s = time.monotonic() - began
            print(f"{offered / took_s:,.0f} commands a second, {took_s:.0f} s,")  # noqa: T201
            print(f"{world.delivered() - delivered} records delivered meanwhile")  # noqa: T201
            assert offered >= million and liar.lines[-1] is line, "the line held"
            assert rss_kb(world.pid) - before_kb < 12_000
            assert accepted >= 20 * took_s, "50 a second are stated"
            assert orders.effects() == 1
            world.until(lambda: orders.refused().get("flood", 0) > million / 2, "all came", 120)
            last, message = orders.dump()

            def heard() -> bool:
                send(message)
                return orders.states(last) == ["done"]

            world.until(heard, "the owner is heard again", 90)
            assert orders.effects() == 2
            assert world.settle(healed_at=time.monotonic()).dropped == 0


POINTS = [
    # (method, when, which call, effects, state of the answer)
    ("agent.commands.gate:Gate.admit", "after", 1, 1, "done"),  # judged, not written down
    ("agent.store.journal:Journal.intend", "after", 1, 0, "unknown"),
    ("agent.commands.operations:_Ordinary.dump", "after", 1, None, "unknown"),
    ("agent.commands.outgoing:Outgoing.send", "before", 1, 1, "unknown"),
    ("agent.spool:Spool.take", "after", 1, 1, "unknown"),  # a file without a record
    ("agent.store.journal:Journal.finish", "before", 1, 1, "unknown"),
    ("agent.store.journal:Journal.finish", "after", 1, 1, "done"),
    ("agent.commands.replies:Signer.record", "after", 1, 1, "done"),
]


@pytest.mark.parametrize(
    ("method", "when", "n", "effects", "state"),
    [
        pytest.param(*point, marks=pytest.mark.fault("I10", ONCE, slice=at == 1))
        for at, point in enumerate(POINTS)
    ],
)
def test_killed_between_two_steps(
    world: World, orders: Orders, method: str, when: str, n: int, effects: int | None, state: str
) -> None:
    """The broker gives the command again after each start, as it may."""
    world.dial()
    world.env = failpoint(method, when, n)
    world.spawn()
    world.until(lambda: (world.run_dir / "ingest.sock").exists(), "the door is open")
    world.feed()
    with orders.driver(), orders.broker() as send:
        world.until(lambda: orders.told().get("state") == "on", "commands are heard")
        world.until(world.healthy, "the line is up")
        cid, message = orders.dump()
        send(message)
        assert world.ends(60) == -signal.SIGKILL, world.log()[-3000:]
        world.env = {}
        began = time.monotonic()
        world.start()
        world.until(lambda: orders.connected("raw"), "the driver is connected again")
        for _ in range(3):
            send(message)
        world.until(lambda: orders.states(cid), "it is answered", 60)
        other, message = orders.dump()
        send(message)
        world.until(lambda: orders.states(other) == ["done"], "the next one is done", 60)
        assert set(orders.states(cid)) == {state}, "one answer, however often"
        found = orders.effects() - 1
        assert found == effects if effects is not None else found <= 1
        assert world.settle(healed_at=began).dropped == 0
        assert other in orders.files()


@pytest.mark.fault("I10", "kill -9 at each storage call of a command's journal: at most once")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("call", ["fdatasync,fsync", "pwrite64,write"])
def test_killed_at_each_call_of_the_journal(world: World, orders: Orders, call: str) -> None:
    """The whole agent; a life a call, until a command goes through without being killed."""
    world.dial()
    world.start()
    world.feed()
    names = ("commands.db", "commands.db-journal", "commands.mark", "commands.mark.new")
    files = [world.state_dir / name for name in names]
    given, log = 0, world.directory / "strace.log"
    with orders.driver(), orders.broker() as send:
        for n in range(1, 120):
            world.kill()
            world.spawn(*command(f"{call}:signal=KILL:when={n}", files=files, log=log))
            agent = world.agent
            assert agent is not None

            cid, message = orders.dump()

            def dead(agent: subprocess.Popen[bytes] = agent) -> bool:
                return agent.poll() is not None

            def ready(dead: Callable[[], bool] = dead) -> bool:
                return dead() or (world.healthy() and orders.connected("raw"))

            def over(dead: Callable[[], bool] = dead, cid: str = cid) -> bool:
                return dead() or bool(orders.states(cid))

            world.until(ready, "it takes commands, or is dead", 60)
            send(message)
            given += 1
            world.until(over, "it is answered, or the agent is dead", 60)
            if agent.poll() is None and not killed(log):
                break
            log.unlink(missing_ok=True)
        else:
            raise AssertionError("it never ended by itself")
        os.kill(world.pid, signal.SIGKILL)  # not strace, which stands before it
        world.ends()
        began = time.monotonic()
        world.start()
        found = world.settle(healed_at=began)
    assert given > 3, "nothing was injected"
    assert orders.effects() <= given
    for cid, said in orders.replies().items():
        assert len({one["state"] for one in said}) == 1, cid
    done = [cid for cid, said in orders.replies().items() if said[0]["state"] == "done"]
    assert len(done) <= orders.effects()
    world.figures["runs"] = given
    assert found.dropped == 0


@pytest.mark.fault("I10", "a support archive is asked for and the agent dies: one file, whole")
@pytest.mark.parametrize(
    ("point", "when"),
    [
        ("agent.spool:_sync", "after"),  # in the spool, without a record
        ("agent.commands.outgoing:Outgoing._take", "after"),
        ("agent.store.journal:Journal.finish", "before"),  # its record is on flash
    ],
)
def test_an_archive_survives_a_kill(world: World, orders: Orders, point: str, when: str) -> None:
    world.dial()
    world.env = failpoint(point, when, 1)
    world.spawn()
    world.until(lambda: (world.run_dir / "ingest.sock").exists(), "the door is open")
    world.feed()
    with orders.broker() as send:
        world.until(lambda: orders.told().get("state") == "on", "commands are heard")
        world.until(world.healthy, "the line is up")
        claims = orders.claims("bundle")
        send(orders.signed(json.dumps(claims).encode()))
        assert world.ends(60) == -signal.SIGKILL, world.log()[-3000:]
        world.env = {}
        began = time.monotonic()
        world.start()
        cid = str(claims["cid"])
        world.until(lambda: orders.states(cid), "it is answered", 60)
        world.until(lambda: orders.files(), "the file is there", 60)
        (said, *more) = orders.replies()[cid]
        assert said["state"] == "done" and all(s["result"] == said["result"] for s in more)
        sha256 = said["result"]["file"]["sha256"]
        assert orders.files() == {cid: sha256}
        landed = world.ledger.with_name("ledger.db.files") / VEHICLE
        assert [path.name for path in landed.iterdir()] == [sha256], "one archive, not two"
        assert world.settle(healed_at=began).dropped == 0


@pytest.mark.fault("I6", TRIAL)
@pytest.mark.timeout(600)
def test_a_change_that_cuts_the_line_is_taken_back(world: World, orders: Orders) -> None:
    """Ten minutes, of which each start costs half a one: 20 kills are enough."""
    world.dial()
    world.start()
    world.feed()
    world.accepts(30)
    with orders.broker() as send:
        world.until(world.healthy, "the line is up")
        claims = orders.claims("config.set", {"set": {"uplink.enabled": False}})
        send(orders.signed(json.dumps(claims).encode()))
        world.until(path_of(world).exists, "the change is written", 60)
        world.until(lambda: "uplink.enabled" in world.log(), "the change is applied", 60)
        lives = 0
        while path_of(world).exists():
            lives += 1
            assert lives <= 21, world.log()[-3000:]
            world.kill()
            world.start()
            world.accepts(5)
        assert lives >= 19, "it was taken back too soon"
        cid = str(claims["cid"])
        world.until(lambda: "failed" in orders.states(cid), "it is answered", 60)
        assert orders.replies()[cid][-1]["code"] == "rolled_back"
        world.figures["runs"] = lives
        assert world.settle(healed_at=time.monotonic()).dropped == 0
        assert len(world.alarms("is taken back")) == 1


CHANGE_POINTS = [
    ("agent.store.journal:Journal.begin_trial", "before", 1),
    ("agent.store.journal:Journal.begin_trial", "after", 1),
    ("agent.commands.trial:replace", "after", 1),  # the note of the old text
    ("agent.commands.trial:replace", "after", 2),  # the new text, not applied
    ("agent.app:Coordinator._reload", "after", 1),
    ("agent.store.journal:Journal.finish", "before", 1),
]


@pytest.mark.fault("I6", TRIAL)
@pytest.mark.parametrize("point", CHANGE_POINTS)
def test_a_change_dies_half_way(world: World, orders: Orders, point: tuple[str, str, int]) -> None:
    """The file is the old one or the new one; the change is confirmed, or taken back and said."""
    old = "[store]\nalarm_commit_ms = 40\n"
    path_of(world).parent.mkdir()
    path_of(world).write_text(old)
    world.dial()
    world.env = failpoint(*point)
    world.spawn()
    world.until(lambda: (world.run_dir / "ingest.sock").exists(), "the door is open")
    world.feed()
    with orders.broker() as send:
        world.until(lambda: orders.told().get("state") == "on", "commands are heard")
        world.until(world.healthy, "the line is up")
        claims = orders.claims("config.set", {"set": {"store.alarm_commit_ms": 45}})
        send(orders.signed(json.dumps(claims).encode()))
        assert world.ends(60) == -signal.SIGKILL, world.log()[-3000:]
        found = path_of(world).read_text()
        assert found == old or "alarm_commit_ms = 45" in found, "torn"
        world.env = {}
        began = time.monotonic()
        world.start()
        cid = str(claims["cid"])

        def ended() -> bool:
            return {"done", "failed"} & set(orders.states(cid)) != set()

        world.until(ended, "it is answered", 90)
        last = orders.replies()[cid][-1]
        confirmed = (last["state"], last["code"]) == ("done", "confirmed")
        assert confirmed or last["code"] == "rolled_back", last
        assert ("45" in path_of(world).read_text()) is confirmed
        note = path_of(world).parent / ".zz-remote.before"
        world.until(lambda: not note.exists(), "no note is left")
        assert world.settle(healed_at=began).dropped == 0


@pytest.mark.fault("I6", TRIAL)
@pytest.mark.parametrize("harm", [b"", b"\0\0\0", b"[store\n", b"[uplink]\nbroker = 7\n"])
def test_flash_harms_the_change(world: World, orders: Orders, harm: bytes) -> None:
    """A start with a file that cannot be read goes on without it, and says so once."""
    world.dial()
    world.start()
    world.feed()
    with orders.broker() as send:
        world.until(world.healthy, "the line is up")
        send(orders.order("config.set", {"set": {"store.alarm_commit_ms": 45}}))
        world.until(lambda: "done" in str(orders.replies()), "it is confirmed", 90)
        world.kill()
        path_of(world).write_bytes(harm)
        began = time.monotonic()
        world.start()
        assert len(world.alarms("is put aside")) == (0 if not harm else 1)
        assert world.settle(healed_at=began).dropped == 0

"""Orders of those who are not the owner: no effect, and nothing else suffers.

The agent is `brain run`; a hostile broker is anybody who may publish, or stands in between.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.faults.liar import between
from tests.faults.orders import TOPIC, Orders, b64
from tests.faults.soundness import Sizes
from tests.faults.test_configuration import rss_kb
from tests.faults.test_flood import publish
from tests.faults.world import World

HOSTILE = "hostile commands: bad signature, other vehicle, expired, replayed, huge: no effect"


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


HUGE = 10_000_000


@pytest.mark.fault("I9", "a command of 10 MB: refused by what it announces, no effect, no memory")
def test_a_huge_command(world: World, orders: Orders) -> None:
    """A broker keeps to the limit of our CONNECT; one that sends it all the same loses the line."""
    with between(world) as liar:
        world.dial()
        world.start()
        world.feed()
        world.accepts(50)
        with orders.driver(), orders.broker() as send:
            world.until(world.healthy, "the line is up")
            cid, message = orders.dump(seconds=1)
            send(message)
            world.until(lambda: orders.states(cid) == ["done"], "the good one is done", 60)
            mark, before_kb = world.mark(), Sizes.of(world.pid).peak_kb
            # Signed by the owner, for this vehicle: only its size is wrong.
            claims = orders.claims("dump", {"source": "raw", "seconds": 2}, pur="p" * HUGE)
            huge = orders.signed(json.dumps(claims).encode())
            assert len(huge) > HUGE
            liar.lines[-1].answer(publish(TOPIC, huge))
            said = f"announced a packet of {len(publish(TOPIC, huge)) - 5:,} bytes"
            world.until(lambda: said in world.log(mark), "its size is refused")
            world.accepts(50)
            last, message = orders.dump(seconds=3)

            def heard() -> bool:
                send(message)
                return bool(orders.states(last))

            world.until(heard, "the owner is heard again", 90)
            assert orders.states(last) == ["done"]
            assert orders.asked() == {1: 1, 3: 1}, "the huge one had an effect"
            grown = Sizes.of(world.pid).peak_kb - before_kb
            assert grown < 4_000, f"{grown} kB for a message that is not taken"
            assert set(orders.replies()) == {cid, last}, "nor was it answered"
            assert world.settle(healed_at=time.monotonic()).dropped == 0


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

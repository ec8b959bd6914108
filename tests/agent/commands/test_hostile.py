"""A fully trusted broker that is hostile: what it can send has no effect, and is told apart."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import shutil
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command_rig import TOPIC, Vehicle
from hypothesis import given, settings
from hypothesis import strategies as st
from signing import CLIPS, NOW_S, OLD, OPS, STRANGER, TRUST, VEHICLE, Pen, b64, cid

from agent.commands import token
from agent.commands.gate import Trust
from agent.commands.refusal import Refused


@pytest.fixture
def vehicle(tmp_path: Path) -> Iterator[Vehicle]:
    made = Vehicle(tmp_path)
    yield made
    made.close()


def header(**changes: Any) -> bytes:
    found = {"alg": "Ed25519", "typ": "brain-cmd+jws", "kid": OPS.kid, **changes}
    return json.dumps({k: v for k, v in found.items() if v is not ...}).encode()


def signed(**changes: Any) -> bytes:
    return OPS.sign(json.dumps(OPS.claims()).encode(), header(**changes))


def unsigned(alg: str) -> bytes:
    whole = signed(alg=alg).rsplit(b".", 1)[0]
    return whole + b"."


def by_hmac() -> bytes:
    """HS256 with the public key as its secret: what a naive library takes."""
    start = signed(alg="HS256").rsplit(b".", 1)[0]
    return start + b"." + b64(hmac.new(OPS.public, start, hashlib.sha256).digest()).encode()


def flipped(at: int) -> bytes:
    head, body, signature = OPS.command().split(b".")
    raw = bytearray(base64.urlsafe_b64decode(signature + b"=="))
    raw[at] ^= 1
    return b".".join((head, body, b64(bytes(raw)).encode()))


def other_body() -> bytes:
    one, two = OPS.command().split(b"."), OPS.command().split(b".")
    return b".".join((one[0], two[1], one[2]))


def claims_text(edit: Callable[[str], str]) -> bytes:
    return OPS.sign(edit(json.dumps(OPS.claims())).encode())


def non_canonical() -> bytes:
    """The last character carries two bits that no byte has: decoders forgive it."""
    head, body, signature = OPS.command().split(b".")
    table = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = table.index(signature[-1:])
    return b".".join((head, body, signature[:-1] + table[last ^ 1 : (last ^ 1) + 1]))


def nested(depth: int) -> bytes:
    return OPS.sign(b'{"args":' + b"[" * depth + b"]" * depth + b"}")


HOSTILE: dict[str, tuple[str, Callable[[], bytes]]] = {
    "signature with a flipped first bit": ("signature", lambda: flipped(0)),
    "signature with a flipped last bit": ("signature", lambda: flipped(63)),
    "signature of another command": ("signature", other_body),
    "signature of zeros": (
        "signature",
        lambda: OPS.command().rsplit(b".", 1)[0] + b"." + b64(bytes(64)).encode(),
    ),
    "signature too short": (
        "signature",
        lambda: OPS.command().rsplit(b".", 1)[0] + b"." + b64(bytes(63)).encode(),
    ),
    "no signature": ("malformed", lambda: OPS.command().rsplit(b".", 1)[0] + b"."),
    "signed by a key that is not trusted, under a trusted id": (
        "signature",
        lambda: STRANGER.sign(json.dumps(OPS.claims()).encode(), header()),
    ),
    "alg none": ("algorithm", lambda: signed(alg="none")),
    "alg none without a signature": ("algorithm", lambda: unsigned("none")),
    "alg NONE": ("algorithm", lambda: signed(alg="NONE")),
    "HS256 with the public key": ("algorithm", by_hmac),
    "alg EdDSA": ("algorithm", lambda: signed(alg="EdDSA")),
    "alg missing": ("algorithm", lambda: signed(alg=...)),
    "alg as a list": ("header", lambda: signed(alg=["Ed25519"])),
    "another typ": ("type", lambda: signed(typ="JWT")),
    "a reply as a command": ("type", lambda: signed(typ="brain-reply+jws")),
    "typ missing": ("type", lambda: signed(typ=...)),
    "kid missing": ("header", lambda: signed(kid=...)),
    "kid of 65 characters": ("header", lambda: signed(kid="k" * 65)),
    "kid that is a path": ("header", lambda: signed(kid="../../etc/passwd")),
    "unknown kid": ("unknown_key", STRANGER.command),
    "revoked kid": ("revoked_key", OLD.command),
    "jwk in the header": ("header", lambda: signed(jwk={"kty": "OKP"})),
    "jku in the header": ("header", lambda: signed(jku="https://example.org/keys")),
    "crit in the header": ("header", lambda: signed(crit="exp")),
    "b64 in the header": ("header", lambda: signed(b64="false")),
    "another vehicle": ("audience", lambda: OPS.command(aud="bus-2")),
    "every vehicle": ("audience", lambda: OPS.command(aud="*")),
    "an MQTT wildcard": ("audience", lambda: OPS.command(aud="+")),
    "a list of vehicles": ("claims", lambda: OPS.command(aud=[VEHICLE, "bus-2"])),
    "no audience": ("claims", lambda: OPS.command(aud=...)),
    "the vehicle in another case": ("audience", lambda: OPS.command(aud="BUS-1")),
    "the vehicle with a look-alike letter": ("audience", lambda: OPS.command(aud="bus-\uff11")),
    "the vehicle with an invisible letter": ("audience", lambda: OPS.command(aud="bus-1\u200b")),
    "expired": ("expired", lambda: OPS.command(iat=NOW_S - 600, nbf=NOW_S - 600, exp=NOW_S)),
    "not yet valid": ("not_yet_valid", lambda: OPS.command(nbf=NOW_S + 290)),
    "iat in the future": (
        "not_yet_valid",
        lambda: OPS.command(iat=NOW_S + 900, nbf=NOW_S + 900, exp=NOW_S + 1200),
    ),
    "valid for a year": ("lifetime", lambda: OPS.command(exp=NOW_S + 31_536_000)),
    "exp before iat": ("claims", lambda: OPS.command(exp=NOW_S - 1)),
    "exp beyond all time": ("claims", lambda: OPS.command(exp=1 << 62)),
    "negative times": ("claims", lambda: OPS.command(iat=-5, nbf=-4)),
    "signed before this vehicle remembers": (
        "replayed",
        lambda: OPS.command(iat=NOW_S - 90_000, nbf=NOW_S - 90_000),
    ),
    "counter 0": ("claims", lambda: OPS.command(ctr=0)),
    "counter negative": ("claims", lambda: OPS.command(ctr=-1)),
    "counter beyond 53 bits": ("claims", lambda: OPS.command(ctr=1 << 53)),
    "counter beyond 64 bits": ("claims", lambda: OPS.command(ctr=1 << 64)),
    "counter of 5000 digits": (
        "claims",
        lambda: claims_text(lambda t: t.replace('"ctr": ', '"ctr": ' + "9" * 4000)),
    ),
    "counter as a text": ("claims", lambda: OPS.command(ctr="7")),
    "counter as a float": ("claims", lambda: OPS.command(ctr=1e15)),
    "counter true": ("claims", lambda: OPS.command(ctr=True)),
    "NaN": ("claims", lambda: claims_text(lambda t: t.replace('"args": {}', '"args": {"n": NaN}'))),
    "1e999": ("claims", lambda: claims_text(lambda t: t.replace("{}", '{"n": 1e999}'))),
    "a key twice": ("claims", lambda: claims_text(lambda t: t[:-1] + ', "aud": "bus-1"}')),
    "a header key twice": (
        "malformed",
        lambda: OPS.sign(b"{}", b'{"alg":"none","alg":"Ed25519","typ":"x","kid":"y"}'),
    ),
    "an unknown claim": ("claims", lambda: OPS.command(extra=1)),
    "another version": ("claims", lambda: OPS.command(v=2)),
    "a cid that is none": ("claims", lambda: OPS.command(cid="../" * 8)),
    "no purpose": ("claims", lambda: OPS.command(pur="")),
    "a purpose that writes log lines": ("claims", lambda: OPS.command(pur="x\nERROR all is lost")),
    "a purpose that turns text around": ("claims", lambda: OPS.command(pur="x\u202e")),
    "a lone surrogate": ("claims", lambda: claims_text(lambda t: t.replace("a test", "\\ud800"))),
    "another issuer": ("issuer", lambda: OPS.command(iss="clips")),
    "another role": ("role", lambda: OPS.command(role="clips")),
    "a role that may not": ("role", lambda: CLIPS.command("touch")),
    "an unknown operation": ("unknown_operation", lambda: OPS.command("shell")),
    "a method name as operation": ("unknown_operation", lambda: OPS.command("__class__")),
    "a configuration key in operations": ("unknown_operation", lambda: OPS.command("crash")),
    "args as a list": ("claims", lambda: OPS.command(args=[1])),
    "args of a wrong type": ("arguments", lambda: OPS.command(args={"n": "1"})),
    "args true for a number": ("arguments", lambda: OPS.command(args={"n": True})),
    "args unknown": ("arguments", lambda: OPS.command(args={"shell": "id"})),
    "args that leave their folder": ("arguments", lambda: OPS.command(args={"path": "../../x"})),
    "args that are a tree": ("arguments", lambda: OPS.command(args={"n": {"a": {}}})),
    "nested a thousand times": ("claims", lambda: nested(1_000)),
    "nested three thousand times": ("too_large", lambda: nested(4_000)),
    "10 MB": ("too_large", lambda: b"A" * 10_000_000),
    "10 MB of dots": ("too_large", lambda: b"." * 10_000_000),
    "base64 that is not canonical": ("malformed", non_canonical),
    "base64 with padding": ("malformed", lambda: OPS.command() + b"=="),
    "base64 of the other alphabet": ("malformed", lambda: OPS.command().replace(b".", b"+.", 1)),
    "a line at the end": ("malformed", lambda: OPS.command() + b"\n"),
    "a fourth part": ("malformed", lambda: OPS.command() + b".e30"),
    "two commands": ("malformed", lambda: OPS.command() + OPS.command()),
    "JSON form of JWS": ("malformed", lambda: b'{"payload":"","signatures":[]}'),
    "nothing": ("malformed", lambda: b""),
    "zeros": ("malformed", lambda: bytes(500)),
    "a payload that is no object": ("claims", lambda: OPS.sign(b"[]")),
    "a payload that is no UTF-8": ("claims", lambda: OPS.sign(b"\xff\xfe")),
    "a payload with a byte order mark": ("claims", lambda: OPS.sign(b"\xef\xbb\xbf{}")),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_command_has_no_effect(vehicle: Vehicle, name: str) -> None:
    why, make = HOSTILE[name]
    vehicle.send(make())
    assert vehicle.ran() == []
    assert vehicle.refused() == {why: 1}
    assert vehicle.journal.intended() == []
    # And it stands in nobody's way.
    good = OPS.claims(ctr=(1 << 53) - 1)
    vehicle.send(OPS.sign(json.dumps(good).encode()))
    assert vehicle.ran() == [good["cid"]]


def test_one_that_stands_on_the_brokers_shelf_or_elsewhere(vehicle: Vehicle) -> None:
    vehicle.send(OPS.command(), retained=True)
    vehicle.send(OPS.command(), topic="brain/v1/bus-2/dn/commands")
    vehicle.send(OPS.command(), topic=TOPIC + "/commands")
    assert vehicle.ran() == []
    assert vehicle.refused() == {"retained": 1, "wrong_topic": 2}


def test_cut_at_each_byte(vehicle: Vehicle) -> None:
    whole = OPS.command()
    for length in range(len(whole)):
        vehicle.send(whole[:length])
    assert vehicle.ran() == []
    assert sum(vehicle.refused().values()) == len(whole)
    vehicle.send(whole)
    assert len(vehicle.ran()) == 1


def test_each_byte_changed(vehicle: Vehicle) -> None:
    whole = OPS.command()
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] = changed[at] ^ 1 if changed[at] ^ 1 != ord("\n") else 65
        vehicle.send(bytes(changed))
    assert vehicle.ran() == []
    assert sum(vehicle.refused().values()) == len(whole)


def test_a_replay_runs_once_whenever_it_comes(vehicle: Vehicle) -> None:
    message = OPS.command()
    for _ in range(10_000):
        vehicle.send(message)
    assert len(vehicle.ran()) == 1
    assert vehicle.refused() == {"replayed": 9_999}
    assert len(vehicle.said) == 1, "no reply, no bytes on the SIM card for a replay"


def test_a_clock_that_goes_back_opens_nothing(vehicle: Vehicle) -> None:
    message, late = OPS.command(), OPS.command(exp=NOW_S + 60)
    vehicle.send(message)
    newest = OPS.command(iat=NOW_S + 500, nbf=NOW_S + 500, exp=NOW_S + 900)
    vehicle.utc_s = NOW_S + 510
    vehicle.send(newest)
    vehicle.utc_s = NOW_S - 31_536_000
    vehicle.send(message)
    vehicle.send(late)
    # Held back until the clock is wrong: what was signed meanwhile proves that its time is over.
    vehicle.send(OPS.command(exp=NOW_S + 60))
    assert len(vehicle.ran()) == 2
    assert vehicle.refused() == {"replayed": 2, "expired": 1}


def test_without_a_clock_only_what_may(vehicle: Vehicle) -> None:
    vehicle.utc_s = None
    vehicle.send(OPS.command("touch"))
    assert vehicle.ran() == []
    vehicle.send(OPS.command("read"))
    assert len(vehicle.ran()) == 1
    assert vehicle.refused() == {"no_clock": 1}


def test_order_is_that_of_the_counters(vehicle: Vehicle) -> None:
    one, two, three = (OPS.command() for _ in range(3))
    for message in (two, one, three, two):
        vehicle.send(message)
    assert len(vehicle.ran()) == 2
    assert vehicle.refused() == {"replayed": 2}


def test_an_id_is_used_once_even_with_a_new_counter(vehicle: Vehicle) -> None:
    name = cid(1 << 40)
    vehicle.send(OPS.command(cid=name))
    vehicle.send(OPS.command(cid=name))
    vehicle.send(CLIPS.command("read", cid=name))
    assert vehicle.ran() == [name]
    assert vehicle.refused() == {"replayed": 2}


def test_issuers_count_for_themselves(vehicle: Vehicle) -> None:
    vehicle.send(CLIPS.command("read", ctr=(1 << 53) - 1))
    vehicle.send(OPS.command(ctr=5))
    assert len(vehicle.ran()) == 2


def test_after_a_restart_a_power_cut_and_with_an_old_copy(tmp_path: Path) -> None:
    vehicle = Vehicle(tmp_path / "a")
    message, later = OPS.command(), OPS.command()
    shutil.copytree(tmp_path / "a", tmp_path / "before")
    vehicle.send(message)
    # What is on flash at this moment, without a goodbye.
    shutil.copytree(tmp_path / "a", tmp_path / "cut")
    vehicle.close()
    for place in ("a", "cut"):
        again = Vehicle(tmp_path / place)
        again.send(message)
        assert len(again.ran()) == 1
        assert again.refused() == {"replayed": 1}
        again.close()
    # Somebody puts an old journal back: the counters stand beside it.
    shutil.copy(tmp_path / "before" / "commands.db", tmp_path / "a" / "commands.db")
    again = Vehicle(tmp_path / "a")
    again.send(message)
    assert len(again.ran()) == 1
    again.send(later)
    assert len(again.ran()) == 2
    again.close()


@pytest.mark.parametrize("damage", ["gone", "zeros", "flip", "empty"])
def test_a_lost_or_damaged_journal_accepts_nothing_twice(tmp_path: Path, damage: str) -> None:
    vehicle = Vehicle(tmp_path)
    message = OPS.command()
    vehicle.send(message)
    vehicle.close()
    file = tmp_path / "commands.db"
    if damage == "gone":
        file.unlink()
    elif damage == "empty":
        file.write_bytes(b"")
    else:
        raw = bytearray(file.read_bytes())
        if damage == "zeros":
            raw[:] = bytes(len(raw))
        else:
            raw[100] ^= 255
        file.write_bytes(raw)
    again = Vehicle(tmp_path)
    assert again.journal.began_anew
    again.send(message)
    assert len(again.ran()) == 1
    again.close()


def test_with_journal_and_counters_gone_nothing_older_is_accepted(tmp_path: Path) -> None:
    vehicle = Vehicle(tmp_path)
    message = OPS.command()
    vehicle.send(message)
    vehicle.close()
    (tmp_path / "commands.db").unlink()
    (tmp_path / "commands.mark").unlink()
    again = Vehicle(tmp_path)
    again.journal.born_s = None
    again.utc_s = NOW_S + 20
    again.send(message)
    assert len(again.ran()) == 1
    assert again.refused() == {"replayed": 1}
    again.close()


def test_as_many_as_the_box_can_for_five_seconds(vehicle: Vehicle) -> None:
    """Memory stays flat, and the door costs next to nothing."""
    messages = [OPS.command() for _ in range(50)] + [b"A" * 8_000, STRANGER.command(), b"x" * 9_000]
    vehicle.seconds += 1.0
    tracemalloc.start()
    sent, deadline = 0, time.monotonic() + 5.0
    while time.monotonic() < deadline:
        for message in messages:
            vehicle.commander.knock(TOPIC, message, False)
        sent += len(messages)
        if sent % 5_300 == 0:
            vehicle.settle()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    vehicle.settle()
    assert sent > 50_000
    assert peak < 4_000_000
    # The door lets 20 through, the issuer's quota 10 of those.
    assert len(vehicle.ran()) <= 10
    assert vehicle.refused()["flood"] > sent * 0.9


def test_the_door_lets_a_few_through_and_then_some_a_second(vehicle: Vehicle) -> None:
    def looked_at(n: int) -> int:
        before = vehicle.refused().get("malformed", 0)
        for _ in range(n):
            vehicle.commander.knock(TOPIC, b"x", False)
            vehicle.settle()
        return vehicle.refused()["malformed"] - before

    assert looked_at(100) == 20
    vehicle.seconds += 3.0
    assert looked_at(100) == 6
    assert vehicle.refused()["flood"] == 174


def test_quota_of_an_issuer(vehicle: Vehicle) -> None:
    for _ in range(15):
        vehicle.seconds += 10.0
        vehicle.commander.knock(TOPIC, OPS.command(), False)
        vehicle.settle()
    assert len(vehicle.ran()) == 10
    assert vehicle.refused() == {"quota": 5}
    # One issuer's flood is not the other's.
    vehicle.commander.knock(TOPIC, CLIPS.command("read"), False)
    vehicle.settle()
    assert len(vehicle.ran()) == 11


def test_a_hostile_log_is_short(vehicle: Vehicle, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(500):
        vehicle.send(b"x")
    assert len(caplog.records) <= 6


@given(st.binary(max_size=400))
@settings(deadline=None)
def test_any_bytes_are_refused_or_commands(raw: bytes) -> None:
    with pytest.raises(Refused):
        token.verify(raw, {OPS.kid: OPS.key()})


@given(st.binary(max_size=300), st.binary(max_size=300))
@settings(deadline=None)
def test_any_signed_bytes_are_refused_or_claims(head: bytes, body: bytes) -> None:
    for message in (OPS.sign(body), OPS.sign(body, head)):
        with pytest.raises(Refused):
            token.verify(message, {OPS.kid: OPS.key()})


def test_without_a_clock_time_does_not_go_back_either(vehicle: Vehicle) -> None:
    """What was signed and accepted at a known time proves how late it is."""
    late = OPS.command("read", exp=NOW_S + 60)
    vehicle.utc_s = NOW_S + 510
    vehicle.send(OPS.command("read", iat=NOW_S + 500, nbf=NOW_S + 500, exp=NOW_S + 900))
    vehicle.utc_s = None
    vehicle.send(late)
    vehicle.send(OPS.command("read", exp=NOW_S + 60))
    vehicle.send(OPS.command("read", exp=NOW_S + 600))
    assert len(vehicle.ran()) == 2
    assert vehicle.refused() == {"replayed": 1, "expired": 1}


def test_keys_are_exchanged_without_a_gap(vehicle: Vehicle) -> None:
    """Both count for a while, with one counter; then the old one is revoked, under its own name."""
    fresh = Pen("ops-2", "ops", "operator")
    roles = TRUST.roles

    def trust(**keys: token.Key) -> None:
        named = {kid.replace("_", "-"): key for kid, key in keys.items()}
        vehicle.commander.trust_now(Trust(named, roles), TOPIC)

    trust(ops_1=OPS.key(), ops_2=fresh.key())
    old, new, unsent = OPS.command(), fresh.command(), OPS.command()
    vehicle.send(new)
    vehicle.send(old)  # signed before the new one: the counter is the issuer's, not the key's
    vehicle.send(unsent)
    assert len(vehicle.ran()) == 2
    trust(ops_1=OPS.key(revoked=True), ops_2=fresh.key())
    vehicle.send(OPS.command())
    vehicle.send(fresh.command())
    trust(ops_2=fresh.key())
    vehicle.send(OPS.command())
    vehicle.send(fresh.command())
    assert len(vehicle.ran()) == 4
    assert vehicle.refused() == {"replayed": 1, "revoked_key": 1, "unknown_key": 1}

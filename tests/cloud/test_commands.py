"""The signing side: keys, counters, tokens as RFC 7515 has them, replies that are forged."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from joserfc import jws

from cloud import command_keys, command_token
from cloud.command_keys import KeyUnusable
from cloud.command_token import Order, ReplyForged

ORDER = Order("bus-1", "dump", "ops", "operator", "a test", {"source": "fms", "seconds": 5})


def parts(token: bytes) -> list[bytes]:
    return [base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)) for part in token.split(b".")]


def program(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cloud.command_line", *argv],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        cwd=Path(__file__).parents[2],
    )


def test_a_key_pair_and_the_table_for_vehicles(tmp_path: Path) -> None:
    done = program("keys", str(tmp_path / "ops-1"), "--role", "clips")
    assert done.returncode == 0, done.stderr
    public = (tmp_path / "ops-1.pub").read_text().strip()
    assert f'key = "{public}"' in done.stdout and 'role = "clips"' in done.stdout
    assert "[commands.keys.ops-1]" in done.stdout
    assert (tmp_path / "ops-1.key").stat().st_mode & 0o777 == 0o600
    again = program("keys", str(tmp_path / "ops-1"))
    assert again.returncode == 2 and again.stderr.count("\n") == 1
    assert "never overwritten" in again.stderr


def test_a_token_is_what_any_library_verifies(tmp_path: Path) -> None:
    public = command_keys.make(tmp_path / "k")
    key = command_keys.load(tmp_path / "k.key")
    cid, token = command_token.sign(ORDER, key, "k", 7, now_s=1_800_000_000)
    header, payload, signature = parts(token)
    assert json.loads(header) == {"alg": "Ed25519", "typ": "brain-cmd+jws", "kid": "k"}
    assert json.loads(payload) == {
        **{"v": 1, "cid": cid, "aud": "bus-1", "iss": "ops", "role": "operator", "op": "dump"},
        **{"args": {"source": "fms", "seconds": 5}, "iat": 1_800_000_000, "nbf": 1_800_000_000},
        **{"exp": 1_800_000_300, "ctr": 7, "pur": "a test"},
    }
    raw = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(public + "="))
    raw.verify(signature, token.rpartition(b".")[0])
    with pytest.raises(InvalidSignature):
        raw.verify(signature, token.rpartition(b".")[0] + b"x")


def test_a_cid_is_a_ulid_that_rises_with_time() -> None:
    # The example of the ULID specification: 1469918176385 ms is 01ARYZ6S41.
    assert command_token.new_cid(1469918176385)[:10] == "01ARYZ6S41"
    assert len({command_token.new_cid(5) for _ in range(1000)}) == 1000


def test_counters_rise_whoever_asks_and_whatever_is_lost(tmp_path: Path) -> None:
    file = tmp_path / "ops.counter"
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: command_keys.next_counter(file), range(200)))
    assert len(set(found)) == 200
    before = command_keys.next_counter(file)
    file.unlink()
    deadline = time.monotonic() + 5
    while time.time_ns() // 1_000_000 <= before:
        assert time.monotonic() < deadline
    assert command_keys.next_counter(file) > before
    file.write_text("9007199254740000")
    assert command_keys.next_counter(file) == 9007199254740001


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path: path.chmod(0o644), "chmod 600"),
        (lambda path: path.write_text("no key"), "expected an Ed25519 private key"),
        (lambda path: path.unlink(), "make one with"),
    ],
)
def test_a_key_that_is_none(tmp_path: Path, change: Any, said: str) -> None:
    command_keys.make(tmp_path / "k")
    change(tmp_path / "k.key")
    with pytest.raises(KeyUnusable, match=said):
        command_keys.load(tmp_path / "k.key")


def test_a_forged_reply(tmp_path: Path) -> None:
    command_keys.make(tmp_path / "bus")
    command_keys.make(tmp_path / "other")
    bus, other = (command_keys.load(tmp_path / f"{name}.key") for name in ("bus", "other"))
    public = command_keys.public_key(str(tmp_path / "bus.pub"))
    said = {"v": 1, "veh": "bus-1", "cid": "c", "state": "done"}

    def token(key: Any, typ: str = "brain-reply+jws", **changes: Any) -> str:
        header = {"alg": "Ed25519", "typ": typ, "kid": "bus-1"}
        return jws.serialize_compact(
            header, json.dumps({**said, **changes}), key, algorithms=["Ed25519"]
        )

    assert command_token.verified(token(bus), public, "bus-1", "c") == said
    good = token(bus)
    for forged in (
        token(other),
        token(bus, typ="brain-cmd+jws"),
        token(bus, veh="bus-2"),
        token(bus, cid="d"),
        good[:-4] + "AAAA",
        good.replace(".", "..", 1),
        "",
    ):
        with pytest.raises(ReplyForged):
            command_token.verified(forged, public, "bus-1", "c")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ((), "--reply-key: expected"),
        (("--reply-key", "x"), "there is no ledger"),
        (("--no-wait", "--port", "1"), "broker 127.0.0.1:1"),
        (("--no-wait", "--unchecked", "--arg", "x=" + "y" * 9000), "a command of"),
    ],
)
def test_errors_are_one_line(tmp_path: Path, argv: tuple[str, ...], said: str) -> None:
    command_keys.make(tmp_path / "k")
    if "x" in argv:
        argv = ("--reply-key", str(tmp_path / "k.pub"), "--ledger", str(tmp_path / "none.db"))
    done = program(
        *("command", "bus-1", "status", "--key", str(tmp_path / "k.key"), "--purpose", "t"), *argv
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1 and said in done.stderr


def test_a_reply_key_may_begin_with_a_hyphen(tmp_path: Path) -> None:
    command_keys.make(tmp_path / "ops")
    done = program(
        *("command", "bus-1", "status", "--key", str(tmp_path / "ops.key"), "--purpose", "a test"),
        *("--ledger", str(tmp_path / "none.db"), "--reply-key", "-" + "A" * 42),
    )
    assert done.returncode == 2 and "there is no ledger" in done.stderr

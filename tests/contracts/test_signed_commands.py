"""A command runs 0 or 1 times and is answered, wherever it is killed; a real process, real files.

What was only intended is answered as unknown, or done again where that does no harm.
"""

from __future__ import annotations

import base64
import contextlib
import json
import random
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.record import StorageClass
from agent.store.outbox import Outbox
from agent.store.reader import OutboxReader

RUNNER = Path(__file__).parent / "command_runner.py"
PRIVATE = Ed25519PrivateKey.generate()
POINTS = (
    *("verified", "intended", "before-effect", "in-effect", "effected", "concluded"),
    *("on-flash", "said"),
)
ROOT = Path(__file__).parents[2]


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def command(number: int, op: str) -> tuple[str, bytes]:
    cid = f"{number:026d}"
    claims = {"v": 1, "cid": cid, "aud": "bus-1", "iss": "ops", "role": "operator", "op": op}
    claims |= {"args": {}, "iat": 1990, "nbf": 1990, "exp": 2500, "ctr": number, "pur": "test"}
    header = {"alg": "Ed25519", "typ": "brain-cmd+jws", "kid": "k"}
    signed = ".".join(b64(json.dumps(part).encode()) for part in (header, claims))
    return cid, f"{signed}.{b64(PRIVATE.sign(signed.encode()))}".encode()


def life(
    directory: Path, messages: list[bytes], *options: str, before: tuple[str, ...] = ()
) -> bool:
    """One life of the runner; whether it reached its end."""
    public = PRIVATE.public_key().public_bytes_raw().hex()
    argv = [*before, sys.executable, str(RUNNER), str(directory), public, *options]
    done = subprocess.run(
        argv,
        input=b"".join(m + b"\n" for m in messages),
        capture_output=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    return b"end" in done.stdout


def effects(directory: Path) -> Counter[str]:
    file = directory / "effects"
    return Counter(file.read_text().split() if file.exists() else ())


def answers(directory: Path) -> dict[str, list[dict[str, Any]]]:
    """What the outbox holds, by command."""
    Outbox.open(directory, quota_bytes=dict.fromkeys(StorageClass, 1 << 20)).close()
    reader = OutboxReader(directory)
    found: dict[str, list[dict[str, Any]]] = {}
    for head in reader.oldest(StorageClass.ALARM, None, 1000):
        for record in reader.load(head).records:
            part = str(record.values["Vehicle.Bus.Command.Reply"]).split(".")[1]
            said = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
            found.setdefault(said["cid"], []).append(said)
    reader.close()
    return found


traced = pytest.mark.skipif(
    shutil.which("strace") is None,
    reason="not run: strace is missing (apt install strace). Instead: kills at failpoints here, a "
    "full disk and the older journal in tests/agent/commands/test_recovery.py",
)


@pytest.mark.parametrize("op", ["once", "again"])
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_each_step(point: str, op: str, tmp_path: Path) -> None:
    first, one = command(1, op)
    second, two = command(2, op)
    assert not life(tmp_path, [one, two], "--die", point, "--after", "1")
    # The broker brings both again, as it may; what the first life took is not taken twice.
    assert life(tmp_path, [one, two, one])
    ran, said = effects(tmp_path), answers(tmp_path)
    assert ran[second] == 1 and [r["state"] for r in said[second]] == ["done"]
    states = {reply["state"] for reply in said[first]}
    assert len(states) == 1, "the same answer, however often"
    if op == "again":
        assert states == {"done"} and 1 <= ran[first] <= 2
    else:
        assert ran[first] <= 1, "at most once"
        interrupted = point in ("intended", "before-effect", "in-effect", "effected")
        assert states == ({"unknown"} if interrupted else {"done"})
        assert ran[first] == (0 if point in ("intended", "before-effect") else 1)


@pytest.mark.parametrize("point", ["intended", "before-effect"])
@pytest.mark.parametrize(
    ("later", "code"), [(("--utc", "2501"), "expired"), (("--revoked",), "revoked_key")]
)
def test_killed_and_its_time_or_its_key_is_over_at_the_next_start(
    tmp_path: Path, point: str, later: tuple[str, ...], code: str
) -> None:
    cid, message = command(1, "again")
    assert not life(tmp_path, [message], "--die", point)
    assert life(tmp_path, [message], *later)
    assert effects(tmp_path)[cid] == 0
    assert {(r["state"], r["code"]) for r in answers(tmp_path)[cid]} == {("unknown", code)}
    assert life(tmp_path, [message]), "nor when the key is trusted again, or the clock goes back"
    assert effects(tmp_path)[cid] == 0


def test_killed_at_random_again_and_again(tmp_path: Path) -> None:
    rng = random.Random(5)
    commands = [command(number, "once") for number in range(1, 9)]
    for at in range(0, len(commands), 2):
        messages = [message for _, message in commands[: at + 2]]
        life(tmp_path, messages, "--die", rng.choice(POINTS), "--after", str(rng.randint(1, 2)))
    assert life(tmp_path, [])
    ran, said = effects(tmp_path), answers(tmp_path)
    assert all(count == 1 for count in ran.values())
    for cid in ran:
        assert {reply["state"] for reply in said[cid]} <= {"done", "unknown"} and said[cid]


@traced
@pytest.mark.parametrize("call", ["fdatasync,fsync", "pwrite64,write", "openat", "unlink,rename"])
def test_killed_at_each_storage_call(call: str, tmp_path: Path) -> None:
    """Exhaustive: N until a life ends by itself."""
    cid, message = command(1, "once")
    assert life(tmp_path / "fresh", [])
    for at in range(1, 60):
        place = tmp_path / str(at)
        shutil.copytree(tmp_path / "fresh", place)
        files = [
            f"-P{place / name}"
            for name in (
                "commands.db",
                "commands.db-journal",
                "commands.mark.new",
                "commands.mark",
            )
        ] + [f"-P{place}"]
        trace = ("strace", "-f", "-qq", "-o", "/dev/null", f"-einject={call}:signal=KILL:when={at}")
        ended = life(place, [message], before=(*trace, *files))
        assert life(place, [message])
        assert effects(place)[cid] <= 1
        said = {reply["state"] for reply in answers(place)[cid]}
        assert said == ({"done"} if ended else said) and len(said) == 1
        assert said == {"unknown"} or effects(place)[cid] == 1
        if ended:
            assert at > 1, "nothing was injected"
            return
    raise AssertionError("it never ended by itself")


@traced
@pytest.mark.parametrize("call", ["fdatasync,fsync", "pwrite64,write"])
def test_killed_while_the_journal_is_brought_to_this_format(call: str, tmp_path: Path) -> None:
    """Exhaustive. The old file or the new one is there, with the counters and what was open."""
    first, one = command(1, "again")
    second, two = command(2, "once")
    assert not life(tmp_path / "old", [one], "--die", "intended")
    with contextlib.closing(sqlite3.connect(tmp_path / "old" / "commands.db")) as db:
        db.execute("ALTER TABLE command DROP COLUMN expires_s")
        db.execute("PRAGMA user_version = 1")
        db.commit()
    for at in range(1, 60):
        place = tmp_path / str(at)
        shutil.copytree(tmp_path / "old", place)
        files = [f"-P{place / name}" for name in ("commands.db", "commands.db-journal")]
        trace = ("strace", "-f", "-qq", "-o", "/dev/null", f"-einject={call}:signal=KILL:when={at}")
        ended = life(place, [], before=(*trace, *files))
        assert life(place, [one, two])
        # The old format does not say until when it may run: it is not begun anew.
        assert effects(place) == {second: 1}
        said = {cid: {r["state"] for r in found} for cid, found in answers(place).items()}
        assert said == {first: {"unknown"}, second: {"done"}}
        assert not [*place.glob("commands.corrupt-*")]
        if ended:
            assert at > 2, "nothing was injected"
            return
    raise AssertionError("it never ended by itself")


@traced
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("call", ["pwrite64,write", "fdatasync,fsync"])
def test_what_cannot_be_written_down_is_not_done(call: str, error: str, tmp_path: Path) -> None:
    cid, message = command(1, "once")
    assert life(tmp_path, [])
    files = [f"-P{tmp_path / name}" for name in ("commands.db", "commands.db-journal")]
    trace = ("strace", "-f", "-qq", "-o", "/dev/null", f"-einject={call}:error={error}:when=1+")
    assert life(tmp_path, [message], before=(*trace, *files))
    assert effects(tmp_path)[cid] == 0
    # When the disk is well again it may come again, and runs, or was open and is answered so.
    assert life(tmp_path, [message, message])
    (state,) = {reply["state"] for reply in answers(tmp_path)[cid]}
    assert (state, effects(tmp_path)[cid]) in (("done", 1), ("unknown", 0))

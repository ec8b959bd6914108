"""A command has its effect once, and in its time: replays, counters, clocks, lost books."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command_rig import TOPIC, Vehicle
from signing import CLIPS, NOW_S, OPS, TRUST, Pen, cid

from agent.commands import token
from agent.commands.gate import Trust


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

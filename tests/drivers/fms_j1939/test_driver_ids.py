"""Driver identification: parts, pseudonyms, and the key that makes them."""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sdk import State
from drivers.fms_j1939 import capture
from drivers.fms_j1939.driver_ids import Identity
from drivers.fms_j1939.pgn import Pgn
from drivers.fms_j1939.table import parameter_groups

DI = 65131
CARD = b"1D  DF000012345678 0"
OTHER = b"1F  F9000087654321 1"


@functools.cache
def groups(identity: Identity) -> Mapping[int, Pgn]:
    return parameter_groups(identity=identity)


def read(payload: bytes, identity: Identity) -> list[object]:
    readings = groups(identity)[DI].read(payload)
    assert [r.spn.number for r in readings] == [1625, 1626]
    return [r.value if r.state is None else r.state for r in readings]


PLAIN, HIDDEN = Identity("plain"), Identity()


@pytest.mark.parametrize(
    ("payload", "want"),
    [
        (CARD + b"*" + OTHER + b"*", [CARD.decode(), OTHER.decode()]),
        (CARD + b"*" + OTHER, [CARD.decode(), OTHER.decode()]),
        (CARD + b"**", [CARD.decode(), State.NOT_AVAILABLE]),
        (b"*" + CARD + b"*", [State.NOT_AVAILABLE, CARD.decode()]),
        (CARD, [CARD.decode(), State.NOT_AVAILABLE]),
        (b"**", [State.NOT_AVAILABLE, State.NOT_AVAILABLE]),
        (b"", [State.NOT_AVAILABLE, State.NOT_AVAILABLE]),
        (b"\xff" * 9, [State.NOT_AVAILABLE, State.NOT_AVAILABLE]),
        (bytes(9), [State.ERROR, State.NOT_AVAILABLE]),
        (b"   *" + CARD + b"   *junk*", [State.NOT_AVAILABLE, CARD.decode()]),
        (b"x" * 41 + b"*", [State.IMPLAUSIBLE, State.NOT_AVAILABLE]),
        (b"1D\x01\xe9*", ["1D..", State.NOT_AVAILABLE]),
    ],
)
def test_the_two_parts(payload: bytes, want: list[object]) -> None:
    assert read(payload, PLAIN) == want


def test_a_pseudonym_says_nothing_of_the_card_and_tells_drivers_apart() -> None:
    first, second = read(CARD + b"*" + OTHER + b"*", Identity())
    again, _ = read(OTHER + b"*", identity := Identity())
    assert isinstance(first, str)
    assert first.startswith("drv-")
    assert len(first) == 20
    assert first != second
    assert "1234" not in first
    # Another vehicle, another key.
    assert again not in (first, second)
    assert read(b"*" + OTHER + b"*", identity)[1] == again


def test_the_key_is_private_and_kept(tmp_path: Path) -> None:
    first = Identity()
    first.keep_in(tmp_path)
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_bytes()) == 32
    restarted = Identity()
    assert read(CARD, restarted) != read(CARD, first)
    restarted.keep_in(tmp_path)
    assert read(CARD, restarted) == read(CARD, first)


def test_a_damaged_key_is_replaced_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "driver-id.key").write_bytes(b"short")
    Identity().keep_in(tmp_path)
    assert len((tmp_path / "driver-id.key").read_bytes()) == 32
    assert "driver-id.key is damaged" in caplog.text


def test_without_a_place_for_the_key_the_driver_still_reads(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    identity = Identity()
    identity.keep_in(tmp_path / "absent")
    assert str(read(CARD, identity)[0]).startswith("drv-")
    assert "absent/driver-id.key: No such file" in caplog.text


@pytest.mark.parametrize("mode", ["plain", "off"])
def test_no_key_is_made_where_none_is_needed(tmp_path: Path, mode: str) -> None:
    Identity(mode).keep_in(tmp_path)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_off_neither_declares_nor_reads() -> None:
    assert DI not in parameter_groups(identity=Identity("off"))
    assert DI in parameter_groups(identity=Identity("plain"))


def packets(payload: bytes) -> list[str]:
    """A BAM of DI from the tachograph, as a log."""
    count = -(-len(payload) // 7)
    head = bytes([32, *len(payload).to_bytes(2, "little"), count, 0xFF, 0x6B, 0xFE, 0x00])
    lines = [f"(1.0) can0 1CECFFEE#{head.hex()}"]
    for n in range(count):
        part = bytes([n + 1]) + payload[7 * n : 7 * n + 7].ljust(7, b"\xff")
        lines.append(f"(1.{n + 1}) can0 1CEBFFEE#{part.hex()}")
    return lines


def test_a_capture_shows_cards_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "x.log"
    log.write_text("\n".join([*packets(CARD + b"**"), *packets(CARD + b"**")]))
    monkeypatch.delenv(capture.PLAIN_VARIABLE, raising=False)
    masked = [line["value"] for line in capture.decode(log) if line["spn"] == 1625]
    assert len(set(masked)) == 1
    assert str(masked[0]).startswith("drv-")
    assert CARD.decode() not in str(list(capture.decode(log)))
    monkeypatch.setenv(capture.PLAIN_VARIABLE, "plain")
    assert {line["value"] for line in capture.decode(log) if line["spn"] == 1625} == {CARD.decode()}


@given(st.binary(max_size=200))
def test_it_is_total(payload: bytes) -> None:
    for one in read(payload, PLAIN) + read(payload, HIDDEN):
        assert isinstance(one, str)


def test_a_key_is_not_made_of_time_or_name() -> None:
    assert Identity()._key != Identity()._key
    assert len(os.urandom(32)) == len(Identity()._key)

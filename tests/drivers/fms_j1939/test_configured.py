"""The driver as its section has it, on a PTY: electric buses, custom signals, drivers' names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.sdk import Prepares
from drivers.fms_j1939 import can_raw, dbc
from drivers.fms_j1939.driver import FmsConfig, FmsJ1939

Plug = Callable[..., Any]
Start = Callable[..., Any]

OVERLAY = """
[roof]
pgn = 65301
switches = [[0, "Vehicle.Bus.Custom.Roof.HatchOpen", "1.1:2", "Roof hatch is open"]]
"""
DBC = """VERSION ""
NS_ :
BS_:
BU_: X
BO_ 2566854177 Heater: 8 X
 SG_ Water : 0|8@1+ (1,-40) [0|0] "degC" X
"""
HATCH, WATER = "Vehicle.Bus.Custom.Roof.HatchOpen", "Vehicle.Bus.Custom.Heater.Water"
CHARGE = "Vehicle.Powertrain.TractionBattery.StateOfCharge.Displayed"
DRIVER = "Vehicle.Tachograph.Driver1.Identifier"


def section(folder: Path, **more: object) -> FmsConfig:
    (folder / "over.toml").write_text(OVERLAY)
    (folder / "v.dbc").write_text(DBC)
    dbc.prepare(folder / "v.dbc")
    values = {"overlay": str(folder / "over.toml"), "dbc": str(folder / "v.dbc"), **more}
    return msgspec.convert({"channel": "/dev/null", "electric": True, **values}, FmsConfig)


def paths(driver: FmsJ1939) -> set[str]:
    return {signal.path for group in driver.groups for signal in group.signals}


def test_an_instance_declares_what_its_section_asks_for(tmp_path: Path) -> None:
    plain = FmsJ1939(FmsConfig(channel="/dev/null"))
    assert plain.groups == FmsJ1939.groups
    assert not paths(plain) & {CHARGE, HATCH, WATER}
    driver = FmsJ1939(section(tmp_path))
    assert paths(driver) - paths(plain) >= {CHARGE, HATCH, WATER}
    names = [group.name for group in driver.groups]
    assert len(set(names)) == len(names)
    assert DRIVER not in paths(FmsJ1939(section(tmp_path, driver_id="off")))


def test_all_of_it_is_read_from_the_wire(plug: Plug, start: Start, tmp_path: Path) -> None:
    stick = plug()
    config = msgspec.structs.replace(section(tmp_path), channel=stick.path)
    ctx = start(FmsJ1939(config).run).ctx
    stick.wait(lambda: stick.open)
    stick.send(
        b"T18FF15218FDFFFFFFFFFFFFFF", b"T18FF16218" + b"7DFFFFFFFFFFFFFF",
        b"T18FCB7278A00FFFFFFFFFFFFF",
    )  # fmt: skip
    ctx.wait(lambda: bool(ctx.of("vep4")))
    assert ctx.of("roof")[0] == {HATCH: True}
    assert ctx.of("vep4")[0] == {CHARGE: 10.0}
    ctx.wait(lambda: bool(ctx.of("custom_heater")))
    assert ctx.of("custom_heater")[0] == {WATER: 85.0}


def test_without_it_nothing_of_it_is_said(plug: Plug, start: Start) -> None:
    stick = plug()
    ctx = start(FmsJ1939(FmsConfig(channel=stick.path)).run).ctx
    stick.wait(lambda: stick.open)
    stick.send(b"T18FCB7278A00FFFFFFFFFFFFF", b"T18FEF1008F300320000000000")
    ctx.wait(lambda: bool(ctx.of("ccvs1")))
    assert ctx.of("vep4") == []


def di(card: bytes) -> list[bytes]:
    """A broadcast of DI from the tachograph, as SLCAN lines."""
    payload = card + b"**"
    count = -(-len(payload) // 7)
    head = bytes([32, *len(payload).to_bytes(2, "little"), count, 0xFF, 0x6B, 0xFE, 0x00])
    lines = [b"T1CECFFEE8" + head.hex().upper().encode()]
    for n in range(count):
        part = bytes([n + 1]) + payload[7 * n : 7 * n + 7].ljust(7, b"\xff")
        lines.append(b"T1CEBFFEE8" + part.hex().upper().encode())
    return lines


def test_a_driver_has_one_pseudonym_over_restarts(plug: Plug, start: Start, tmp_path: Path) -> None:
    said: list[object] = []
    for _ in range(2):
        stick = plug()
        running = start(FmsJ1939(FmsConfig(channel=stick.path)).run)
        stick.wait(lambda stick=stick: stick.open)
        stick.send(*di(b"1D  DF000012345678 0"))
        running.ctx.wait(lambda running=running: bool(running.ctx.of("di")))
        said.append(running.ctx.of("di")[0][DRIVER])
        assert running.end() is None
    assert said[0] == said[1]
    assert str(said[0]).startswith("drv-")
    assert (tmp_path / "driver-id.key").exists()


def test_the_filters_of_the_kernel_follow_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel itself is asked in tests/rig."""
    told: list[bytes] = []
    real = can_raw.filters

    def filters(pgns: Any) -> bytes:
        told.append(real(pgns))
        raise OSError("that is enough")

    monkeypatch.setattr(can_raw, "filters", filters)
    driver = FmsJ1939(section(tmp_path, interface="socketcan"))
    with pytest.raises(OSError, match="enough"):
        driver._open()
    assert len(told[0]) <= 8 * 512
    for pgn in (65301, 65302, 64695, 65265):
        assert real([pgn])[-8:] in told[0]
        assert (real([pgn])[-8:] in real(FmsJ1939(FmsConfig(channel="x"))._pgns)) == (pgn == 65265)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"overlay": "/no/such.toml"}, r"overlay: /no/such\.toml: no such file"),
        ({"dbc": "/no/such.dbc"}, r"dbc: /no/such\.dbc: no such file, and no compiled form"),
        ({"driver_id": "name"}, "driver_id"),
        ({"prefer": {"roof": [3]}}, "prefer: 'roof' is no group"),
    ],
)
def test_a_section_that_cannot_be_is_refused(values: dict[str, object], says: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=says):
        msgspec.convert({"channel": "x", **values}, FmsConfig)


@pytest.mark.parametrize(
    ("head", "path", "says"),
    [
        ("bus", "Vehicle.Bus.Custom.X", r"overlay: .*\[bus\]: the driver has a group of that name"),
        (
            "x",
            "Vehicle.Bus.Can.State",
            r"\[x\] Vehicle\.Bus\.Can\.State is a signal of the dr",
        ),
    ],
)
def test_what_the_driver_says_of_itself_is_taken(
    tmp_path: Path, head: str, path: str, says: str
) -> None:
    file = tmp_path / "over.toml"
    file.write_text(f'[{head}]\npgn = 65301\nswitches = [[0, "{path}", "1.1:2", "x"]]\n')
    with pytest.raises(msgspec.ValidationError, match=says):
        msgspec.convert({"channel": "x", "overlay": str(file)}, FmsConfig)


def test_groups_of_an_overlay_may_be_preferred(tmp_path: Path) -> None:
    config = section(tmp_path, prefer={"roof": [3], "vep4": [4]})
    assert config.prefer["roof"] == [3]


def test_what_it_prepares(tmp_path: Path) -> None:
    assert isinstance(FmsJ1939, Prepares)
    assert FmsJ1939.prepare({}) == []
    assert FmsJ1939.prepare({"dbc": 3}) == []
    (tmp_path / "v.dbc").write_text(DBC)
    (said,) = FmsJ1939.prepare({"dbc": str(tmp_path / "v.dbc")})
    assert "1 messages, 1 signals" in said
    with pytest.raises(ValueError, match=r"^dbc: .*absent\.dbc"):
        FmsJ1939.prepare({"dbc": str(tmp_path / "absent.dbc")})

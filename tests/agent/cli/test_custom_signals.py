"""Custom signals of an FMS driver, from the files to `brain signals`: check, signals, driver."""

from __future__ import annotations

from pathlib import Path

from .conftest import Brain

CONFIG = """\
[vehicle]
id = "bus-1"

[drivers.fms]
type = "fms_j1939"
channel = "/dev/can-usb"
electric = true
overlay = "over.toml"
dbc = "v.dbc"
"""
OVERLAY = """\
[roof]
pgn = 65301
switches = [[0, "Vehicle.Bus.Custom.Roof.HatchOpen", "1.1:2", "Roof hatch is open"]]
"""
DBC = f"""\
VERSION ""
NS_ :
BS_:
BU_: X
BO_ {0x80000000 | 0x18FF1621} Heater: 8 X
 SG_ Water : 0|8@1+ (1,-40) [0|0] "degC" X
"""


def write(folder: Path, config: str = CONFIG) -> Path:
    path = folder / "brain.toml"
    path.write_text(config)
    (folder / "over.toml").write_text(OVERLAY)
    (folder / "v.dbc").write_text(DBC)
    return path


def test_check_compiles_and_signals_shows(process: Brain, tmp_path: Path) -> None:
    config = write(tmp_path)
    refused = process("driver", "fms", "--config", config, "--run-dir", tmp_path / "run")
    assert refused.code == 2
    assert f"{config}:9  drivers.fms.dbc  {tmp_path}/v.dbc: was not compiled" in refused.err
    done = process("check", "--config", config)
    assert done.code == 0, done.err
    assert f"note: {config}:4  drivers.fms  v.dbc compiled to {tmp_path}/v.dbc.toml" in done.err
    again = process("check", "--config", config)
    assert (again.code, again.err) == (0, "")
    shown = process("signals", "--json", "--config", config, "--run-dir", tmp_path / "run").json
    by_path = {one["path"]: one for one in shown}
    assert by_path["Vehicle.Bus.Custom.Roof.HatchOpen"]["definition"] == "over.toml"
    assert by_path["Vehicle.Bus.Custom.Heater.Water"]["unit"] == "celsius"
    assert "Vehicle.Bus.TractionBattery.HighestCellVoltage" in by_path
    plain = write(tmp_path, CONFIG.partition("electric")[0])
    shown = process("signals", "--json", "--config", plain, "--run-dir", tmp_path / "run").json
    assert not any("Custom" in one["path"] or "TractionBattery" in one["path"] for one in shown)


def test_what_is_wrong_stands_at_its_key_once(process: Brain, tmp_path: Path) -> None:
    config = write(tmp_path)
    (tmp_path / "v.dbc").write_text(DBC.replace("@1+", "@0+").replace("0|8", "7|8"))
    done = process("check", "--config", config)
    assert done.code == 2
    (line,) = [line for line in done.err.splitlines() if str(config) in line]
    assert line.startswith(f"{config}:9  drivers.fms.dbc  {tmp_path}/v.dbc: message Heater signal")
    assert "Motorola" in line
    (tmp_path / "v.dbc").write_text(DBC)
    (tmp_path / "over.toml").write_text("[roof]\npgn = 1\n")
    done = process("check", "--config", config)
    assert done.code == 2
    assert f"{config}:8  drivers.fms.overlay  {tmp_path}/over.toml: [roof] pgn: exp" in done.err
    assert "Traceback" not in done.err


def test_more_signals_than_a_driver_can_tell_of(process: Brain, tmp_path: Path) -> None:
    config = write(tmp_path)
    row = '[0, "Vehicle.Bus.Custom.Long{}", "1.1:2", "' + "long " * 40 + '"]'
    rows = ",".join(row.format(n) for n in range(300))
    (tmp_path / "over.toml").write_text(f"[roof]\npgn = 65301\nswitches = [{rows}]\n")
    done = process("check", "--config", config)
    assert done.code == 2
    assert "drivers.fms  it declares signals of" in done.err
    assert "declare fewer signals or shorter meanings" in done.err


def test_custom_signals_may_be_arbitrated(process: Brain, tmp_path: Path) -> None:
    rule = '\n[arbitration.speed]\norder = ["fms:Vehicle.Bus.Custom.{}"]\n'
    config = write(tmp_path, CONFIG + rule.format("Roof.HatchOpen"))
    assert process("check", "--config", config).code == 0
    done = process("check", "--config", config)
    assert (done.code, done.err) == (0, "")
    config = write(tmp_path, CONFIG + rule.format("Roof.Hatch"))
    assert "Vehicle.Bus.Custom.Roof.Hatch" in process("check", "--config", config).err

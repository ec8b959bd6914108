"""A DBC file made into a table, read as cantools reads it, or refused by name."""

from __future__ import annotations

import builtins
import stat
from collections.abc import Mapping
from pathlib import Path

import cantools.database
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sdk import State
from drivers.fms_j1939 import compiled, dbc
from drivers.fms_j1939.configured import parameter_groups
from drivers.fms_j1939.driver_ids import Identity
from drivers.fms_j1939.pgn import Pgn

HEAD = 'VERSION ""\nNS_ :\nBS_:\nBU_: X\n'
# Priority 6, PGN 65301 (FF15), source address 0x21.
ID = 0x80000000 | 0x18FF1521

BODY = f"""
BO_ {ID} Roof_Unit: 8 X
 SG_ hatch open : 0|2@1+ (1,0) [0|1] "" X
 SG_ Fan : 2|4@1+ (1,0) [0|13] "" X
 SG_ temp-inside : 8|16@1+ (0.03125,-273) [-40|80] "degC" X
 SG_ Hours : 24|32@1+ (0.05,0) [0|0] "h" X
""".replace("hatch open", "hatch_open").replace("temp-inside", "temp_inside")
ATTRIBUTES = f"""
CM_ SG_ {ID} Hours "Hours of
the \\"roof\\" unit";
BA_DEF_ BO_ "GenMsgCycleTime" INT 0 65535;
BA_DEF_DEF_ "GenMsgCycleTime" 0;
BA_ "GenMsgCycleTime" BO_ {ID} 2000;
VAL_ {ID} Fan 0 "off" 1 "low" 2 "high" ;
"""


def write(folder: Path, body: str, name: str = "v.dbc") -> Path:
    path = folder / name
    path.write_text(HEAD + body)
    return path


def groups(path: Path) -> Mapping[int, Pgn]:
    return parameter_groups(electric=False, identity=Identity(), dbc_file=str(path))


def test_a_message_becomes_a_group(tmp_path: Path) -> None:
    path = write(tmp_path, BODY + ATTRIBUTES)
    notes = dbc.prepare(path)
    assert notes == [f"v.dbc compiled to {path}.toml: 1 messages, 4 signals"]
    pgn = groups(path)[65301]
    assert (pgn.group.name, pgn.period_ms, pgn.silence_s) == ("custom_roof_unit", 2000, 7)
    assert [
        (s.path, s.datatype.value, s.unit, s.minimum, s.maximum) for s in pgn.group.signals
    ] == [
        ("Vehicle.Bus.Custom.RoofUnit.HatchOpen", "boolean", "", None, None),
        ("Vehicle.Bus.Custom.RoofUnit.Fan", "uint8", "", None, None),
        ("Vehicle.Bus.Custom.RoofUnit.TempInside", "float", "celsius", -40, 80),
        ("Vehicle.Bus.Custom.RoofUnit.Hours", "double", "h", None, None),
    ]
    assert pgn.group.signals[3].meaning == 'Hours of the "roof" unit'
    said = [r.stated for r in pgn.read(bytes.fromhex("C9C02420110000FF"))]
    assert said == [True, 2, 21.0, 219.2]
    states = [r.state for r in pgn.read(bytes.fromhex("FAFFFEFE000000FB"))]
    assert states[:2] == [State.ERROR, State.ERROR]
    assert states[2] is State.ERROR
    assert pgn.read(bytes.fromhex("FFFFFF"))[2].state is State.NOT_AVAILABLE


@given(st.binary(min_size=8, max_size=8))
def test_values_are_those_of_cantools(payload: bytes) -> None:
    pgn = COMPILED[65301]
    theirs = THEIRS.decode_message(ID & 0x7FFFFFFF, payload, decode_choices=False)
    for reading in pgn.read(payload):
        assert reading.path is not None
        name = {"HatchOpen": "hatch_open", "TempInside": "temp_inside"}
        last = reading.path.rpartition(".")[2]
        if reading.state is None:
            assert reading.value == pytest.approx(theirs[name.get(last, last)], rel=1e-12)


@pytest.fixture(scope="module", autouse=True)
def _compiled(tmp_path_factory: pytest.TempPathFactory) -> None:
    global COMPILED, THEIRS
    path = write(tmp_path_factory.mktemp("dbc"), BODY)
    dbc.prepare(path)
    COMPILED = groups(path)
    THEIRS = cantools.database.load_file(path)


COMPILED: Mapping[int, Pgn] = {}
THEIRS: cantools.database.Database = cantools.database.Database()


def test_multiplexed_signals(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        f"""
BO_ {ID} Axle: 8 X
 SG_ Which M : 0|4@1+ (1,0) [0|15] "" X
 SG_ Load m0 : 8|16@1+ (0.5,0) [0|0] "kg" X
 SG_ Wear m1 : 8|8@1+ (1,0) [0|100] "%" X
 SG_ Always : 32|8@1+ (1,0) [0|0] "" X
""",
    )
    dbc.prepare(path)
    pgn = groups(path)[65301]

    def said(payload: str) -> dict[str, object]:
        return {str(r.path).rpartition(".")[2]: r.stated for r in pgn.read(bytes.fromhex(payload))}

    assert said("F06400FF07FFFFFF") == {"Load": 50.0, "Always": 7.0}
    assert said("F16400FF07FFFFFF") == {"Wear": 100.0, "Always": 7.0}
    assert said("F26400FF07FFFFFF") == {"Always": 7.0}
    assert {pgn.key(bytes([key])) for key in range(16)} == set(range(16))
    assert len(pgn.group.signals) == 3


def test_units_that_vss_has_not_are_converted(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        f"""
BO_ {ID} M: 8 X
 SG_ Oil : 0|16@1+ (0.1,0) [0|10] "bar" X
 SG_ Cell : 16|16@1+ (1,0) [2000|4500] "mV" X
 SG_ Angle : 32|16@1+ (0.0009765625,-31.374) [-3|3] "rad" X
""",
    )
    assert len(dbc.prepare(path)) == 1
    pgn = groups(path)[65301]
    assert [(s.unit, s.minimum, s.maximum) for s in pgn.group.signals] == [
        ("kPa", 0, 1000),
        ("V", 2, 4.5),
        ("degrees", pytest.approx(-171.887, abs=1e-3), pytest.approx(171.887, abs=1e-3)),
    ]
    oil, cell, angle = pgn.read(bytes.fromhex("2D00740E7F81FFFF"))
    assert (oil.value, oil.stated, oil.spn.unit) == (4.5, 450.0, "bar")
    assert (cell.value, cell.stated) == (3700.0, 3.7)
    assert angle.stated == pytest.approx(57.297, abs=1e-3)


PDU1 = 0x80000000 | 0x0CEF2133


def test_priority_source_and_destination_do_not_count(tmp_path: Path) -> None:
    path = write(tmp_path, f'BO_ {PDU1} A: 8 X\n SG_ S : 0|8@1+ (1,0) [0|0] "" X\n')
    dbc.prepare(path)
    assert 0xEF00 in groups(path)


ONE = ' SG_ S : 0|8@1+ (1,0) [0|0] "" X\n'


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (f'BO_ {ID} M: 8 X\n SG_ S : 7|8@0+ (1,0) [0|0] "" X\n',
         r"message M signal S: Motorola byte order; J1939 is Intel \(@1\): correct it in the DBC"),
        (f'BO_ {ID} M: 8 X\n SG_ S : 0|8@1- (1,0) [0|0] "" X\n', "message M signal S: signed"),
        (f'BO_ {ID} M: 8 X\n SG_ S : 0|32@1- (1,0) [0|0] "" X\nSIG_VALTYPE_ {ID} S : 1;\n',
         "message M signal S: a float"),
        (f'BO_ {ID} M: 8 X\n SG_ S : 0|8@1+ (0,0) [0|0] "" X\n', "scale 0"),
        (f'BO_ {ID} M: 8 X\n SG_ S : 0|8@1+ (0.1234567890123,0) [0|0] "" X\n', "12 digits"),
        (f"BO_ {ID} A: 8 X\n{ONE}BO_ {ID + 1} B: 8 X\n{ONE}",
         "messages A and B are both PGN 65301, as source addresses do not count; remove one"),
        (f'BO_ {ID} M: 8 X\n SG_ a_b : 0|8@1+ (1,0) [0|0] "" X\n'
         ' SG_ aB : 8|8@1+ (1,0) [0|0] "" X\n', "are both Vehicle.Bus.Custom.M.AB; rename one"),
        (f"BO_ 291 Small: 8 X\n{ONE}", "no signal of a J1939 message is in it: message Small"),
        (f"BO_ {0x98FECA00} Faults: 8 X\n{ONE}", "PGN 65226 is not for parameters"),
        ("", "no signal of a J1939 message is in it: it has no messages"),
        (f"BO_ {ID} M 8 X\n", "cantools cannot read it"),
        (f'BO_ {ID} M: 1 X\n SG_ S : 0|16@1+ (1,0) [0|0] "" X\n', "cantools cannot read it: .*S"),
        (f'BO_ {ID} M: 8 X\n SG_ P M : 0|4@1+ (1,0) [0|0] "" X\n'
         ' SG_ Q m0M : 4|4@1+ (1,0) [0|0] "" X\n SG_ R m1 : 8|8@1+ (1,0) [0|0] "" X\n'
         f"SG_MUL_VAL_ {ID} Q P 0-0;\nSG_MUL_VAL_ {ID} R Q 1-1;\n",
         r"message M: more than one multiplexer \(P, Q\)"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(tmp_path: Path, body: str, says: str) -> None:
    path = write(tmp_path, body)
    with pytest.raises(ValueError, match=says) as raised:
        dbc.prepare(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)
    assert not Path(f"{path}.toml").exists()


def test_what_is_left_out_or_changed_is_said(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        f"""
BO_ {ID} M: 8 X
 SG_ S : 0|8@1+ (1,0) [0|0] "furlong" X
 SG_ Speed : 8|16@1+ (0.00390625,0) [0|0] "km/h" X
BO_ 291 Small: 8 X
{ONE}
BA_DEF_ SG_ "SPN" INT 0 524287;
BA_DEF_DEF_ "SPN" 0;
BA_ "SPN" SG_ {ID} Speed 84;
""",
    )
    first, *notes = dbc.prepare(path)
    assert "1 messages, 1 signals" in first
    assert notes == [
        "message M signal S: VSS has no unit 'furlong'; it is stated without one",
        "message M signal Speed: SPN 84 is Vehicle.Speed already; left out (an overlay can change "
        "it)",
        "message Small: 11-bit, no J1939; left out",
    ]


def test_it_is_compiled_once_and_again_when_it_changed(tmp_path: Path) -> None:
    path = write(tmp_path, BODY)
    with pytest.raises(ValueError, match=r"v\.dbc: was not compiled; run brain check"):
        groups(path)
    assert dbc.prepare(path)
    made = Path(f"{path}.toml").stat().st_mtime_ns
    assert dbc.prepare(path) == []
    assert Path(f"{path}.toml").stat().st_mtime_ns == made
    path.write_text(path.read_text() + "\n")
    with pytest.raises(
        ValueError, match=r"dbc: .*changed since .*v\.dbc\.toml was made of it; run"
    ):
        groups(path)
    assert dbc.prepare(path)
    assert 65301 in groups(path)
    # A vehicle may have the compiled form only.
    path.unlink()
    assert 65301 in groups(path)
    Path(f"{path}.toml").unlink()
    with pytest.raises(ValueError, match="no such file, and no compiled form of it"):
        groups(path)


def test_a_compiled_form_of_another_version_or_damaged_is_stale(tmp_path: Path) -> None:
    path = write(tmp_path, BODY)
    dbc.prepare(path)
    file = Path(f"{path}.toml")
    for text in (file.read_text().replace("form = 1", "form = 0"), "x = = 1"):
        file.write_text(text)
        with pytest.raises(ValueError, match="run brain check"):
            groups(path)
        assert dbc.prepare(path)
        assert 65301 in groups(path)


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may run as root, who may write anywhere: the place beside is a folder."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    path = write(tmp_path, BODY)
    Path(f"{path}.toml").mkdir()
    (said, *_) = dbc.prepare(path)
    (made,) = (tmp_path / "share" / "brain" / "dbc").iterdir()
    assert f"compiled to {made}" in said
    assert stat.S_ISREG(made.stat().st_mode)
    assert 65301 in groups(path)
    made.unlink()
    made.mkdir()
    with pytest.raises(ValueError, match=r"can be written to neither .* nor .*run brain check as"):
        dbc.prepare(path)


def test_without_cantools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *args: object, **kwargs: object) -> object:
        if name.startswith("cantools"):
            raise ImportError(name)
        return real(name, *args, **kwargs)  # type: ignore[arg-type]

    path = write(tmp_path, BODY)
    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ValueError, match=r"cantools is not installed.*computing-brain\[dbc\]"):
        dbc.prepare(path)


def test_a_missing_and_a_large_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"x\.dbc: No such file or directory; correct the path"):
        dbc.prepare(tmp_path / "x.dbc")
    with (tmp_path / "large.dbc").open("wb") as file:
        file.truncate(dbc.MAX_BYTES + 1)
    with pytest.raises(ValueError, match="more than"):
        dbc.prepare(tmp_path / "large.dbc")


@pytest.mark.parametrize(
    ("name", "want"),
    [("oil_level", "OilLevel"), ("EngineSpeed", "EngineSpeed"), ("2nd axle", "N2ndAxle"),
     ("é", "N"), ("", "N"), ("a.b-c", "ABC")],
)  # fmt: skip
def test_names(name: str, want: str) -> None:
    assert dbc.camel(name) == want


def test_places() -> None:
    beside, shared = compiled.places(Path("/etc/brain/v.dbc"))
    assert str(beside) == "/etc/brain/v.dbc.toml"
    assert shared.name.startswith("v-")

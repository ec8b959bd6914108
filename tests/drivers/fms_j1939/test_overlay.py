"""What a vehicle adds to the table or changes in it, and what is said where that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sdk import State
from drivers.fms_j1939 import overlay, table
from drivers.fms_j1939.configured import parameter_groups
from drivers.fms_j1939.driver_ids import Identity
from drivers.fms_j1939.pgn import Pgn

AMB, CCVS1 = 65269, 65265


def configured(folder: Path, text: str, *, electric: bool = False) -> dict[int, Pgn]:
    path = folder / "over.toml"
    path.write_text(text)
    identity = Identity()
    return dict(parameter_groups(electric=electric, identity=identity, overlay_file=str(path)))


def paths(pgn: Pgn) -> list[str]:
    return [signal.path for signal in pgn.group.signals]


def test_a_group_of_its_own(tmp_path: Path) -> None:
    pgn = configured(
        tmp_path,
        """
        [roof]
        pgn = 65301
        period_ms = 500
        silence_s = 7
        prefer = [33]
        switches = [[0, "Vehicle.Bus.Custom.Roof.HatchOpen", "1.1:2", "Roof hatch is open"]]
        numbers = [[520192, "Vehicle.Bus.Custom.Roof.Snow", "2.1:16", "1/4", "-2.5", "m", [1, 0],
                    [0, 4], "Snow on the roof"]]
        """,
    )[65301]
    assert (pgn.period_ms, pgn.silence_s, pgn.prefer, pgn.group.name) == (500, 7, (33,), "roof")
    hatch, snow = pgn.read(bytes.fromhex("FD1400FFFFFFFFFF"))
    assert (hatch.path, hatch.stated) == ("Vehicle.Bus.Custom.Roof.HatchOpen", True)
    assert (snow.spn.number, snow.stated, snow.plausible) == (520192, 2.5, True)
    sources = {signal.path: signal.source for signal in pgn.group.signals}
    assert sources["Vehicle.Bus.Custom.Roof.HatchOpen"] == "over.toml"
    assert sources["Vehicle.Bus.Custom.Roof.Snow"] == "SAE J1939-71 SPN 520192"


@pytest.mark.parametrize("head", ["[amb]", "[mine]\npgn = 65269", "[amb]\npgn = 65269"])
def test_a_row_replaces_the_parameter_of_its_number(tmp_path: Path, head: str) -> None:
    before = configured(tmp_path, "")[AMB]
    pgn = configured(
        tmp_path,
        f"""
        {head}
        stated = {{ 108 = ["10", "hPa"] }}
        numbers = [[108, "Vehicle.Exterior.AirPressure", "1.1:8", "1/2", 0, "kPa", [60, 5],
                    [300, 1200], "Barometric pressure"]]
        """,
    )[AMB]
    assert paths(pgn) == paths(before)
    payload = bytes.fromhex("50FFFFFFFFFFFFFF")
    assert [r.plausible for r in before.read(payload) if r.value] == [False]
    assert [(r.stated, r.plausible) for r in pgn.read(payload) if r.value] == [(400.0, True)]


def test_a_replaced_row_brings_its_own_exceptions(tmp_path: Path) -> None:
    pgn = configured(
        tmp_path,
        """
        [amb]
        numbers = [[108, "Vehicle.Exterior.AirPressure", "1.1:8", "5", 0, "hPa", [60, 5],
                    [300, 1200], "Barometric pressure"]]
        """,
    )[AMB]
    reading = pgn.read(bytes.fromhex("C5FFFFFFFFFFFFFF"))[0]
    assert (reading.value, reading.stated) == (985.0, 985.0)


def test_a_row_replaces_the_parameter_of_its_path(tmp_path: Path) -> None:
    pgn = configured(
        tmp_path,
        """
        [ccvs1]
        numbers = [[0, "Vehicle.Speed", "2.1:16", "1/128", 0, "km/h", [1, 0.5], [0, 160], "Speed"]]
        """,
    )[CCVS1]
    assert 84 not in {spn.number for spn in pgn.spns}
    assert [r.stated for r in pgn.read(bytes.fromhex("FF0032FFFFFFFFFF")) if r.stated] == [100.0]


def test_single_parameters_and_whole_groups_are_switched_off(tmp_path: Path) -> None:
    found = configured(
        tmp_path,
        """
        amb.off = [170, "Vehicle.Exterior.AirTemperature"]
        telltale.off = true
        serv.off = true
        """,
    )
    assert paths(found[AMB]) == ["Vehicle.Exterior.AirPressure"]
    assert 64893 not in found
    assert 65216 not in found


def test_a_parameter_moves_to_another_group_and_falls_back(tmp_path: Path) -> None:
    """Cruise control of a gateway of its own; the standard's is what is left without it."""
    found = configured(
        tmp_path,
        """
        [gateway]
        pgn = 65302
        fallback = [86]
        numbers = [[86, "Vehicle.ADAS.CruiseControl.SpeedSet", "1.1:8", "1", 0, "km/h", [],
                    [0, 160], "Set speed"]]
        """,
    )
    assert found[65302].spns[0].fallback
    assert not found[65302].group.signals
    assert "Vehicle.ADAS.CruiseControl.SpeedSet" in paths(found[CCVS1])


def test_scalars_of_a_fixed_layout_may_change_and_electric_by_group(tmp_path: Path) -> None:
    found = configured(tmp_path, "[td]\nprefer = [23]\nsilence_s = 60\n[vep4]\nelectric = false\n")
    assert (found[65254].prefer, found[65254].silence_s) == ((23,), 60)
    assert 64695 in found
    assert 61584 not in found


def test_a_selector(tmp_path: Path) -> None:
    pgn = configured(
        tmp_path,
        """
        [axle]
        pgn = 65303
        multiplexer = "1.1:4"
        numbers = [
            [0, "Vehicle.Bus.Custom.A", "2.1:8", "1", 0, "", [], [], "with 1"],
            [0, "Vehicle.Bus.Custom.B", "2.1:8", "2", 0, "", [], [], "with 2 or 3"],
            [0, "Vehicle.Bus.Custom.C", "3.1:8", "1", 0, "", [], [], "always"],
        ]
        [axle.when]
        "Vehicle.Bus.Custom.A" = [1]
        "Vehicle.Bus.Custom.B" = [2, 3]
        """,
    )[65303]

    def said(payload: str) -> dict[str | None, object]:
        return {r.path: r.stated for r in pgn.read(bytes.fromhex(payload))}

    assert said("F10507") == {"Vehicle.Bus.Custom.A": 5.0, "Vehicle.Bus.Custom.C": 7.0}
    assert said("F30507") == {"Vehicle.Bus.Custom.B": 10.0, "Vehicle.Bus.Custom.C": 7.0}
    assert said("F90507") == {"Vehicle.Bus.Custom.C": 7.0}
    assert said("F105") == {"Vehicle.Bus.Custom.A": 5.0}
    assert said("") == {}
    assert pgn.key(b"\xf3") == 3
    assert pgn.details(b"\xf3") == {"selector": 3}


def test_texts(tmp_path: Path) -> None:
    pgn = configured(
        tmp_path,
        """
        [x]
        pgn = 65304
        switches = [[0, "Vehicle.Bus.Custom.S", "1.1:2", "s"]]
        texts = [[0, "Vehicle.Bus.Custom.T", "2.1:32", "text", "t"]]
        """,
    )[65304]

    def said(payload: bytes) -> tuple[object, object, bool]:
        _, text = pgn.read(payload)
        return text.value, text.state, text.plausible

    assert said(b"\xfdABCDEFG") == ("ABCD", None, True)
    assert said(b"\xfdAB*DEFG") == ("AB", None, True)
    assert said(b"\xfdA\x01CDEFG") == ("A\x01CD", None, False)
    assert said(b"\xfd\xff\xff\xff\xff\xff\xff\xff") == (None, State.NOT_AVAILABLE, True)
    assert said(b"\xfd\x00BCDEFG") == (None, State.ERROR, True)
    assert said(b"\xfd") == (None, State.NOT_AVAILABLE, True)


NUMBER = '"Vehicle.Bus.Custom.X", "1.1:8", "1", 0, "", [], [], "x"'
X = "[x]\npgn = 65301\n"
ROW = f"{X}numbers = [[0, {NUMBER}]]"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = = 1", r"over\.toml: no TOML: .*line 1"),
        ("x = 1", r"x: expected a group \[x\], got 1"),
        (X + "numbres = []", r"\[x\] numbres: unknown key, did you mean numbers\?"),
        ("[x]\nswitches = []", r"\[x\] pgn: missing, and no group of the table is called that"),
        ("[x]\npgn = 262144", r"\[x\] pgn: expected the number of a parameter group.*got 262144"),
        ("[x]\npgn = 61185", r"\[x\] pgn: expected"),  # PDU1 with a destination
        ("[x]\npgn = 60416", r"\[x\] pgn: expected"),  # transport
        ("[x]\npgn = 65226", r"\[x\] pgn: expected"),  # DM1
        ("[x]\npgn = true", r"\[x\] pgn: expected"),
        (X + "period_ms = -1", r"\[x\] period_ms: expected a number from 0 to 36000"),
        (X + "prefer = 3", r"\[x\] prefer: expected a list of source addresses"),
        (X + "prefer = [300]", r"\[x\] prefer: expected a list of source addresses"),
        ("[x]\noff = true", r"\[x\] off: no such group to switch off"),
        ("[amb]\noff = [84]", r"\[amb\] off: 84 is not in this group"),
        (X + "numbers = [[1, 2]]", r"\[x\] numbers row 1: expected \[spn, signal, at"),
        (f"{X}numbers = [[0, {NUMBER}], [-1, {NUMBER}]]", r"row 2: spn: expected a"),
        (f"{X}numbers = [['84', {NUMBER}]]", r"row 1: spn: expected a number from"),
        (ROW.replace("Custom.X", "custom x"), "a path"),
        (ROW.replace("1.1:8", "1.9:8"), "byte.bit:bits"),
        (ROW.replace("1.1:8", "1.1:65"), "64 bits"),
        (ROW.replace("1.1:8", "1785.1:9"), "not within"),
        (ROW.replace('"1"', '"1e9999999"'), "a fraction"),
        (ROW.replace('"1"', '"1/0"'), "step: expected a whole number or a fraction"),
        (ROW.replace('"1"', '"-1"'), "above 0"),
        (ROW.replace("[], []", "[], [2, 1]"), "lowest"),
        (ROW.replace("[], []", "[0, 1], []"), "seconds"),
        (X + "texts = [[0, 'Vehicle.X', '1.1:8', 'utf', 'x']]", "form: expected text, vin or vers"),
        (X + "texts = [[0, 'Vehicle.X', '1.1:8', 'identifier', 'x']]", "form: expected text"),
        (
            X + "multiplexer = '1.1:4'\ntexts = [[0, 'Vehicle.X', '2.1:8', 'text', 'x']]",
            r"\[x\] texts: a group with a multiplexer takes none",
        ),
        (X + "multiplexer = '0.1:4'", r"\[x\] multiplexer: at: 0\.1:4 is not within"),
        (X + "stated = 3", r"\[x\] stated: expected a table by SPN or path"),
        ("[td]\nnumbers = [[0, 'Vehicle.X', '1.1:8', '1', 0, '', [], [], 'x']]", "layout is fixed"),
        (
            ROW.replace("Bus.Custom.X", "Speed"),
            r"\[x\] Vehicle\.Speed is declared in \[ccvs1\] already",
        ),
        (X + "[y]\npgn = 65301", r"65301 is \[x\] already"),
        (
            f"{X}numbers = [[0, {NUMBER}], [7, {NUMBER}]]",
            r"group x: a path is declared twice",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as raised:
        configured(tmp_path, text)
    assert str(raised.value).startswith("overlay: ")
    assert "over.toml" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_and_one_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"absent\.toml: no such file; correct the path"):
        overlay.read(tmp_path / "absent.toml")
    (tmp_path / "x.toml").write_bytes(b"# one\n\xff")
    with pytest.raises(ValueError, match=r"x\.toml:2: expected UTF-8"):
        overlay.read(tmp_path / "x.toml")
    with (tmp_path / "large.toml").open("wb") as file:
        file.truncate(overlay.MAX_BYTES + 1)
    with pytest.raises(ValueError, match=r"large\.toml: more than"):
        overlay.read(tmp_path / "large.toml")


def test_more_groups_than_the_kernel_filters(tmp_path: Path) -> None:
    groups = "".join(f"[g{n}]\npgn = {65280 + n}\n" for n in range(256))
    groups += "".join(f"[h{n}]\npgn = {0x1F000 + n}\n" for n in range(200))
    with pytest.raises(ValueError, match=r"456 groups, at most 400"):
        configured(tmp_path, groups)


JUNK = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.lists(st.integers(-1, 300), max_size=3) | st.dictionaries(st.text(max_size=2), st.none())
)  # fmt: skip
ROWS: dict[str, list[object]] = {
    "switches": [0, "Vehicle.Bus.Custom.X", "1.1:2", "x"],
    "codes": [0, "Vehicle.Bus.Custom.X", "1.1:4", [], "x"],
    "integers": [0, "Vehicle.Bus.Custom.X", "1.1:8", -125, [], [], "x"],
    "numbers": [0, "Vehicle.Bus.Custom.X", "1.1:16", "1/2", 0, "m", [1, 0], [0, 9], "x"],
    "texts": [0, "Vehicle.Bus.Custom.X", "1.1:32", "version", "x"],
}
SCALARS = ["pgn", "stated", "reserved", "special", "when", "off", "fallback", "prefer",
           "multiplexer", "period_ms", "silence_s", "numbers"]  # fmt: skip


@given(
    st.sampled_from(["amb", "x", "td"]),
    st.sampled_from(sorted(ROWS)),
    st.integers(0, 8),
    JUNK,
    st.dictionaries(st.sampled_from(SCALARS), JUNK, max_size=2),
)
def test_any_content_is_taken_or_refused(
    name: str, kind: str, cell: int, junk: object, more: dict[str, object]
) -> None:
    row = list(ROWS[kind])
    row[cell % len(row)] = junk
    section: dict[str, object] = {"pgn": 65301 if name == "x" else 65269, kind: [row], **more}
    try:
        overlay.check(name, section)
        found = table.parameter_groups(overlay.laid_over(table.sections(), {name: section}, "x"))
    except ValueError:
        return
    for one in found.values():
        one.read(b"\x7d" * 8)


def test_states_of_custom_signals_follow_the_length(tmp_path: Path) -> None:
    pgn = configured(
        tmp_path,
        """
        [x]
        pgn = 65301
        reserved = { "Vehicle.Bus.Custom.S" = [2] }
        special = { "Vehicle.Bus.Custom.G" = [251, 126, "park"] }
        switches = [[0, "Vehicle.Bus.Custom.S", "1.1:2", "s"]]
        integers = [[0, "Vehicle.Bus.Custom.G", "2.1:8", -125, [], [-125, 126], "g"]]
        """,
    )[65301]
    switch, gear = pgn.read(b"\xfe\xfb")
    assert (switch.state, gear.state, gear.stated) == (
        State.IMPLAUSIBLE, State.IMPLAUSIBLE, 126,
    )  # fmt: skip

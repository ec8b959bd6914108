"""One table over all rows of the signal table: payloads and what they say, worked out by hand."""

from __future__ import annotations

import pytest

from agent.sdk import State
from drivers.fms_j1939.pgn import Pgn
from drivers.fms_j1939.spn import Shape, Spn
from tests.drivers.fms_j1939.parameters import ALL, SPNS

NA = State.NOT_AVAILABLE
ERROR = State.ERROR
IMPLAUSIBLE = State.IMPLAUSIBLE

BY_NAME = {pgn.group.name: pgn for pgn in ALL.values()}

# Per parameter group: payload, then SPN=value in the order of the message; `!` beyond its limits.
# Worked out by hand from the layout in the standard, not from the table.
VECTORS = [
    ("eec1", "607D84481400F084", "899=0 512=0.0 513=7.0 190=649.0 1675=0"),
    ("eec1", "F1FAFEFFFAFFFFFF", "899=1 512=125.0 513=error 190=8031.875! 1675=not_available"),
    (
        "eec1",
        "FE00FB00FBFFFEFF",
        "899=error 512=-125.0 513=implausible 190=implausible 1675=error",
    ),
    ("eec2", "D1FA64FFFFFFFFFF", "558=True 559=False 91=100.0 92=100.0"),
    ("eec2", "F7017DFFFFFFFFFF", "558=not_available 559=True 91=0.4 92=125.0"),
    ("eec2", "F8FEFFFFFFFFFFFF", "558=False 559=error 91=error 92=not_available"),
    (
        "ccvs1",
        "F7003254FF50E0FF",
        "70=True 84=50.0 595=False 596=True 597=True 598=True 86=80.0 976=0",
    ),
    (
        "ccvs1",
        "FB01009BFFFFFFFF",
        "70=error 84=0.00390625 595=not_available 596=error 597=True 598=error "
        "86=not_available 976=not_available",
    ),
    (
        "ccvs1",
        "F3FFFA00FFFAFE00",
        "70=False 84=250.99609375! 595=False 596=False 597=False 598=False 86=250.0! 976=error",
    ),
    ("ccvs1", "FF00FB", "70=not_available 84=implausible"),
    ("lfe1", "370000000014FFFF", "183=2.75 184=0.0 185=10.0"),
    ("lfe1", "0100FFFAFFFFFFFF", "183=0.05 184=125.498046875 185=not_available"),
    ("lfe1", "00FEFEFEFFFAFFFF", "183=error 184=error 185=125.498046875!"),
    ("dd1", "FABBFFFF4023FEFF", "80=100.0 96=74.8 169=9.0 38=error"),
    ("dd1", "FFFFFFFFFFFF64FF", "80=not_available 96=not_available 169=not_available 38=40.0"),
    ("dd1", "0001FFFF0000FDFF", "80=0.0 96=0.4 169=-273.0! 38=implausible"),
    ("hours", "20110000FFFFFFFF", "247=219.2"),
    ("hours", "FFFFFFFAFFFFFFFF", "247=210554060.75!"),
    ("vdhr", "E8F4E40141B11600", "917=158910600.0 918=7435845.0"),
    ("vdhr", "FFFFFFFAFFFFFFFF", "917=21055406075.0! 918=not_available"),
    ("vdhr", "4C1D0000000000FB", "917=37500.0 918=implausible"),
    ("et1", "7D3F392BFFFFFFFF", "110=85.0 174=23.0 175=72.78125"),
    ("et1", "00FE0000FFFFFFFF", "110=-40.0 174=error 175=-273.0!"),
    ("amb", "C50024C923FFFFFF", "108=98.5 170=15.0 171=13.28125"),
    ("amb", "0000002022FFFFFF", "108=0.0! 170=-273.0! 171=0.0"),
    (
        "tco1",
        "4B11500000000032",
        "1612=3 1613=1 1611=True 1617=1 1615=True 1614=False 1618=0 1616=True "
        "1622=False 1621=False 1620=0 1619=0 1623=0.0 1624=50.0",
    ),
    (
        "tco1",
        "000080C000FE0000",
        "1612=0 1613=0 1611=False 1617=0 1615=False 1614=False 1618=0 1616=False "
        "1622=False 1621=False 1620=0 1619=not_available 1623=error 1624=0.0",
    ),
    ("tco1", "36", "1612=error 1613=error 1611=False"),
    ("dc1", "42FFFFFFFFFFFFFF", "1821=2 1820=False 3411=True"),
    ("dc1", "1FFFFFFFFFFFFFFF", "1821=not_available 1820=True 3411=False"),
    ("dc1", "", ""),
    ("lfc1", "0A000000E8030000", "182=5.0 250=500.0"),
    ("lfc1", "FFFFFFFAFFFFFFFF", "182=2105540607.5! 250=not_available"),
    ("lfc1", "000000FE000000FB", "182=error 250=implausible"),
    ("hrlfc", "D0070000A0860100", "5053=2.0 5054=100.0"),
    ("hrlfc", "FFFFFFFA01000000", "5053=4211081.215 5054=0.001"),
    ("vd", "08000000FFFFFFFF", "244=1.0 245=not_available"),
    ("vd", "01000000B7B00100", "244=0.125 245=13846.875"),
    ("vw", "10A861FFFFFFFFFF", "928=16 582=12500.0"),
    ("vw", "FFFFFAFFFFFFFFFF", "928=not_available 582=32127.5!"),
    ("vw", "FE00FEFFFFFFFFFF", "928=error 582=error"),
    ("cvw", "B004D007FFFFFFFF", "1585=12000.0 1760=20000.0"),
    ("cvw", "9A19FFFA", "1585=65540.0! 1760=642550.0!"),
    ("air1", "7D7E7B7AFFFFFDFF", "46=1000.0 1086=1008.0 1087=984.0 1088=976.0 1351=True"),
    ("air1", "BC00FAFBFFFFFEFF", "46=1504.0! 1086=0.0 1087=2000.0! 1088=implausible 1351=error"),
    (
        "td",
        "EF3B17040A297D7E",
        "959=59.75 960=59.0 961=23.0 963=4.0 962=2.5 964=2026.0 1601=0.0 1602=1.0",
    ),
    (
        "td",
        "FEFFFBFAFD01009B",
        "959=error 960=not_available 961=implausible 963=250.0 "
        "962=implausible 964=1986.0 1601=-125.0 1602=30.0",
    ),
    ("erc1", "F25FFFFFFFFF64FF", "900=2 520=-30.0 1716=40.0"),
    ("erc1", "FEFEFFFFFFFFFDFF", "900=error 520=error 1716=implausible"),
    ("ebc1", "5F6CFFFFFFFFFFFF", "563=True 1121=True 521=43.2"),
    ("ebc1", "8FFBFFFFFFFFFFFF", "563=False 1121=error 521=implausible"),
    ("ebc1", "EFFFFFFFFFFFFFFF", "563=implausible 1121=not_available 521=not_available"),
    ("etc2", "82FFFF81FFFFFFFF", "524=5 523=4"),
    ("etc2", "7DFFFF7CFFFFFFFF", "524=0 523=-1"),
    ("etc2", "FBFFFFFBFFFFFFFF", "524=implausible 523=implausible"),
    ("etc2", "FCFFFFFEFFFFFFFF", "524=implausible 523=error"),
    ("ptode", "FFFFFFFFFFFFFDFF", "3948=True"),
    ("ptode", "FFFFFFFFFFFFFCFF", "3948=False"),
    ("asc4", "E803D0070A000000", "1725=100.0 1726=200.0 1727=1.0 1728=0.0"),
    ("asc4", "803E813E00FE00FB", "1725=1600.0 1726=1600.1! 1727=error 1728=implausible"),
    ("at1t1i1", "FA3CFFFFFFFFFFFF", "1761=100.0 3031=20.0"),
    ("at1t1i1", "01BFFFFFFFFFFFFF", "1761=0.4 3031=151.0!"),
    ("vep1", "7DFF1C021B021A02", "114=0.0 167=27.0 168=26.95 158=26.9"),
    ("vep1", "00FF000000006400", "114=-125.0 167=0.0 168=0.0! 158=5.0"),
    ("as", "E803F1FFFFFFFFFF", "589=500.0 3353=True 3354=False"),
    ("as", "419CF6FFFFFFFFFF", "589=20000.5! 3353=error 3354=True"),
    ("serv", "027F7DFF80FF817D", "911=2 914=0.0 915=3.0 916=2.0"),
    ("serv", "FF00007FFA0000FB", "911=not_available 914=-160635.0 915=125.0 916=implausible"),
    ("fms", "F530342E30FFFFFF", "2804=True 2805=True 2806='04.0'!"),
    ("fms", "F430343030FFFFFF", "2804=False 2805=True 2806='04.00'"),
    ("fms", "FA00FFFFFFFFFFFF", "2804=implausible 2805=implausible 2806=error"),
    (
        "vdc2",
        "7F7DFF709D7F85AF",
        "1807=2.34375e-05 1808=0.999921875 1809=1.00001171875 1810=5.0",
    ),
    ("vdc2", "00FEFF00FB0000FB", "1807=error 1808=implausible 1809=-15.687! 1810=implausible"),
    ("vdc2", "FFFAFF0000FFFFFA", "1807=31.3750234375 1808=-3.92 1809=not_available 1810=12.5"),
    ("ld", "5F45FFFFFFFFFFFF", "2404=not_available 2350=True 2348=True 2370=False 2368=True"),
    ("ld", "9DB9FFFFFFFFFFFF", "2404=True 2350=True 2348=error 2370=not_available 2368=error"),
    ("vep4", "A00FFFFFFFFFFFFF", "5464=10.0"),
    ("vep4_obsolete", "409CFFFFFFFFFFFF", "5464=100.0"),
    ("hves1d1", "A00FD00700960100", "5917=200.0 5918=100.0 5919=1920.0! 5920=-1599.95"),
    ("hves1d1", "FFFFFFFF803E00FA", "5917=not_available 5918=not_available 5919=800.0 5920=1600.0"),
    ("hves1d2", "1027100E740EFFFF", "5921=25.0 5922=3.6 5923=3.7"),
    ("hves1d7", "FFFFFF400D03FFFF", "0=200.0"),
    ("hves_history", "F5FFFFFFFFFFFFFF", "0=98.0"),
]


@pytest.mark.parametrize(("name", "payload", "want"), VECTORS)
def test_parameter_groups(name: str, payload: str, want: str) -> None:
    pgn = BY_NAME[name]
    got = [
        f"{spn.number}={value!r}{'' if plausible else '!'}"
        if state is None
        else f"{spn.number}={state}"
        for spn, value, state, plausible, *_ in pgn.read(bytes.fromhex(payload))
        if spn.shape is not Shape.WHOLE
    ]
    assert " ".join(got) == want


@pytest.mark.parametrize("door", range(1, 11))
def test_doors_have_six_bits_each(door: int) -> None:
    # Lock, open, enable; the other doors say nothing.
    bits = 6 * (door - 1)
    for place, what in enumerate(("IsLocked", "IsOpen", "IsEnabled")):
        for raw, want in ((0, False), (1, True), (2, ERROR)):
            word = (1 << 64) - 1 ^ (3 ^ raw) << bits + 2 * place
            told = {
                (r.path, r.spn.number): r.value if r.state is None else r.state
                for r in BY_NAME["dc2"].read(word.to_bytes(8, "little"))
                if r.state is not NA
            }
            number = 3412 + 3 * (door - 1) + place
            assert told == {(f"Vehicle.Bus.Door{door}.{what}", number): want}


def test_every_number_has_a_vector() -> None:
    with_value = {
        (name, said.split("=")[0])
        for name, _, want in VECTORS
        for said in want.split()
        if said.split("=")[1] not in {state.value for state in State}
    }
    for pgn, spn in SPNS:
        if pgn.group.name != "dc2":
            assert (pgn.group.name, str(spn.number)) in with_value


# By length: first and last of each class, spelt out from the standard.
CLASSES = {
    1: [],
    2: [(2, ERROR), (3, NA)],
    3: [(6, ERROR), (7, NA)],
    4: [(14, ERROR), (15, NA)],
    5: [(30, ERROR), (31, NA)],
    8: [(0xFB, IMPLAUSIBLE), (0xFD, IMPLAUSIBLE), (0xFE, ERROR), (0xFF, NA)],
    16: [
        *((0xFB00, IMPLAUSIBLE), (0xFDFF, IMPLAUSIBLE), (0xFE00, ERROR), (0xFEFF, ERROR)),
        *((0xFF00, NA), (0xFFFF, NA)),
    ],
    24: [
        *((0xFB0000, IMPLAUSIBLE), (0xFDFFFF, IMPLAUSIBLE), (0xFE0000, ERROR)),
        *((0xFEFFFF, ERROR), (0xFF0000, NA), (0xFFFFFF, NA)),
    ],
    32: [
        *((0xFB000000, IMPLAUSIBLE), (0xFDFFFFFF, IMPLAUSIBLE), (0xFE000000, ERROR)),
        *((0xFEFFFFFF, ERROR), (0xFF000000, NA), (0xFFFFFFFF, NA)),
    ],
}
RESERVED_2 = {563, 2804, 2805}


@pytest.mark.parametrize("one", SPNS, ids=lambda one: f"{one[0].group.name}-{one[1].number}")
def test_every_number_has_its_classes(one: tuple[Pgn, Spn]) -> None:
    pgn, spn = one
    ones = (1 << 64) - 1
    for raw, want in CLASSES[spn.bits]:
        word = ones ^ ((1 << spn.bits) - 1 ^ raw) << spn.first_bit
        (got,) = (
            reading
            for reading in pgn.read(word.to_bytes(8, "little"))
            if reading.spn.number == spn.number and reading.spn.shape is spn.shape
        )
        assert got.value is None
        assert got.state is (IMPLAUSIBLE if raw == 2 and spn.number in RESERVED_2 else want)


def test_what_is_stated_in_a_unit_of_the_signal() -> None:
    def stated(name: str, payload: str) -> dict[int, object]:
        return {r.spn.number: r.stated for r in BY_NAME[name].read(bytes.fromhex(payload))}

    assert stated("amb", "C5FFFFFFFFFFFFFF")[108] == 985.0
    assert stated("vd", "FFFFFFFFB7B00100")[245] == 13846875.0
    # 1024 counts are a radian: 57.29577951308232 degrees.
    assert stated("vdc2", "7F81FFFFFFFFFFFF")[1807] == pytest.approx(57.29577951308232, abs=2e-3)
    assert stated("vdc2", "FFFFFF709DFFFFFF")[1808] == pytest.approx(57.2913, abs=1e-4)
    # Park is no value of the standard, and stated.
    assert stated("etc2", "FBFFFFFBFFFFFFFF") == {524: 126, 523: 126}
    assert stated("etc2", "FCFFFFFFFFFFFFFF") == {524: None, 523: None}


def test_a_small_message_gives_what_it_holds() -> None:
    for pgn in ALL.values():
        for length in range(8):
            whole = {r.spn.number for r in pgn.read(b"\x7d" * 8)}
            part = {r.spn.number for r in pgn.read(b"\x7d" * length)}
            assert part <= whole

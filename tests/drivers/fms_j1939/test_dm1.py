"""The codec of DM1: lamps, codes, and what is none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.fms_j1939.dm1 import LAMPS, OC_UNKNOWN, Dtc, decode
from tests.drivers.fms_j1939.recordings import FOLDER, lines, needs_recordings

LOW_OIL = Dtc(spn=100, fmi=1, oc=3, cm=0)


@pytest.mark.parametrize(
    ("payload", "want"),
    [
        ("43ff64000103ffff", [LOW_OIL]),
        ("43ff64000103", [LOW_OIL]),  # without fill
        ("43ff64000103ff", [LOW_OIL]),
        ("43ff64000103ffffff", [LOW_OIL]),
        ("43ff6400010364", [LOW_OIL]),  # three bytes of a code are none
        ("43ff640001036400", [LOW_OIL]),
        ("43ff64000183ffff", [LOW_OIL._replace(cm=1)]),
        ("43ff6400017fffff", [LOW_OIL._replace(oc=OC_UNKNOWN)]),
        ("43ffffffff7fffff", [Dtc(0x7FFFF, 31, 127, 0)]),
        ("43ff00006301ffff", [Dtc(3 << 16, 3, 1, 0)]),  # the top 3 bits of the SPN
        ("43ff0000e001ffff", [Dtc(7 << 16, 0, 1, 0)]),
        ("43ff00000001ffff", [Dtc(0, 0, 1, 0)]),
        ("43ff6400010300000000a4000204", [LOW_OIL, Dtc(164, 2, 4, 0)]),
        ("43ff64000103ffffffffa4000204", [LOW_OIL, Dtc(164, 2, 4, 0)]),
        ("43ff6400010364000103", [LOW_OIL, LOW_OIL]),
        ("00ff00000000ffff", []),
        ("ffffffffffffffff", []),
        ("f3ff00000000ffff", []),
        ("00ff", []),
        ("00ff000000", []),
    ],
)
def test_codes(payload: str, want: list[Dtc]) -> None:
    assert list(decode(bytes.fromhex(payload)).dtcs) == want


@pytest.mark.parametrize(
    ("head", "want"),
    [
        ("00ff", ["off", "off", "off", "off"]),
        ("ffff", [None, None, None, None]),
        ("43ff", [None, "off", "off", "on"]),
        ("01ff", ["on", "off", "off", "off"]),
        ("04ff", ["off", "on", "off", "off"]),
        ("10ff", ["off", "off", "on", "off"]),
        ("40ff", ["off", "off", "off", "on"]),
        ("5500", ["flashing"] * 4),  # slow
        ("5555", ["flashing"] * 4),  # fast
        ("55aa", ["on"] * 4),  # reserved
        ("553f", ["on", "on", "on", "flashing"]),
        ("55fc", ["flashing", "on", "on", "on"]),
        ("aaff", [None] * 4),  # reserved
        ("0000", ["off"] * 4),
    ],
)
def test_lamps(head: str, want: list[str | None]) -> None:
    lamps = decode(bytes.fromhex(head)).lamps
    assert list(lamps) == list(LAMPS)
    assert list(lamps.values()) == want


@pytest.mark.parametrize("payload", ["", "43"])
def test_too_short(payload: str) -> None:
    with pytest.raises(ValueError, match="2 bytes of lamps"):
        decode(bytes.fromhex(payload))


CODES = st.builds(
    Dtc, st.integers(0, 0x7FFFF), st.integers(0, 31), st.integers(0, 127), st.integers(0, 1)
).filter(lambda dtc: dtc not in (Dtc(0, 0, 0, 0), Dtc(0x7FFFF, 31, 127, 1)))


@settings(deadline=None)
@given(st.lists(CODES, max_size=445), st.binary(max_size=3))
def test_what_goes_in_comes_out(codes: list[Dtc], fill: bytes) -> None:
    payload = b"\x43\xff"
    for spn, fmi, oc, cm in codes:
        payload += (spn & 0xFFFF).to_bytes(2, "little")
        payload += bytes([spn >> 16 << 5 | fmi, cm << 7 | oc])
    assert list(decode(payload + fill).dtcs) == codes


@settings(deadline=None)
@given(st.binary(min_size=2, max_size=1785))
def test_any_bytes(payload: bytes) -> None:
    message = decode(payload)
    assert len(message.dtcs) <= (len(payload) - 2) // 4


@needs_recordings
@pytest.mark.parametrize("name", ["css-bus-2023", "css-truck-2021", "css-j1939tp-2021"])
def test_captures_have_the_codes_that_others_found(name: str) -> None:
    """All codes of all messages, by sender: exactly the reference's, as often."""
    assert FOLDER is not None
    expected = json.loads((FOLDER / f"expected-{name}.json").read_text())["dm1_reference"]
    want: dict[tuple[int, ...], int] = {}
    for one in expected:
        for dtc in one["dtcs"]:
            key = (one["sa"], dtc["spn"], dtc["fmi"], dtc["oc"], dtc["cm"])
            want[key] = want.get(key, 0) + one["count"]
    got: dict[tuple[int, ...], int] = {}
    for line in lines(name):
        if line["pgn"] == 65226:
            assert (line["value"], line["state"], line["unit"]) == (None, "value", "")
            assert line["signal"] == "Vehicle.Bus.Dtc"
            key = tuple(line[part] for part in ("sa", "spn", "fmi", "oc", "cm"))
            got[key] = got.get(key, 0) + 1
    assert got == want

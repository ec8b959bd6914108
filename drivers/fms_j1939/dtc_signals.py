"""The signals that trouble codes are emitted as: one record a change, and how things stand."""

from __future__ import annotations

from agent.sdk import EVERY, Datatype, Group, Signal
from drivers.fms_j1939.dm1 import LAMPS

DTC = "Vehicle.Bus.Dtc"
DTC_SA, DTC_SPN = "Vehicle.Bus.DtcDetail.Sa", "Vehicle.Bus.DtcDetail.Spn"
DTC_FMI, DTC_OC = "Vehicle.Bus.DtcDetail.Fmi", "Vehicle.Bus.DtcDetail.Oc"
DTC_CM = "Vehicle.Bus.DtcDetail.Cm"
COUNT = "Vehicle.Diagnostics.DTCCount"
LAMP_PATHS = {name: f"Vehicle.Bus.DtcLamp.{name.title()}" for name in LAMPS}

_SOURCE = "SAE J1939-73 DM1"


def _detail(path: str, datatype: Datatype, meaning: str, maximum: int, spn: str) -> Signal:
    return Signal(path, datatype, "", meaning, EVERY, 0, maximum, 1, f"{_SOURCE} {spn}")


DTC_GROUP = Group(
    "dtc",
    (
        Signal(
            DTC,
            Datatype.STRING,
            "",
            "What became of a trouble code: appeared, changed (count, method or lamps), gone",
            EVERY,
            source=_SOURCE,
        ),
        Signal(
            DTC_SA, Datatype.UINT8, "", "Source address of its sender", EVERY, 0, 255, 1, _SOURCE
        ),
        _detail(DTC_SPN, Datatype.UINT32, "What it is about", 524_287, "SPN 1214"),
        _detail(DTC_FMI, Datatype.UINT8, "What is wrong: failure mode", 31, "SPN 1215"),
        _detail(DTC_OC, Datatype.UINT8, "Occurrences that its sender counted", 126, "SPN 1216"),
        _detail(
            DTC_CM,
            Datatype.UINT8,
            "Conversion method of the SPN: 0 is method 4; 1 is one of 1 to 3, the SPN is uncertain",
            1,
            "SPN 1706",
        ),
    ),
)
"""One change of one trouble code; an EVENT."""

_LAMP_MEANINGS = (
    ("Protect lamp", "SPN 987"),
    ("Amber warning lamp", "SPN 624"),
    ("Red stop lamp", "SPN 623"),
    ("Malfunction indicator lamp", "SPN 1213"),
)

DTC_STATE = Group(
    "dtc_state",
    (
        Signal(
            COUNT,
            Datatype.UINT16,
            "",
            "Trouble codes that are active now, over all senders",
            steps_per_unit=1,
            source=_SOURCE,
        ),
        *(
            Signal(
                path,
                Datatype.STRING,
                "",
                f"{meaning}, the strongest of all senders: off, on, flashing",
                source=f"{_SOURCE} {spn}",
            )
            for path, (meaning, spn) in zip(LAMP_PATHS.values(), _LAMP_MEANINGS, strict=True)
        ),
    ),
)
"""How things stand; a STATUS."""

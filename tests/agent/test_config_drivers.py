"""A driver's section: every bad field is named, with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest

from agent.config_drivers import driver_config, driver_sections, validate_driver
from agent.config_files import Section, read
from agent.sdk import ConfigFile, DriverConfig, Meta


class Antenna(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    height_m: Annotated[float, Meta(description="Height above ground.", ge=0, le=5)]
    name: str = "roof"


class Receiver(DriverConfig):
    port: Annotated[str, Meta(description="Serial port of the receiver.", min_length=1)]
    baud: Annotated[int, Meta(description="Baud rate.", ge=1200, le=921_600)] = 9600
    mode: Annotated[Literal["fast", "slow"], Meta(description="Pace.")] = "slow"
    prefer: Annotated[dict[str, int], Meta(description="Sender of each PGN.")] = msgspec.field(
        default_factory=dict
    )
    limits: Annotated[list[Annotated[int, Meta(ge=0)]], Meta(description="Limits.")] = (
        msgspec.field(default_factory=list)
    )
    antenna: Antenna | None = None
    pin: Annotated[int, Meta(description="Of the SIM.", ge=0, le=9999)] | None = None

    def __post_init__(self) -> None:
        if self.mode == "fast" and self.baud < 4800:
            raise ValueError("fast needs baud 4800 or more")


def section(folder: Path, text: str) -> Section:
    path = folder / "brain.toml"
    path.write_text(f'# drivers\n[drivers.gnss]\ntype = "x"\n{text}')
    sections, problems = driver_sections(read(path))
    assert problems == []
    return sections["gnss"]


@pytest.mark.parametrize(
    ("text", "line", "key", "says", "suggestion"),
    [
        ("port = 'p'\nbaudrte = 1", 5, "baudrte", "unknown key", 'did you mean "baud"?'),
        ("port = 'p'\nzz = 1", 5, "zz", "unknown key", "known here: antenna, baud"),
        ("", 2, "port", "missing, expected text in quotes (serial port", 'add port = "..."'),
        ("port = ''", 4, "port", 'got "", expected text', ""),
        ("port = 1", 4, "port", "got 1, expected text in quotes", 'port = "1", in quotes'),
        (
            "port = 'p'\nbaud = '9600'",
            5,
            "baud",
            'got "9600", expected a whole number 1200..921600 (baud rate)',
            "baud = 9600, without quotes",
        ),
        (
            "port = 'p'\nbaud = 7",
            5,
            "baud",
            "got 7, expected a whole number",
            "baud = 9600 is the default",
        ),
        ("port = 'p'\nbaud = true", 5, "baud", "got true", ""),
        (
            "port = 'p'\nmode = 'fst'",
            5,
            "mode",
            'expected "fast" or "slow"',
            'did you mean "fast"?',
        ),
        (
            "port = 'p'\n[drivers.gnss.prefer]\na = 1\nb = 'x'",
            7,
            "prefer.b",
            'got "x", expected a whole number',
            "",
        ),
        (
            "port = 'p'\nlimits = [\n1,\n-2]",
            7,
            "limits[1]",
            "got -2, expected a whole number from 0",
            "",
        ),
        (
            "port = 'p'\nlimits = 3",
            5,
            "limits",
            "got 3, expected a list of: a whole number from 0",
            "",
        ),
        (
            "port = 'p'\nantenna = {height_m = 9}",
            5,
            "antenna.height_m",
            "got 9, expected a number 0..5",
            "",
        ),
        (
            "port = 'p'\nantenna = {hight_m = 9, height_m = 1}",
            5,
            "antenna.hight_m",
            "unknown key",
            'did you mean "height_m"?',
        ),
        ("port = 'p'\nantenna = {}", 5, "antenna.height_m", "missing", ""),
        (
            "port = 'p'\npin = 12345",
            5,
            "pin",
            "got a value that is not shown, expected a whole number 0..9999",
            "",
        ),
        ("port = 'p'\nmode = 'fast'\nbaud = 2400", 2, "", "fast needs baud 4800 or more", ""),
        ("port = 'p'\nbaud = 1979-05-27", 5, "baud", "got 1979-05-27, expected a whole number", ""),
    ],
)
def test_each_bad_field_is_named(
    tmp_path: Path, text: str, line: int, key: str, says: str, suggestion: str
) -> None:
    (problem,) = validate_driver(section(tmp_path, text), Receiver)
    full = f"drivers.gnss.{key}" if key else "drivers.gnss"
    assert (problem.line, problem.key) == (line, full)
    assert says in problem.text
    assert suggestion in problem.suggestion
    assert "12345" not in problem.text


def test_all_bad_fields_come_at_once(tmp_path: Path) -> None:
    text = "prot = 1\nbaud = 1\nmode = 2\n[drivers.gnss.prefer]\na = 'x'\nb = 'y'\n"
    found = validate_driver(section(tmp_path, text), Receiver)
    assert [(p.line, p.key.removeprefix("drivers.gnss.")) for p in found] == [
        (4, "prot"),
        (5, "baud"),
        (6, "mode"),
        (8, "prefer.a"),
        (9, "prefer.b"),
        (2, "port"),
    ]


def test_a_good_section_is_typed(tmp_path: Path) -> None:
    good = section(tmp_path, "port = 'p'\nantenna = {height_m = 3}\npin = 1\n")
    assert validate_driver(good, Receiver) == []
    assert driver_config(good, Receiver) == Receiver(port="p", antenna=Antenna(3.0), pin=1)


class Tabled(DriverConfig):
    table: Annotated[ConfigFile, Meta(description="A table.")] = ""
    other: Annotated[str, Meta(description="No file.")] = "x"

    def __post_init__(self) -> None:
        if self.table.endswith("bad.toml"):
            raise ValueError(f"table: {self.table}: it is bad")


def test_a_file_counts_from_the_configuration_that_states_it(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.toml").write_text('[drivers.gnss]\ntable = "t.toml"\n')
    config = driver_config(section(tmp_path, 'other = "o.toml"\n'), Tabled)
    assert config == Tabled(table=str(tmp_path / "conf.d" / "t.toml"), other="o.toml")
    (tmp_path / "conf.d" / "a.toml").write_text('[drivers.gnss]\ntable = "/etc/t.toml"\n')
    assert driver_config(section(tmp_path, ""), Tabled).table == "/etc/t.toml"
    (tmp_path / "conf.d" / "a.toml").write_text('[drivers.gnss]\ntable = ""\n')
    assert driver_config(section(tmp_path, ""), Tabled).table == ""


def test_what_a_section_says_of_a_field_stands_at_that_field(tmp_path: Path) -> None:
    (problem,) = validate_driver(section(tmp_path, 'table = "bad.toml"\n'), Tabled)
    assert (problem.line, problem.key) == (4, "drivers.gnss.table")
    assert problem.text == f"{tmp_path}/bad.toml: it is bad"
    (problem,) = validate_driver(section(tmp_path, "table = 3\n"), Tabled)
    assert problem.key == "drivers.gnss.table"

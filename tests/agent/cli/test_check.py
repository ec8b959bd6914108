"""`brain check`: each kind of fault with its place, key, expectation and cure; exit 0 or 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Brain

BAD = """\
[vehicle]
id = "bus-1"

[uplink]
ca_file = "/no/such/ca.pem"
window = "six"

[drivers.gnss]
type = "probe"
port = "/dev/gnss"
baudrte = 4800

[drivers.fms]
type = "prob"
channel = "/dev/can"

[drivers.tacho]
type = "broken"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "brain.toml"
    path.write_text(text)
    return path


def test_a_bad_file_is_told_in_full(process: Brain, plugins: Path, tmp_path: Path) -> None:
    config = write(tmp_path, BAD)
    done = process("check", "--config", config)
    assert done.code == 2
    assert done.out == ""
    found = [line.rstrip() for line in done.err.splitlines()]
    indent = " " * len(f"{config}:00  drivers.gnss.baudrte  ")
    assert found[:7] == [
        f"{config}:5   uplink.ca_file        /no/such/ca.pem: no such file, "
        "expected a PEM file that exists",
        f'{indent}fix: put the file there, or ca_file = "" for none',
        f'{config}:6   uplink.window         got "six", expected a whole number 1..20 '
        "(batches in flight)",
        f"{indent}fix: window = 6 is the default",
        f'{config}:11  drivers.gnss.baudrte  unknown key, did you mean "baud"?',
        f'{config}:14  drivers.fms.type      got "prob", expected a driver type that is '
        'installed, did you mean "probe"?',
        f"{config}:18  drivers.tacho.type    driver type 'broken' of package probe 1.2 cannot be "
        "imported: probe_broken:Probe: ModuleNotFoundError: No module named 'no_such_module'. "
        "Repair or reinstall the package probe",
    ]
    assert found[-1] == "5 problems, nothing was started."
    assert "Traceback" not in done.err


def test_a_good_file_is_one_line(process: Brain, plugins: Path, tmp_path: Path) -> None:
    good = BAD.replace("baudrte", "baud").replace('"six"', "6").partition("[drivers.fms]")[0]
    config = write(tmp_path, good.replace("/no/such/ca.pem", ""))
    done = process("check", "--config", config)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{config} is valid. Drivers: gnss.\n"


def test_json_has_a_stable_form(brain: Brain, plugins: Path, tmp_path: Path) -> None:
    config = write(tmp_path, BAD)
    done = brain("check", "--json", "-c", config)
    assert done.code == 2
    assert set(done.json) == {"valid", "files", "drivers", "problems", "notes"}
    assert done.json["valid"] is False
    assert done.json["drivers"] == {"gnss": "probe", "fms": "prob", "tacho": "broken"}
    assert done.json["problems"][2] == {
        "file": str(config),
        "line": 11,
        "key": "drivers.gnss.baudrte",
        "text": "unknown key",
        "suggestion": 'did you mean "baud"?',
    }


def test_a_device_that_is_absent_is_no_fault(brain: Brain, plugins: Path, tmp_path: Path) -> None:
    config = write(tmp_path, '[vehicle]\nid = "b"\n[drivers.g]\ntype = "probe"\nport = "/no"\n')
    assert brain("check", "-c", config).code == 0


def test_what_only_the_service_can_read_is_a_note(brain: Brain, tmp_path: Path) -> None:
    text = '[vehicle]\nid = "b"\n[uplink]\npassword = "credential:mqtt"\n'
    config = write(tmp_path, text)
    done = brain("check", "-c", config)
    assert done.code == 0
    assert done.err.startswith(f"note: {config}:4  uplink.password")


def test_a_missing_file_says_how_to_make_one(brain: Brain, tmp_path: Path) -> None:
    done = brain("check", "-c", tmp_path / "no.toml")
    assert done.code == 2
    assert "no.toml  no such file" in done.err
    assert "brain config sample" in done.err


@pytest.mark.parametrize("verb", [["run"], ["up"], ["driver", "gnss"]])
def test_what_starts_something_refuses_a_bad_file_in_the_same_words(
    process: Brain, plugins: Path, tmp_path: Path, verb: list[str]
) -> None:
    config = write(tmp_path, BAD)
    done = process(*verb, "--config", config, "--run-dir", tmp_path / "run")
    assert done.code == 2
    assert f"{config}:" in done.err
    assert done.err.splitlines()[-1].endswith("nothing was started.")
    assert not (tmp_path / "run").exists()


def test_a_driver_without_a_section(brain: Brain, plugins: Path, tmp_path: Path) -> None:
    config = write(tmp_path, '[vehicle]\nid = "b"\n[drivers.gnss]\ntype = "probe"\nport = "/no"\n')
    done = brain("driver", "gns", "--config", config)
    assert done.code == 2
    assert done.err == f'{config}: no section [drivers.gns], did you mean "gnss"?\n'


def test_an_order_that_names_nobody_is_a_note(
    process: Brain, plugins: Path, tmp_path: Path
) -> None:
    text = """\
[vehicle]
id = "bus-1"
[drivers.fms]
type = "probe"
port = "/dev/x"
[arbitration.speed]
order = ["fsm:Vehicle.Speed", "fms:Vehicle.Sped", "*:Vehicle.Tachograph.Speed", "fms:Vehicle.Speed"]
"""
    config = write(tmp_path, text)
    done = process("check", "--config", config)
    assert done.code == 0
    lines = [" ".join(line.split()) for line in done.err.splitlines()]
    key, place = "arbitration.speed.order", f"note: {config}:7"
    assert lines == [
        f'{place} {key}[0] no driver "fsm" is configured, this never counts, did you mean "fms"?',
        f"{place} {key}[1] fms states no Vehicle.Sped, this never counts, "
        'did you mean "Vehicle.Speed"?',
        f"{place} {key}[2] no configured driver states Vehicle.Tachograph.Speed, "
        'this never counts, did you mean "Vehicle.Speed"?',
    ]

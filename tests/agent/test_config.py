"""The coordinator's config: every kind of error with its line, merging, origins, secrets."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from agent.config import Config, ConfigInvalid, Loaded, Place, load, render
from agent.config_files import leaves
from agent.config_secrets import SecretUnavailable, reveal
from agent.config_text import locate

GOOD = '[vehicle]\nid = "bus-1"\n'


def write(folder: Path, text: str, name: str = "brain.toml") -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def problems(loaded: Loaded) -> list[tuple[str, int | None, str]]:
    return [(Path(p.file).name, p.line, p.key) for p in loaded.problems]


@pytest.mark.parametrize(
    ("text", "line", "key", "says", "suggestion"),
    [
        ("[uplink]\nprot = 1", 4, "uplink.prot", "unknown key", 'did you mean "port"?'),
        ("[uplink]\nzzz = 1", 4, "uplink.zzz", "unknown key", "known here: ack_timeout_s"),
        ("[uplnk]\nport = 1", 3, "uplnk", "unknown key", 'did you mean "uplink"?'),
        ("[driver.gnss]\ntype = 'x'", 3, "driver", "unknown key", 'did you mean "drivers"?'),
        ("uplink.Port = 1", 3, "vehicle.uplink", "unknown key", "known here: id, overlay"),
        (
            '[uplink]\nport = "1883"',
            4,
            "uplink.port",
            'got "1883", expected a whole number 1..65535',
            "port = 1883, without quotes",
        ),
        (
            "[uplink]\nport = 0",
            4,
            "uplink.port",
            "got 0, expected a whole number 1..65535 (TCP port",
            "port = 1883 is the default",
        ),
        ("[uplink]\nport = true", 4, "uplink.port", "got true, expected a whole number", ""),
        ("[uplink]\nport = 1.5", 4, "uplink.port", "got 1.5, expected a whole number", ""),
        ("[uplink]\nport = [\n1\n]", 4, "uplink.port", "got [1], expected", ""),
        (
            "[uplink]\nbroker = 5",
            4,
            "uplink.broker",
            "expected text in quotes",
            'broker = "5", in quotes',
        ),
        (
            '[uplink]\nbroker = "mqtt://x"',
            4,
            "uplink.broker",
            "without scheme and port",
            'broker = "127.0.0.1"',
        ),
        (
            '[uplink]\nenabled = "true"',
            4,
            "uplink.enabled",
            "expected true or false",
            "enabled = true, without quotes",
        ),
        ('[uplink]\ntls = "onn"', 4, "uplink.tls", 'expected "off" or "on"', 'did you mean "on"?'),
        ("[uplink]\nlinger_s = nan", 4, "uplink.linger_s", "got nan, expected a number 0..60", ""),
        ('[uplink]\nprefix = "a/#"', 4, "uplink.prefix", "without + and #", ""),
        (
            "[store]\nquota_mb = {alarm = 1, histry = 2}",
            4,
            "store.quota_mb.histry",
            "unknown key",
            'did you mean "history"?',
        ),
        (
            "[store.quota_mb]\n\nbulk = 0",
            5,
            "store.quota_mb.bulk",
            "got 0, expected a whole number 1..",
            "",
        ),
        ("[store]\nquota_mb = 3", 4, "store.quota_mb", "expected a table", ""),
        ("[store]\nalarm_commit_ms = 5", 4, "store.alarm_commit_ms", "20..50", ""),
        (
            "[agent]\nlog_level = 'INFO'",
            4,
            "agent.log_level",
            '"debug", "info"',
            'did you mean "info"?',
        ),
        (
            "[uplink]\nca_file = 'no.pem'",
            4,
            "uplink.ca_file",
            "no.pem: no such file",
            "put the file there",
        ),
        (
            "[uplink]\ncert_file = '/dev/null'",
            4,
            "uplink.cert_file",
            "expected key_file too",
            "add key_file",
        ),
        (
            "[uplink]\npassword = 'hunter2'",
            4,
            "uplink.password",
            "a value that is not shown, expected text in quotes (password by reference",
            "",
        ),
        ("[uplink]\npassword = 'file:no'", 4, "uplink.password", "no: no such file", ""),
        (
            "[uplink]\npassword = 'env:NOT_SET_X'",
            4,
            "uplink.password",
            "environment variable NOT_SET_X",
            "",
        ),
        (
            "[drivers.gnss]\nport = 1",
            3,
            "drivers.gnss.type",
            "missing",
            "brain config sample --list",
        ),
        ("[drivers.gnss]\ntype = 1", 4, "drivers.gnss.type", "expected the type", ""),
        (
            "[arbitration.spede]\nfresh_s = 1",
            3,
            "arbitration.spede",
            "unknown key",
            'did you mean "speed"?',
        ),
        (
            "[arbitration.speed]\norder = ['fms Vehicle.Speed']",
            4,
            "arbitration.speed.order[0]",
            '"NAME:PATH", NAME of a driver or * for any',
            "",
        ),
        ("[arbitration.odometer]\norder = []", 4, "arbitration.odometer.order", "a list", ""),
        (
            "[arbitration.heading]\nstanding_kmh = 9",
            4,
            "arbitration.heading.standing_kmh",
            "standing_kmh = 9 is above moving_kmh = 5, expected at most that",
            "lower standing_kmh",
        ),
        (
            "[arbitration.heading]\nmoving_kmh = 1",
            4,
            "arbitration.heading.moving_kmh",
            "standing_kmh = 3 is above moving_kmh = 1",
            "",
        ),
        ("[drivers.'a b']\ntype = 'x'", 3, 'drivers."a b"', "letters, digits", ""),
        ("[drivers]\ngnss = 1", 4, "drivers.gnss", "expected a table [drivers.gnss]", ""),
        ("overlay = 'no'", 3, "vehicle.overlay", 'no vehicle overlay "no" is packaged', ""),
        (
            "overlay = './no.toml'",
            3,
            "vehicle.overlay",
            "no.toml: no such file",
            "correct the path",
        ),
    ],
)
def test_each_error_has_its_line_its_key_and_a_cure(
    tmp_path: Path, text: str, line: int, key: str, says: str, suggestion: str
) -> None:
    loaded = load(write(tmp_path, GOOD + text), environ={})
    assert problems(loaded) == [("brain.toml", line, key)]
    (problem,) = loaded.problems
    assert says in problem.text
    assert suggestion in problem.suggestion
    assert "hunter2" not in "".join(render(loaded.problems))
    assert loaded.config is None
    with pytest.raises(ConfigInvalid):
        loaded.require()


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("", None, "vehicle.id"),
        ("[vehicle]\n", 1, "vehicle.id"),
        ('schema = 2\n[vehicle]\nid = "x"', 1, "schema"),
        ("vehicle = 3", 1, "vehicle"),
        ('drivers = 3\n[vehicle]\nid = "x"', 1, "drivers"),
        ('[vehicle]\nid = "bus 1"', 2, "vehicle.id"),
        ('[vehicle]\nid = "a\nb"', 2, ""),
    ],
)
def test_errors_of_the_document(tmp_path: Path, text: str, line: int | None, key: str) -> None:
    loaded = load(write(tmp_path, text), environ={})
    assert problems(loaded) == [("brain.toml", line, key)]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (problem,) = load(tmp_path / "none.toml").problems
    assert (problem.line, problem.text) == (None, "no such file")
    assert "brain config sample" in problem.suggestion
    (problem,) = load(tmp_path).problems
    assert "cannot be read" in problem.text
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'[vehicle]\nid = "b\xfcs"\n')
    (problem,) = load(latin).problems
    assert (problem.line, problem.text) == (2, "expected UTF-8 text")
    (tmp_path / "bom.toml").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load(tmp_path / "bom.toml").problems == []


def test_all_problems_of_all_files_come_at_once_in_the_order_of_files(tmp_path: Path) -> None:
    main = write(tmp_path, "[vehicle]\n\n[uplink]\nprot = 1\nwindow = 99\n")
    write(tmp_path, "[store]\ncommit = 1\n", "conf.d/20-store.toml")
    write(tmp_path, "= broken", "conf.d/10-broken.toml")
    assert problems(load(main, environ={})) == [
        ("10-broken.toml", 1, ""),
        ("brain.toml", 4, "uplink.prot"),
        ("brain.toml", 5, "uplink.window"),
        ("20-store.toml", 2, "store.commit"),
        # No vehicle.id: what the broken file says is unknown, not missing.
    ]


def test_a_report_reads_as_promised(tmp_path: Path) -> None:
    main = write(tmp_path, GOOD + "[uplink]\nca_file = '/no/ca.pem'\n[store]\nquta_mb = 1\n")
    indent = len(f"{main}:4  uplink.ca_file  ")
    assert render(load(main).problems) == [
        f"{main}:4  uplink.ca_file  /no/ca.pem: no such file, expected a PEM file that exists",
        f'{"":{indent}}fix: put the file there, or ca_file = "" for none',
        f'{main}:6  store.quta_mb   unknown key, did you mean "quota_mb"?',
    ]


def test_drop_ins_lie_over_the_main_file_and_the_overlay_under_it(tmp_path: Path) -> None:
    main = write(tmp_path, GOOD + 'overlay = "./m.toml"\n[uplink]\nport = 1\nwindow = 2\n')
    overlay = write(tmp_path, "[uplink]\nport = 9\nkeepalive_s = 9\nlinger_s = 9\n", "m.toml")
    first = write(tmp_path, "[uplink]\nwindow = 3\nlinger_s = 4\n", "conf.d/1.toml")
    last = write(tmp_path, "uplink.window = 4\n", "conf.d/2.toml")
    write(tmp_path, "uplink.window = 5\n", "conf.d/ignored.txt")
    loaded = load(main)
    uplink = loaded.require().uplink
    assert (uplink.port, uplink.window, uplink.keepalive_s, uplink.linger_s) == (1, 4, 9, 4.0)
    assert loaded.origin(("uplink", "port")) == Place(main, 5)
    assert loaded.origin(("uplink", "window")) == Place(last, 1)
    assert loaded.origin(("uplink", "linger_s")) == Place(first, 3)
    assert loaded.origin(("uplink", "keepalive_s")) == Place(overlay, 3)
    assert loaded.origin(("uplink", "broker")) is None
    assert set(loaded.tree.files) == {main, overlay, first, last}


def test_a_table_replaced_by_a_value_leaves_no_places_behind(tmp_path: Path) -> None:
    main = write(tmp_path, GOOD + "[drivers.a]\ntype = 'x'\nt = {u = 1}\n")
    write(tmp_path, "[drivers.a]\nt = 2\n", "conf.d/1.toml")
    loaded = load(main)
    assert loaded.sections["a"].values == {"type": "x", "t": 2}
    assert loaded.origin(("drivers", "a", "t", "u")) is None


def test_an_overlay_names_no_overlay(tmp_path: Path) -> None:
    main = write(tmp_path, GOOD + 'overlay = "./m.toml"\n')
    write(tmp_path, "\n[vehicle]\noverlay = 'x'\n", "m.toml")
    assert problems(load(main)) == [("m.toml", 3, "vehicle.overlay")]


def test_relative_paths_start_at_the_file_that_states_them(tmp_path: Path) -> None:
    main = write(tmp_path, GOOD + "[agent]\nstate_dir = 'state'\n")
    write(tmp_path, "[uplink]\nca_file = 'ca.pem'\npassword = 'file:pw'\n", "conf.d/1.toml")
    write(tmp_path, "x", "conf.d/ca.pem")
    write(tmp_path, "secret\n", "conf.d/pw")
    config = load(main).require()
    assert config.agent.state_dir == str(tmp_path / "state")
    assert config.uplink.ca_file == str(tmp_path / "conf.d/ca.pem")
    assert reveal(config.uplink.password, {}) == "secret"
    assert "secret" not in repr(config)


def test_secrets_come_by_reference(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("from systemd\n")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "PW": "from env"}
    assert reveal("credential:pw", environ) == "from systemd"
    assert reveal("env:PW", environ) == "from env"
    assert reveal("plain", environ) == "plain"
    assert reveal("", environ) == ""
    (tmp_path / "empty").write_text("\n")
    for reference in ("credential:no", "env:NO", f"file:{tmp_path}", f"file:{tmp_path}/empty"):
        with pytest.raises(SecretUnavailable):
            reveal(reference, environ)
    with pytest.raises(SecretUnavailable, match="LoadCredential=pw"):
        reveal("credential:pw", {})


def test_a_credential_outside_its_unit_is_a_note_and_no_problem(tmp_path: Path) -> None:
    main = write(tmp_path, GOOD + "[uplink]\npassword = 'credential:pw'\n")
    loaded = load(main, environ={})
    assert loaded.problems == []
    assert [note.line for note in loaded.notes] == [4]
    assert [p.line for p in load(main, environ={"CREDENTIALS_DIRECTORY": "/no"}).problems] == [4]


def test_contents_stand_for_files(tmp_path: Path) -> None:
    main = write(tmp_path, GOOD)
    assert load(main, contents={main: GOOD + "[uplink]\nport = 7\n"}).require().uplink.port == 7
    assert load(main).require().uplink.port == 1883


def keys(
    model: type[BaseModel], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        at = (*path, field.alias or name)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from keys(kind, at)
        else:
            yield at, field


def uncommented(text: str) -> str:
    """The sample with its commented defaults in force."""
    rows = [
        row.removeprefix("# ") if row.startswith("# ") and " = " in row.partition('"')[0] else row
        for row in text.splitlines()
    ]
    return "\n".join(rows)


def test_the_sample_states_every_key_with_its_default(tmp_path: Path) -> None:
    text = package_files("config").joinpath("brain.toml").read_text()
    above = text.partition("# Two lines declare a driver")[0]
    stated: Mapping[str, Any] = tomllib.loads(uncommented(above))
    known = {path for path, _ in keys(Config)} - {("drivers",)}
    assert {path for path, _ in leaves(stated)} == known
    sample = Config.model_validate(stated)
    assert sample == Config.model_validate({"vehicle": {"id": "bus-4021"}})
    main = write(tmp_path, text)
    assert load(main).problems == []
    assert load(write(tmp_path, uncommented(above))).problems == []
    assert len(locate(text)) < len(locate(uncommented(above)))


def test_every_key_is_described_and_bounded() -> None:
    for path, field in keys(Config):
        assert field.description, path
        if field.annotation in (int, float):
            bounds = {type(item).__name__ for item in field.metadata}
            assert {"Ge", "Le"} <= bounds, path


def test_a_file_of_another_user_is_named(tmp_path: Path) -> None:
    if os.getuid() == 0:
        pytest.skip("root may read everything")
    main = write(tmp_path, GOOD)
    main.chmod(0)
    (problem,) = load(main).problems
    assert problem.suggestion == "check its owner and mode"

"""`brain config`: what is in effect, where it came from, changes that keep comments."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import pytest

from .conftest import Brain

TEXT = """\
# Our bus.
[vehicle]
id = "bus-1"  # on the door

[uplink]
# port = 1883
broker = "mqtt.example"   # ours
password = "env:MQTT_PASSWORD"

[drivers.gnss]
type = "probe"
port = "/dev/gnss"
password = "hunter2"
"""


@pytest.fixture
def config(tmp_path: Path, plugins: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MQTT_PASSWORD", "opensesame")
    path = tmp_path / "brain.toml"
    path.write_text(TEXT)
    return path


def test_show_says_where_each_value_came_from_and_no_secret(brain: Brain, config: Path) -> None:
    done = brain("config", "show", "--origin", "-c", config)
    assert done.code == 0
    rows = {
        line.partition("  #")[0].strip(): line.partition("# ")[2] for line in done.out.split("\n")
    }
    assert rows['id = "bus-1"'] == f"{config}:3"
    assert rows['broker = "mqtt.example"'] == f"{config}:7"
    assert rows["port = 1883"] == "default"
    assert rows["baud = 9600"] == "default"
    assert rows['port = "/dev/gnss"'] == f"{config}:12"
    assert rows['password = "***"'] == f"{config}:13"
    assert rows['password = "env:MQTT_PASSWORD"'] == f"{config}:8"
    shown = brain("config", "show", "-c", config).out
    as_json = brain("config", "show", "--json", "-c", config)
    assert tomllib.loads(shown) == as_json.json
    assert as_json.json["drivers"]["gnss"]["baud"] == 9600
    with_origin = brain("config", "show", "--json", "--origin", "-c", config).json
    assert with_origin["vehicle.id"] == {
        "value": "bus-1",
        "origin": {"file": str(config), "line": 3},
    }
    assert with_origin["uplink.port"] == {"value": 1883, "origin": "default"}
    for text in (done.out, shown, as_json.out):
        assert "hunter2" not in text
        assert "opensesame" not in text


def test_get(brain: Brain, config: Path) -> None:
    assert brain("config", "get", "uplink.broker", "-c", config).out == "mqtt.example\n"
    assert brain("config", "get", "uplink.port", "-c", config).out == "1883\n"
    assert brain("config", "get", "uplink.enabled", "--json", "-c", config).json is True
    assert brain("config", "get", "store.quota_mb", "--json", "-c", config).json["alarm"] == 32
    assert "[store.quota_mb]" in brain("config", "get", "store.quota_mb", "-c", config).out
    done = brain("config", "get", "uplink.prot", "-c", config)
    assert done.code == 2
    assert 'did you mean "uplink.port"?' in done.err


@pytest.mark.parametrize(
    ("key", "value", "changed"),
    [
        ("vehicle.id", "bus-2", ('id = "bus-1"  # on', 'id = "bus-2"  # on')),
        ("vehicle.id", "4021", ('"bus-1"', '"4021"')),
        ("uplink.port", "8883", ("# port = 1883\n", "# port = 1883\nport = 8883\n")),
        ("uplink.broker", "b.example", ('"mqtt.example"   # ours', '"b.example"   # ours')),
        ("drivers.gnss.baud", "4800", ('"hunter2"\n', '"hunter2"\nbaud = 4800\n')),
    ],
)
def test_set_changes_one_place_and_keeps_the_rest(
    brain: Brain, config: Path, key: str, value: str, changed: tuple[str, str]
) -> None:
    config.chmod(0o640)
    done = brain("config", "set", key, value, "-c", config)
    assert (done.code, done.err) == (0, "")
    assert config.read_text() == TEXT.replace(*changed)
    assert config.stat().st_mode & 0o777 == 0o640
    assert os.listdir(config.parent) == ["brain.toml"]


def test_set_makes_the_table_that_is_not_there(brain: Brain, config: Path) -> None:
    assert brain("config", "set", "store.quota_mb.history", "512", "-c", config).code == 0
    assert brain("config", "get", "store.quota_mb.history", "-c", config).out == "512\n"
    assert config.read_text().startswith(TEXT)


def test_set_and_unset_come_back_to_the_same_values(brain: Brain, config: Path) -> None:
    before = brain("config", "show", "-c", config).out
    assert brain("config", "set", "uplink.window", "3", "-c", config).code == 0
    assert brain("config", "unset", "uplink.window", "-c", config).code == 0
    assert brain("config", "show", "-c", config).out == before
    done = brain("config", "unset", "uplink.window", "-c", config)
    assert done.code == 2
    assert "does not set uplink.window" in done.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["set", "uplink.port", "99999"], "got 99999, expected a whole number 1..65535"),
        (["set", "uplink.prt", "1"], 'did you mean "port"?'),
        (["set", "uplink.ca_file", "/no.pem"], "no such file"),
        (["set", "uplink.password", "letmein"], "password by reference"),
        (["set", "drivers.gnss.baud", "7"], "expected a whole number 1200..921600"),
        (["set", "drivers.gnss.type", "prob"], 'did you mean "probe"?'),
        (["set", "vehicle.id.x", "1"], "id is a value, not a table"),
        (["set", "= 1", "1"], "is no key"),
        (["unset", "vehicle.id"], "missing"),
        (["unset", "drivers.gnss.port"], "missing"),
    ],
)
def test_a_change_that_would_not_be_valid_is_refused(
    brain: Brain, config: Path, words: list[str], says: str
) -> None:
    done = brain("config", *words, "-c", config)
    assert done.code == 2
    assert says in done.err
    assert "letmein" not in done.err
    assert config.read_text() == TEXT


def test_a_bad_file_can_be_mended_step_by_step(brain: Brain, config: Path) -> None:
    config.write_text(TEXT + "baud = 1\n[store]\ncommit_interval_s = 1000\n")
    assert brain("config", "set", "drivers.gnss.baud", "4800", "-c", config).code == 0
    assert brain("check", "-c", config).code == 2
    assert brain("config", "unset", "store.commit_interval_s", "-c", config).code == 0
    assert brain("check", "-c", config).code == 0


def test_set_changes_the_drop_in_that_states_the_key(brain: Brain, config: Path) -> None:
    drop_in = config.parent / "conf.d" / "50-local.toml"
    drop_in.parent.mkdir()
    drop_in.write_text("[uplink]\nport = 1\n")
    assert brain("config", "set", "uplink.port", "2", "-c", config).code == 0
    assert drop_in.read_text() == "[uplink]\nport = 2\n"
    assert config.read_text() == TEXT


def test_set_writes_through_a_link(brain: Brain, config: Path) -> None:
    link = config.parent / "link.toml"
    link.symlink_to(config)
    assert brain("config", "set", "vehicle.id", "bus-9", "-c", link).code == 0
    assert link.is_symlink()
    assert "bus-9" in config.read_text()


def test_set_without_a_file_says_how_to_make_one(brain: Brain, tmp_path: Path) -> None:
    done = brain("config", "set", "vehicle.id", "x", "-c", tmp_path / "no.toml")
    assert done.code == 2
    assert "brain config sample >" in done.err


def test_the_sample_is_valid(process: Brain, tmp_path: Path) -> None:
    (tmp_path / "brain.toml").write_text(process("config", "sample").out)
    assert process("check", "-c", "brain.toml").code == 0


def test_the_sample_of_a_driver_lists_its_keys(brain: Brain, plugins: Path) -> None:
    assert "probe\n" in brain("config", "sample", "--list").out
    out = brain("config", "sample", "probe").out
    assert tomllib.loads(out) == {"drivers": {"probe": {"type": "probe", "port": "..."}}}
    assert "# a whole number 1200..921600 (baud rate)\n# baud = 9600\n" in out
    done = brain("config", "sample", "prob")
    assert (done.code, done.err) == (2, 'unknown driver type "prob", did you mean "probe"?\n')
    assert brain("config", "sample", "broken").code == 2


def test_the_schema_describes_drivers_too(brain: Brain, plugins: Path) -> None:
    done = brain("config", "schema")
    schema = json.loads(done.out)
    probe = schema["$defs"]["driver.probe"]
    assert probe["properties"]["type"] == {"const": "probe"}
    assert probe["required"] == ["type", "port"]
    assert probe["properties"]["baud"]["maximum"] == 921600
    references = schema["properties"]["drivers"]["additionalProperties"]["oneOf"]
    assert {"$ref": "#/$defs/driver.probe"} in references
    assert schema["required"] == ["vehicle"]
    assert "no_such_module" in done.err

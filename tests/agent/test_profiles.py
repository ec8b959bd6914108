"""Kinds of brokers: `brain check` names what they would not take, and all that it passes works."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.config import Config, load
from agent.profiles import MAX_SLASHES, PROFILES, faults, slashes
from agent.uplink.endpoint import Endpoint
from agent.uplink.settings import UplinkConfig
from agent.uplink.topics import Topics

VEHICLE = "bus-4021"
AWS = 'profile = "aws_iot"\ntls = "on"\nusername = "box"\n'


def check(
    directory: Path, uplink: str, vehicle: str = VEHICLE
) -> list[tuple[str, int | None, str]]:
    path = directory / "brain.toml"
    path.write_text(f'[vehicle]\nid = "{vehicle}"\n[uplink]\n{uplink}')
    return [(p.key, p.line, f"{p.text}; {p.suggestion}") for p in load(path).problems]


@pytest.mark.parametrize(
    ("uplink", "key", "says"),
    [
        ('profile = "azure"', "profile", '"mosquitto", "aws_iot" or "emqx"'),
        ('profile = "aws_iot"\nusername = "box"', "tls", 'got "off"'),
        ('profile = "aws_iot"\ntls = "on"', "cert_file", "knows a vehicle by its certificate"),
        (AWS + "keepalive_s = 29", "keepalive_s", "takes 30..1200; keepalive_s = 30..1200"),
        (AWS + "keepalive_s = 1201", "keepalive_s", "got 1201"),
        (AWS + "max_payload_kib = 129", "max_payload_kib", "takes at most 128"),
        (AWS + "messages_per_s = 101", "messages_per_s", "takes at most 100"),
        (AWS + "kib_per_s = 513", "kib_per_s", "takes at most 512"),
        (AWS + 'prefix = "$aws/things"', "prefix", 'only "$aws/rules/NAME" is possible'),
        (AWS + 'prefix = "$aws/rules/a-b"', "prefix", "NAME of letters, digits and _"),
        ('prefix = "$aws/rules/up"', "prefix", "belong to the broker"),
        ('profile = "emqx"\nprefix = "$SYS"', "prefix", "belong to the broker"),
        ('prefix = "a/b/c"', "prefix", "has 8 slashes, 7 are possible"),
        ('prefix = "a\\tb"', "prefix", "without + and #"),
        (f'prefix = "{"x" * 120}"', "prefix", "bytes, 256 are possible"),
    ],
)
def test_what_the_broker_would_not_take(tmp_path: Path, uplink: str, key: str, says: str) -> None:
    found = check(tmp_path, uplink, "v" * 64)
    assert [one for one, _, _ in found] == [f"uplink.{key}"], found
    assert says in found[0][2]


@pytest.mark.parametrize(
    "uplink",
    [
        "",
        'prefix = "fleet/brain"',
        'profile = "emqx"\nmax_payload_kib = 240',
        AWS,
        AWS + 'prefix = "$aws/rules/up_1"\nport = 443',
        AWS + 'prefix = "$aws/rules/up_1/a"',
        AWS + "keepalive_s = 1200\nmax_payload_kib = 128\nmessages_per_s = 100\nkib_per_s = 512",
    ],
)
def test_what_it_takes(tmp_path: Path, uplink: str) -> None:
    assert check(tmp_path, uplink) == []


@given(
    rule=st.sampled_from(["", "$aws/rules/up/", "$aws/rules/up-/", "$aws/", "$"]),
    levels=st.lists(
        st.text(st.characters(exclude_characters="+#/", codec="utf-8"), max_size=40), max_size=3
    ),
    vehicle=st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    profile=st.sampled_from(sorted(PROFILES)),
)
def test_what_check_passes_makes_topics(
    rule: str, levels: list[str], vehicle: str, profile: str
) -> None:
    prefix = (rule + "/".join(levels)).rstrip("/")
    uplink = {"prefix": prefix, "profile": profile, "tls": "on", "username": "x"}
    try:
        config = Config.model_validate({"vehicle": {"id": vehicle}, "uplink": uplink})
    except ValidationError:
        return
    if list(faults(config.uplink.model_dump(), vehicle)):
        return
    assert slashes(Topics(prefix, vehicle).chunk("0" * 64, 7)) <= MAX_SLASHES


@pytest.mark.parametrize(
    ("profile", "client_id"), [("mosquitto", "brain-v"), ("emqx", "brain-v"), ("aws_iot", "v")]
)
def test_the_client_id(profile: str, client_id: str) -> None:
    config = UplinkConfig(profile=profile)  # type: ignore[arg-type]
    assert Endpoint.of(config, Topics("brain", "v"), "e", "b").client_id == client_id

"""Section [commands]: keys inline and in files, roles, rotation, and what contradicts itself."""

from __future__ import annotations

import base64
from pathlib import Path
from unittest.mock import Mock

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.commanding import trusted
from agent.commands.operations import operations
from agent.config import load
from agent.config_command_keys import public_bytes
from agent.config_commands import OPERATIONS, CommandKey

KEY = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
"""The public key of RFC 8037, appendix A."""
ROLES = '[commands.roles]\noperator = ["status"]\n'


def key(kid: str, *, text: str = KEY, role: str = "operator", more: str = "") -> str:
    return f'[commands.keys.{kid}]\nkey = "{text}"\nissuer = "ops"\nrole = "{role}"\n{more}'


def write(folder: Path, text: str) -> Path:
    main = folder / "brain.toml"
    main.write_text('[vehicle]\nid = "bus-1"\n' + text)
    return main


def test_a_key_inline_and_one_in_a_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "ops.pub").write_text(KEY + "\n")
    loaded = load(write(tmp_path, ROLES + key("a") + key("b", text="file:ops.pub")))
    trust = trusted(loaded.require())
    assert trust.keys["a"].public == trust.keys["b"].public
    assert trust.keys["a"].public.hex().startswith("d75a980182b10ab7d54bfed3c964073a")
    assert trust.roles == {"operator": frozenset({"status"})}


def test_without_keys_or_with_revoked_ones_alone_nobody_is_listened_to(tmp_path: Path) -> None:
    assert not trusted(load(write(tmp_path, "")).require()).keys
    revoked = key("a", more='state = "revoked"\n')
    assert not trusted(load(write(tmp_path, ROLES + revoked)).require()).keys


def test_rotation_takes_two_and_keeps_revoked_ones_by_name(tmp_path: Path) -> None:
    text = ROLES + key("a", more='state = "revoked"\n') + key("b") + key("c")
    trust = trusted(load(write(tmp_path, text)).require())
    assert {kid: found.revoked for kid, found in trust.keys.items()} == {
        **{"a": True, "b": False, "c": False},
    }


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        (ROLES + key("a") + key("b") + key("c"), "commands.keys.c", "more than 2 keys of ops"),
        (ROLES + key("a", role="opertor"), "commands.keys.a.role", "expected a role"),
        (ROLES + key("a", text=KEY[:-1]), "commands.keys.a.key", "base64url"),
        (ROLES + key("a", text=KEY[:-1] + "p"), "commands.keys.a.key", "expected an Ed25519"),
        (ROLES + key("a", text="file:none.pub"), "commands.keys.a.key", "no such file"),
        (ROLES + key("a", text="file:a"), "commands.keys.a.key", "no such file"),
        (ROLES + key("a", text="env:HOME"), "commands.keys.a.key", "expected an Ed25519"),
        (ROLES + key("a", text="Ä" * 43), "commands.keys.a.key", "expected an Ed25519"),
        (ROLES + key("a", text="A" * 43), "commands.keys.a.key", "anybody has the private key"),
        (ROLES + key('"a b"'), 'commands.keys."a b"', 'got "a b", expected a name of 1 to 64'),
        (ROLES + key("a", more="extra = 1\n"), "commands.keys.a.extra", "unknown key"),
        ('[commands]\nreply_key = "secret"\n', "commands.reply_key", "expected text"),
        ('[commands]\nreply_key = "file:none.key"\n', "commands.reply_key", "no such file"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, where: str, said: str) -> None:
    (problem,) = load(write(tmp_path, text)).problems
    assert problem.key == where
    assert said in problem.text
    assert problem.line is not None


def test_each_wrong_value_is_said_with_its_fix(tmp_path: Path) -> None:
    """A wrong key hides neither a wrong role nor what is wrong elsewhere."""
    text = ROLES + key("a", text="abc", role="opertor") + "[store]\nquta_mb = 1\n"
    text += "[budget]\nalarms_percent = 20\n"
    problems = {p.key: p for p in load(write(tmp_path, text)).problems}
    assert problems.keys() == {"commands.keys.a.key", "commands.keys.a.role"} | {
        *("store.quta_mb", "budget.alarms_percent")
    }
    assert 'got "abc", expected' in problems["commands.keys.a.key"].text
    assert "brain-cloud keys NAME;" in problems["commands.keys.a.key"].suggestion
    assert problems["commands.keys.a.role"].suggestion == 'did you mean "operator"?'


SMALL_ORDER = {
    "order 1": "01" + "00" * 31,
    "order 1, sign": "01" + "00" * 30 + "80",
    "order 2": "ec" + "ff" * 30 + "7f",
    "order 2, sign": "ec" + "ff" * 31,
    "order 4": "00" * 32,
    "order 4, sign": "00" * 31 + "80",
    "order 8": "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "order 8, sign": "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "order 8, the other": "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "order 8, the other, sign": "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "zero, not canonical": "ed" + "ff" * 30 + "7f",
    "one, not canonical": "ee" + "ff" * 30 + "7f",
    "not on the curve": "02" + "00" * 31,
}


@pytest.mark.parametrize("name", SMALL_ORDER)
def test_keys_that_anybody_can_sign_for(name: str) -> None:
    with pytest.raises(ValueError, match="could forge"):
        public_bytes(of(bytes.fromhex(SMALL_ORDER[name])))


@given(st.binary(min_size=32, max_size=32))
@settings(max_examples=60, deadline=None)
def test_every_key_that_was_made_is_taken(seed: bytes) -> None:
    made = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    assert public_bytes(of(made)) == made


def of(public: bytes) -> CommandKey:
    text = base64.urlsafe_b64encode(public).rstrip(b"=").decode()
    return CommandKey(key=text, issuer="ops", role="operator")


def test_the_operations_that_there_are(tmp_path: Path) -> None:
    """What `brain check` knows is what the agent can do."""
    found = {operation.name for operation in operations(Mock())} | {"config.set"}
    assert found == OPERATIONS

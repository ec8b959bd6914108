"""Section [commands]: keys inline and in files, roles, rotation, and what contradicts itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.commanding import trusted
from agent.config import load

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

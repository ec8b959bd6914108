"""The public keys of commands, read where they are named, and what contradicts in [commands]."""

from __future__ import annotations

import base64
from collections import Counter

from agent.config_commands import MAX_TRUSTED, CommandKey, Commands
from agent.config_files import Tree
from agent.config_problems import Problem, did_you_mean
from agent.config_secrets import SecretUnavailable, reveal


def public_bytes(key: CommandKey) -> bytes:
    """The 32 bytes of an Ed25519 public key. Raises ValueError, SecretUnavailable."""
    text = reveal(key.key, {}).strip()
    try:
        found = base64.urlsafe_b64decode(text + "=")
    except ValueError:
        found = b""
    if len(found) != 32 or base64.urlsafe_b64encode(found).rstrip(b"=").decode() != text:
        raise ValueError("expected an Ed25519 public key: 43 characters of base64url")
    return found


def command_problems(tree: Tree, commands: Commands) -> list[Problem]:
    """What is wrong with [commands] beyond the form of its values."""
    problems = []
    trusted: Counter[str] = Counter()
    for kid, key in commands.keys.items():
        path = ("commands", "keys", kid)
        if key.role not in commands.roles:
            text = f'got "{key.role}", expected a role of [commands.roles]'
            fix = did_you_mean(key.role, commands.roles, "there are")
            problems.append(tree.problem((*path, "role"), text, fix))
        try:
            public_bytes(key)
        except (ValueError, SecretUnavailable) as error:
            fix = "make one with: brain-cloud keys new NAME"
            problems.append(tree.problem((*path, "key"), str(error), fix))
        if key.state == "trusted":
            trusted[key.issuer] += 1
            if trusted[key.issuer] == MAX_TRUSTED + 1:
                text = f"more than {MAX_TRUSTED} keys of {key.issuer} are trusted"
                fix = 'revoke the oldest: state = "revoked"'
                problems.append(tree.problem(path, text, fix))
    return problems

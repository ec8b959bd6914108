"""The public keys of commands, read where they are named, and what contradicts in [commands]."""

from __future__ import annotations

import base64
from collections import Counter

from agent.config_commands import MAX_TRUSTED, CommandKey, Commands
from agent.config_files import Tree
from agent.config_problems import Problem, did_you_mean, toml_value
from agent.config_secrets import SecretUnavailable, reveal

_P = (1 << 255) - 19
_D = -121665 * pow(121666, -1, _P) % _P
"""RFC 8032, section 5.1: the field and the curve -x^2 + y^2 = 1 + d x^2 y^2."""
_MAKE = "make one with: brain-cloud keys NAME; it prints this table"


def public_bytes(key: CommandKey) -> bytes:
    """The 32 bytes of an Ed25519 public key. Raises ValueError, SecretUnavailable."""
    text = reveal(key.key, {}).strip() if key.key.startswith("file:") else key.key
    try:
        found = base64.urlsafe_b64decode(text.encode() + b"=")
    except ValueError:
        found = b""
    if len(found) != 32 or base64.urlsafe_b64encode(found).rstrip(b"=").decode() != text:
        came = f"got {toml_value(key.key)}, " if len(key.key) < 50 else ""
        raise ValueError(
            f"{came}expected an Ed25519 public key: 43 characters of base64url, or file:PATH of one"
        )
    if not _is_of_large_order(found):
        raise ValueError(
            "expected an Ed25519 public key, these 32 bytes are none that anybody has the private "
            "key of: whoever likes could forge its signatures"
        )
    return found


def _is_of_large_order(public: bytes) -> bool:
    """Whether a public key is a point of the curve, and none of the eight of small order.

    OpenSSL takes those eight, all zeros among them, and verifies signatures that nobody made.
    """
    y = int.from_bytes(public, "little") & ((1 << 255) - 1)
    if y >= _P:
        return False
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P  # of x
    on_curve = pow(square, (_P - 1) // 2, _P) <= 1
    # x = 0: order 1 and 2; y = 0: order 4; x^2 = -y^2: order 8, twice it has y = 0.
    return on_curve and square * y * (square + y * y) % _P != 0


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
            fix = _MAKE if isinstance(error, ValueError) else "put the file there, or its text here"
            problems.append(tree.problem((*path, "key"), str(error), fix))
        if key.state == "trusted":
            trusted[key.issuer] += 1
            if trusted[key.issuer] == MAX_TRUSTED + 1:
                text = f"more than {MAX_TRUSTED} keys of {key.issuer} are trusted"
                fix = 'revoke the oldest: state = "revoked"'
                problems.append(tree.problem(path, text, fix))
    return problems

"""The command line of `brain-cloud`: its options, and what each of them takes."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cloud import broker_options, command_operations
from cloud.batch import is_vehicle

MAX_PURPOSE, MAX_SECONDS = 200, 86_400
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")

Verb = Callable[[argparse.Namespace], int]


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def word(text: str, what: str) -> str:
    """The name of a key, an issuer, a role or an operation. Raises ValueError."""
    if not _WORD.fullmatch(text):
        raise ValueError(f"{what}: got {text!r}, expected 1 to 64 letters, digits, '_', '-' or '.'")
    return text


def _name(text: str) -> str:
    try:
        return word(text, "a name")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("a name: ")) from None


def _key_name(text: str) -> Path:
    _name(Path(text).name)
    return Path(text)


def _purpose(text: str) -> str:
    if not 1 <= len(text) <= MAX_PURPOSE or not text.isprintable():
        raise argparse.ArgumentTypeError(
            f"got {text[:40]!r}, expected 1 to {MAX_PURPOSE} printable characters, such as "
            '"ticket 17"'
        )
    return text


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected seconds: 1 to {MAX_SECONDS}")
    return int(text)


def _vehicle(text: str) -> str:
    if not is_vehicle(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no vehicle: expected 1 to 64 letters, digits, '_' or '-'"
        )
    return text


def parser(description: str, *, keys: Verb, command: Verb) -> argparse.ArgumentParser:
    """Of `brain-cloud`; what is parsed names its verb."""
    parser = argparse.ArgumentParser("brain-cloud", description=description)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    made = verbs.add_parser("keys", help="make a key pair that signs commands")
    made.add_argument(
        "name", type=_key_name, help="files NAME.key and NAME.pub are made; the key's id is NAME"
    )
    made.add_argument(
        "--issuer", type=_name, default="ops", help="whose key it is: who counts its commands (ops)"
    )
    made.add_argument(
        "--role", type=_name, default="operator", help="a role of [commands.roles] (operator)"
    )
    made.set_defaults(verb=keys)
    sent = verbs.add_parser("command", help="sign a command, send it, wait for the reply")
    sent.add_argument("vehicle", type=_vehicle, help="its id, [vehicle] id of its configuration")
    sent.add_argument("operation", type=_name, help=", ".join(command_operations.OPERATIONS))
    sent.add_argument(
        *("--arg",),
        type=_pair,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an argument of the operation, VALUE as JSON or text; may be repeated",
    )
    sent.add_argument(
        "--set",
        type=_pair,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a change for config.set, KEY dotted, VALUE as JSON or text, null: the default",
    )
    sent.add_argument("--key", type=Path, required=True, metavar="FILE", help="NAME.key")
    sent.add_argument(
        "--kid", help="the key's id, KID of [commands.keys.KID] on the vehicle (the file's name)"
    )
    sent.add_argument(
        "--issuer", type=_name, default="ops", help="issuer of [commands.keys.KID] (ops)"
    )
    sent.add_argument(
        "--role", type=_name, default="operator", help="role of [commands.keys.KID] (operator)"
    )
    sent.add_argument(
        "--purpose", type=_purpose, required=True, help="who asks and what for; it is logged"
    )
    sent.add_argument(
        "--life", type=_seconds, default=300, metavar="S", help="seconds that it is valid (300)"
    )
    sent.add_argument(
        *("--ledger",),
        type=Path,
        default=Path("ledger.db"),
        metavar="FILE",
        help="of the cloud end, where replies arrive (ledger.db)",
    )
    sent.add_argument("--out", type=Path, metavar="FILE", help="copy the file it makes here")
    sent.add_argument(
        "--files", type=Path, metavar="DIR", help="where the cloud end keeps files (LEDGER.files)"
    )
    sent.add_argument("--reply-key", metavar="KEY", help="the vehicle's public key, or its file")
    sent.add_argument(
        *("--wait",),
        type=_seconds,
        default=60,
        metavar="S",
        help="seconds to wait for the reply, and for the file (60)",
    )
    sent.add_argument("--first", action="store_true", help="a change on trial is enough")
    sent.add_argument(
        *("--no-wait",),
        action="store_true",
        help="send it once and end: no ledger, no reply key, and nobody says it again",
    )
    sent.add_argument(
        *("--unchecked",),
        action="store_true",
        help="also what this version does not know, for a vehicle with a newer one",
    )
    broker_options.add(sent)
    sent.set_defaults(verb=command)
    return parser

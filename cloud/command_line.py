"""`brain-cloud`: sign a command for a vehicle and wait for its signed reply; make keys.

Exit codes: 0 done, 1 refused, failed or unknown, 2 where something must be changed first, 3 where
no reply or file came in time. What came is printed as JSON, a line each.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cloud import broker_options, command_keys, command_replies, command_token
from cloud.batch import is_vehicle
from cloud.command_files import Files, NotHere
from cloud.command_keys import KeyUnusable
from cloud.command_sender import NoBroker, Sender
from cloud.command_token import Order, ReplyForged
from cloud.schema import LedgerUnusable
from cloud.session import Broker

DONE, FAILED, INVALID, NO_REPLY = 0, 1, 2, 3
STEP_S = 0.2


def main(arguments: Sequence[str] | None = None) -> int:
    """The program."""
    parser = _parser()
    options = parser.parse_args(_joined(sys.argv[1:] if arguments is None else arguments))
    try:
        return int(options.verb(options))
    except (KeyUnusable, LedgerUnusable, NoBroker, NotHere, ReplyForged, ValueError) as error:
        sys.stderr.write(f"brain-cloud: {error}\n")
        return INVALID
    except KeyboardInterrupt:
        return 130


def _joined(arguments: Sequence[str]) -> list[str]:
    """With the reply key behind an equals sign: one of 64 keys begins with a hyphen."""
    found: list[str] = []
    for argument in arguments:
        if found and found[-1] == "--reply-key":
            found[-1] += f"={argument}"
        else:
            found.append(argument)
    return found


def _keys(options: argparse.Namespace) -> int:
    public = command_keys.make(options.name)
    sys.stdout.write(
        f"# Of the vehicles that {options.name.name} may command:\n"
        f"[commands.keys.{options.name.name}]\n"
        f'key = "{public}"\nissuer = "{options.issuer}"\nrole = "{options.role}"\n'
    )
    return DONE


def _command(options: argparse.Namespace) -> int:
    key = command_keys.load(options.key)
    if not options.reply_key and not options.no_wait:
        raise ValueError("--reply-key: expected the vehicle's key, which `brain commands` shows")
    if options.out is not None and options.out.exists():
        raise ValueError(f"{options.out}: exists already, name another file with --out")
    order = Order(
        options.vehicle,
        options.operation,
        options.issuer,
        options.role,
        options.purpose,
        _args(options),
        options.life,
    )
    kid = options.kid or options.key.stem
    # What cannot be heard is not asked: the ledger is opened before anything is signed.
    replies = None if options.no_wait else command_replies.Replies(options.ledger, order.vehicle)
    counter = command_keys.next_counter(options.key.with_name(f"{options.issuer}.counter"))
    now_s = int(time.time())
    cid, token = command_token.sign(order, key, kid, counter, now_s=now_s)
    client_id = f"brain-cloud-{os.getpid()}-{cid[-6:]}"
    broker = Broker(options.broker, options.port, options.prefix, client_id)
    broker = broker_options.secured(broker, options)
    with Sender(broker, order.vehicle, token, now_s + order.life_s) as sender:
        if replies is None:
            sender.step(STEP_S)
            _show({"cid": cid, "state": "sent"})
            return DONE
        reply_key = command_keys.public_key(options.reply_key)
        deadline = time.monotonic() + options.wait
        while time.monotonic() < deadline:
            sender.step(STEP_S)
            for text in replies.new(cid):
                said = command_token.verified(text, reply_key, order.vehicle, cid)
                _show(said)
                # `trial` is on the way; its end is a reply of its own.
                if said["state"] == "trial" and not options.first:
                    continue
                if said["state"] == "done" and options.out is not None:
                    return _fetch(said, options)
                return DONE if said["state"] in ("done", "trial") else FAILED
    _show({"cid": cid, "state": "no_reply", "online": sender.online})
    return NO_REPLY


def _fetch(said: Mapping[str, Any], options: argparse.Namespace) -> int:
    """The file that a reply names, once the cloud end has it."""
    about = said["result"].get("file")
    if about is None:
        raise ValueError(f"--out: {options.operation} makes no file")
    key = options.vehicle, str(about["sha256"])
    files = Files(options.ledger, options.files)
    deadline = time.monotonic() + options.wait
    pause = threading.Event()
    while not files.whole(key):
        if time.monotonic() >= deadline:
            _show({"cid": said["cid"], "state": "no_file", "sha256": key[1]})
            return NO_REPLY
        pause.wait(STEP_S)
    try:
        files.copy(key, options.out)
    except OSError as error:
        raise ValueError(f"{options.out}: {error.strerror}") from error
    return DONE


def _args(options: argparse.Namespace) -> dict[str, Any]:
    args = dict(pair for pair in options.arg)
    if options.set:
        args["set"] = dict(pair for pair in options.set)
    return args


def _show(said: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _vehicle(text: str) -> str:
    if not is_vehicle(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no vehicle")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("brain-cloud", description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    keys = verbs.add_parser("keys", help="make a key pair that signs commands")
    keys.add_argument("name", type=Path, help="files NAME.key and NAME.pub are made")
    keys.add_argument("--issuer", default="ops", help="whose key it is")
    keys.add_argument("--role", default="operator", help="what it may ask for")
    keys.set_defaults(verb=_keys)
    command = verbs.add_parser("command", help="sign a command, send it, wait for the reply")
    command.add_argument("vehicle", type=_vehicle)
    command.add_argument("operation", help="status, bundle, dump, driver.restart, config.set ...")
    command.add_argument("--arg", type=_pair, action="append", default=[], metavar="NAME=VALUE")
    command.add_argument(
        "--set", type=_pair, action="append", default=[], metavar="KEY=VALUE", help="of config.set"
    )
    command.add_argument("--key", type=Path, required=True, metavar="FILE", help="NAME.key")
    command.add_argument("--kid", help="its id at the vehicle (the file's name)")
    command.add_argument("--issuer", default="ops")
    command.add_argument("--role", default="operator")
    command.add_argument("--purpose", required=True, help="who asks and what for; it is logged")
    command.add_argument("--life", type=int, default=300, metavar="S", help="how long it is valid")
    command.add_argument("--broker", default="127.0.0.1", metavar="HOST")
    command.add_argument("--port", type=int, default=1883, metavar="N")
    command.add_argument("--prefix", default="brain")
    command.add_argument("--ledger", type=Path, default=Path("ledger.db"), metavar="FILE")
    command.add_argument("--out", type=Path, metavar="FILE", help="copy the file it makes here")
    command.add_argument("--files", type=Path, metavar="DIR", help="LEDGER.files if not given")
    command.add_argument("--reply-key", metavar="KEY", help="the vehicle's public key, or its file")
    command.add_argument("--wait", type=float, default=60.0, metavar="S", help="for the reply")
    command.add_argument("--first", action="store_true", help="a change on trial is enough")
    command.add_argument("--no-wait", action="store_true", help="send it and end")
    broker_options.add(command)
    command.set_defaults(verb=_command)
    return parser


if __name__ == "__main__":
    sys.exit(main())

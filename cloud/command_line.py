"""`brain-cloud`: sign a command for a vehicle and wait for its signed reply; make keys.

Exit codes: 0 done, 1 refused, failed or unknown, 2 where something must be changed first, 3 where
no reply or file came in time. What came is printed as JSON, a line each.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from cloud import (
    broker_options,
    command_keys,
    command_operations,
    command_options,
    command_replies,
    command_token,
)
from cloud.command_files import Files, NotHere
from cloud.command_keys import KeyUnusable
from cloud.command_sender import NoBroker, Sender
from cloud.command_token import Order, ReplyForged
from cloud.schema import LedgerUnusable

DONE, FAILED, INVALID, NO_REPLY = 0, 1, 2, 3
STEP_S = 0.2


def main(arguments: Sequence[str] | None = None) -> int:
    """The program."""
    parser = command_options.parser(__doc__.splitlines()[0], keys=_keys, command=_command)
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
    kid = options.name.name
    sys.stdout.write(
        f"# For the vehicles that {kid} may command; [commands.roles] says what {options.role} may"
        " ask for.\n"
        f"[commands.keys.{json.dumps(kid) if '.' in kid else kid}]\n"
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
    if not options.unchecked:
        wants_file = options.out is not None
        command_operations.check(order.operation, order.args, order.life_s, wants_file=wants_file)
    kid = command_options.word(options.kid or options.key.stem, "--kid")
    client_id = f"brain-cloud-{os.getpid()}-{secrets.token_hex(3)}"
    broker = broker_options.broker(options, client_id)
    reply_key = command_keys.public_key(options.reply_key) if options.reply_key else None
    # What is too large is found before a counter is used up, too.
    command_token.sign(order, key, kid, command_token.MAX_COUNTER, now_s=int(time.time()))
    # What cannot be heard is not asked: the ledger is opened before anything is signed.
    replies = None if options.no_wait else command_replies.Replies(options.ledger, order.vehicle)
    counter = command_keys.next_counter(options.key.with_name(f"{options.issuer}.counter"))
    now_s = int(time.time())
    cid, token = command_token.sign(order, key, kid, counter, now_s=now_s)
    with Sender(broker, order.vehicle, token, now_s + order.life_s) as sender:
        if replies is None or reply_key is None:
            sender.step(STEP_S)
            _show({"cid": cid, "state": "sent"})
            return DONE
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


if __name__ == "__main__":
    sys.exit(main())

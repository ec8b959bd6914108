"""`python -m cloud`: the receiver; `python -m cloud report`: what its ledger holds, as JSON.

Exit codes: 0 after SIGTERM or SIGINT, 2 where something must be changed first (one line says what).
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from cloud import broker_options
from cloud.files import FileStore
from cloud.ledger import Ledger, ignore
from cloud.receiver import Receiver
from cloud.report import report
from cloud.s3 import Bucket
from cloud.s3_signature import Credentials
from cloud.schema import LedgerUnusable
from cloud.session import Broker, Session

log = logging.getLogger("cloud")

STATE_INTERVAL_S = 1.0


def main(
    arguments: Sequence[str] | None = None, *, failpoint: Callable[[str], None] = ignore
) -> int:
    """The program; `failpoint` is for tests that end it at a chosen point."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="cloud: %(message)s")
    try:
        if given[:1] == ["report"]:
            return _report(given[1:])
        return _receive(given, failpoint)
    except LedgerUnusable as error:
        log.error("%s", error)
        return 2


def _report(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("python -m cloud report", description="A ledger as JSON.")
    parser.add_argument("--ledger", type=Path, required=True, help="the ledger file")
    found = report(parser.parse_args(given).ledger)
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
    return 0


def _receive(given: Sequence[str], failpoint: Callable[[str], None]) -> int:
    options = _parser().parse_args(given)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        broker = broker_options.broker(options, options.client_id)
    except ValueError as error:
        log.error("%s", error)
        return 2
    with Ledger(options.ledger, failpoint=failpoint) as ledger:
        session = Session(broker, subscribed=_say_ready)
        files = FileStore(options.files or options.ledger.with_name(f"{options.ledger.name}.files"))
        receiver = Receiver(
            session.inbox,
            ledger,
            session.publish,
            options.prefix,
            files=files,
            bucket=_bucket(options.s3),
            failpoint=failpoint,
        )
        state = StateFile(options.state, broker, session, receiver, ledger)
        session.start()
        try:
            receiver.run(stop, state.refresh)
        finally:
            session.stop()
    return 0


def _say_ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m cloud",
        description="Takes telemetry from an MQTT 5 broker, books it and acknowledges it. "
        "`python -m cloud report --ledger FILE` prints what was booked.",
    )
    parser.add_argument("--ledger", type=Path, required=True, metavar="FILE", help="SQLite file")
    parser.add_argument(
        "--files", type=Path, metavar="DIR", help="where files go; FILE.files if not given"
    )
    parser.add_argument(
        "--s3",
        metavar="URL",
        help="offer vehicles this bucket for their files: https://HOST/BUCKET; the key comes from "
        "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, the region from AWS_REGION",
        type=_s3,
    )
    parser.add_argument("--state", type=Path, metavar="FILE", help="JSON, written each second")
    parser.add_argument("--client-id", default="cloud", help="no other client may have it")
    broker_options.add(parser)
    return parser


def _s3(text: str) -> str:
    parts = urlsplit(text)
    bucket = parts.path.strip("/")
    if parts.scheme not in {"https", "http"} or not parts.netloc or not bucket or "/" in bucket:
        raise argparse.ArgumentTypeError(f"{text!r} is not https://HOST/BUCKET")
    missing = [n for n in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY") if not os.environ.get(n)]
    if missing:
        raise argparse.ArgumentTypeError(f"{' and '.join(missing)} must be set in the environment")
    return text


def _bucket(url: str | None) -> Bucket | None:
    if url is None:
        return None
    parts = urlsplit(url)
    environ = os.environ
    credentials = Credentials(
        environ["AWS_ACCESS_KEY_ID"],
        environ["AWS_SECRET_ACCESS_KEY"],
        environ.get("AWS_SESSION_TOKEN", ""),
    )
    region = environ.get("AWS_REGION", "us-east-1")
    return Bucket(f"{parts.scheme}://{parts.netloc}", parts.path.strip("/"), region, credentials)


class StateFile:
    """What the receiver is doing, as JSON for other programs; replaced each second."""

    def __init__(
        self,
        path: Path | None,
        broker: Broker,
        session: Session,
        receiver: Receiver,
        ledger: Ledger,
    ) -> None:
        self._path = path
        self._broker = broker
        self._session = session
        self._receiver = receiver
        self._ledger = ledger
        self._next = 0.0
        self._said: str | None = None

    def refresh(self) -> None:
        """Writes the file if a second has passed. A file that cannot be written is said once."""
        if self._path is None or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + STATE_INTERVAL_S
        state = {
            "pid": os.getpid(),
            "broker": str(self._broker),
            "link": "up" if self._session.up else "down",
            "link_error": self._session.error,
            "write_error": self._receiver.write_error,
            "waiting": self._session.inbox.qsize(),
            "given_up": self._session.overflow,
            **self._ledger.counters(),
        }
        aside = self._path.with_name(f"{self._path.name}.new")
        try:
            aside.write_bytes(msgspec.json.encode(state) + b"\n")
            aside.replace(self._path)
        except OSError as error:
            if error.strerror != self._said:
                log.warning("%s: %s; going on without the state file", self._path, error.strerror)
            self._said = error.strerror


if __name__ == "__main__":
    sys.exit(main())

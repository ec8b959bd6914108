"""Where a broker is and how it is reached, as options of a command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from cloud.broker_access import Access
from cloud.session import Broker

PORT, PORT_TLS = 1883, 8883


def add(parser: argparse.ArgumentParser) -> None:
    """The options. The words are those of `[uplink]` in a vehicle's configuration."""
    group = parser.add_argument_group("the broker")
    group.add_argument("--broker", default="127.0.0.1", metavar="HOST", help="its name or address")
    group.add_argument("--port", type=_port, metavar="N", help=f"{PORT}, or {PORT_TLS} in TLS")
    group.add_argument("--prefix", type=_prefix, default="brain", help="what topics begin with")
    group.add_argument("--tls", action="store_true", help="in TLS, by the system's authorities")
    group.add_argument(
        "--ca", dest="ca_file", type=Path, metavar="FILE", help="in TLS, by these authorities alone"
    )
    group.add_argument(
        "--cert", dest="cert_file", type=Path, metavar="FILE", help="our certificate, in PEM"
    )
    group.add_argument("--key-file", type=Path, metavar="FILE", help="its private key, in PEM")
    group.add_argument("--username", default="", metavar="NAME", help="plain, env:... or file:...")
    group.add_argument("--password", default="", metavar="REF", help="env:NAME or file:PATH")


def broker(options: argparse.Namespace, client_id: str) -> Broker:
    """The broker that the options name. Raises ValueError, which names an option and its cure."""
    access = Access(
        options.tls,
        options.ca_file,
        options.cert_file,
        options.key_file,
        options.username,
        options.password,
    )
    access.check()
    port = options.port or (PORT_TLS if access.secure else PORT)
    return Broker(options.broker, port, options.prefix, client_id, access)


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (1 to 65535)")
    return int(text)


def _prefix(text: str) -> str:
    if not text or text.startswith("$") or set(text) & set("+#\0") or not text.strip("/"):
        raise argparse.ArgumentTypeError(f"{text!r} is no topic prefix (no + or #, not empty)")
    return text.strip("/")

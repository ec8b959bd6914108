"""How a broker is reached, as options of a command line: TLS, a name and a password.

Certificates are checked, and so is the host's name; there is no option that does not.
"""

from __future__ import annotations

import argparse
import dataclasses
import ssl
from pathlib import Path

from cloud.session import Broker


def add(parser: argparse.ArgumentParser) -> None:
    """The options."""
    tls = parser.add_argument_group("access to the broker")
    tls.add_argument("--tls", action="store_true", help="in TLS, by the system's authorities")
    tls.add_argument("--ca-file", type=Path, metavar="FILE", help="in TLS, by these authorities")
    tls.add_argument("--cert-file", type=Path, metavar="FILE", help="our certificate, in PEM")
    tls.add_argument("--key-file", type=Path, metavar="FILE", help="its private key, in PEM")
    tls.add_argument("--username", metavar="NAME")
    tls.add_argument("--password-file", type=Path, metavar="FILE", help="its first line counts")


def port(text: str) -> int:
    """A TCP port of a command line. Raises ArgumentTypeError."""
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (1 to 65535)")
    return int(text)


def prefix(text: str) -> str:
    """What topics begin with. Raises ArgumentTypeError."""
    if not text or text.startswith("$") or set(text) & set("+#\0") or not text.strip("/"):
        raise argparse.ArgumentTypeError(f"{text!r} is no topic prefix (no + or #, not empty)")
    return text.strip("/")


def secured(broker: Broker, options: argparse.Namespace) -> Broker:
    """`broker` with what the options say. Raises ValueError, which names the option."""
    if (options.cert_file is None) != (options.key_file is None):
        raise ValueError("--cert-file and --key-file: expected both or none")
    password = ""
    if options.password_file is not None:
        password = _first_line(options.password_file)
    return dataclasses.replace(
        broker, tls=_context(options), username=options.username or "", password=password
    )


def _context(options: argparse.Namespace) -> ssl.SSLContext | None:
    if not (options.tls or options.ca_file or options.cert_file):
        return None
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
    except (OSError, ValueError) as error:
        raise ValueError(f"--ca-file: {options.ca_file}: {error}") from error
    if options.cert_file is not None:
        try:
            context.load_cert_chain(options.cert_file, options.key_file)
        except (OSError, ValueError) as error:
            raise ValueError(f"--cert-file: {options.cert_file}: {error}") from error
    return context


def _first_line(file: Path) -> str:
    try:
        return file.read_text().partition("\n")[0]
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"--password-file: {file}: {error}") from error

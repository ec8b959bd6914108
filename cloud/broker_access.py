"""What a broker wants to see of us, and we of it: TLS, a certificate, a name and a password.

The broker's certificate, its host name and its validity are always judged; nothing switches that
off.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as mqtt

_LARGEST_SECRET = 4_096
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNEXPECTED_MESSAGE", "RECORD_LAYER_FAILURE")
"""OpenSSL's reasons where what came is no TLS at all."""


@dataclass(frozen=True, slots=True)
class Access:
    """What the options of a program say; the files are read for every connection.

    `tls` or one of the files: TLS is spoken. `ca_file` None: the system's authorities. `username`
    is plain or a reference, `password` a reference, "" for none.
    """

    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    username: str = ""
    password: str = ""

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken."""
        return self.tls or self.ca_file is not None or self.cert_file is not None

    def check(self, environ: Mapping[str, str] = os.environ) -> None:
        """Read all there is once. Raises ValueError, which names the option and what to do."""
        if (self.cert_file is None) != (self.key_file is None):
            missing = "--key-file" if self.key_file is None else "--cert"
            raise ValueError(f"{missing}: --cert and --key-file go together, give both or none")
        if self.password and not self.username:
            raise ValueError("--username: MQTT brokers expect one with a password")
        if self.password and not _is_reference(self.password):
            raise ValueError(
                "--password: expected env:NAME or file:PATH, the password itself would be seen in "
                "the list of processes"
            )
        _reveal("--username", self.username, environ)
        _reveal("--password", self.password, environ)
        if self.secure:
            self._context()

    def apply(self, client: mqtt.Client, environ: Mapping[str, str] = os.environ) -> None:
        """Before each connection: what was renewed since the last one is used. Raises ValueError.

        Authorities that were taken away from `ca_file` are trusted until the program is restarted.
        """
        if self.username:
            name = _reveal("--username", self.username, environ)
            client.username_pw_set(name, _reveal("--password", self.password, environ) or None)
        if not self.secure:
            return
        context = self._context()
        # paho takes a context once: what comes later goes into that one.
        given: ssl.SSLContext | None = getattr(client, "_ssl_context", None)
        if given is None:
            client.tls_set_context(context)
        else:
            self._load(given)

    def explain(self, error: Exception) -> str:
        """Why there is no connection, and what to do about it; names no broker."""
        if isinstance(error, ssl.SSLCertVerificationError):
            judged = error.verify_message or "certificate verify failed"
            whom = str(self.ca_file) if self.ca_file else "the authorities of this system"
            return (
                f"its certificate is not trusted by {whom}: {judged.rstrip('.')}; check --ca and "
                "the name in --broker"
            )
        if self.secure and isinstance(error, ConnectionResetError | ssl.SSLEOFError):
            return "closes the connection instead of speaking TLS: check --port, --tls and --ca"
        if isinstance(error, ssl.SSLError):
            if error.reason in _NO_TLS:
                return "answers, but not in TLS: check --port, or leave out --tls and --ca"
            words = (error.reason or str(error)).replace("_", " ").lower()
            return f"no TLS connection ({words}): check --port, --cert and --key-file"
        return str(getattr(error, "strerror", None) or error)

    def refused(self, reason: str) -> str:
        """What to do where the broker answered with this reason code."""
        if reason in ("Not authorized", "Bad user name or password"):
            return f"{reason}: check --username and --password"
        return reason

    @property
    def silence(self) -> str:
        """What a broker means that closes the connection instead of answering."""
        if not self.secure:
            return "it closed the connection: does it want TLS (--tls or --ca)?"
        if self.cert_file is None:
            return "it closed the connection: does it want a certificate (--cert, --key-file)?"
        return f"it closed the connection: does it trust {self.cert_file} (--cert)?"

    def _context(self) -> ssl.SSLContext:
        # Such a context judges certificate and host name from the start.
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.ca_file is None:
            made.load_default_certs()
        self._load(made)
        return made

    def _load(self, context: ssl.SSLContext) -> None:
        if self.ca_file is not None:
            try:
                context.load_verify_locations(self.ca_file)
            except OSError as error:
                raise ValueError(
                    f"--ca: {self.ca_file}: {_why(error)}; a readable file with certificates of "
                    "authorities in PEM is expected"
                ) from error
        if self.cert_file is not None:
            try:
                context.load_cert_chain(self.cert_file, self.key_file, password=_no_passphrase)
            except (OSError, ValueError) as error:
                raise ValueError(
                    f"--cert, --key-file: {self.cert_file}, {self.key_file}: {_why(error)}; a "
                    "readable certificate and its key in PEM, without a passphrase, are expected"
                ) from error


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase")


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "no PEM").replace("_", " ").lower()
    return str(getattr(error, "strerror", None) or error)


def _is_reference(text: str) -> bool:
    kind, colon, name = text.partition(":")
    return bool(colon and name) and kind in ("env", "file")


def _reveal(option: str, text: str, environ: Mapping[str, str]) -> str:
    """The secret behind a reference, without the newline at its end; other text as it is."""
    if not _is_reference(text):
        return text
    kind, _, name = text.partition(":")
    if kind == "env":
        if not environ.get(name):
            raise ValueError(f"{option}: the environment variable {name} is empty, set it")
        return environ[name]
    try:
        with Path(name).open("rb") as file:
            secret = file.read(_LARGEST_SECRET).decode().rstrip("\r\n")
    except OSError as error:
        raise ValueError(f"{option}: {name}: {error.strerror}; write it there") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{option}: {name}: expected UTF-8 text") from error
    if not secret:
        raise ValueError(f"{option}: {name} is empty, write it there")
    return secret

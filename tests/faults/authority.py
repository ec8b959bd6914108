"""A certificate authority of one's own, for any names and any days."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.faults.injection import NotHere

_CONFIG = """
[ca]
default_ca = here
[here]
database = {0}/index
serial = {0}/serial
new_certs_dir = {0}
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = nothing
[nothing]
"""


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in PEM."""

    cert: Path
    key: Path


class Authority:
    """Signs what is asked. Raises NotHere without openssl."""

    def __init__(self, directory: Path) -> None:
        if shutil.which("openssl") is None:
            raise NotHere("faults: not run: openssl is missing: apt install openssl")
        directory.mkdir(parents=True)
        self._directory = directory
        self._config = directory / "openssl.cnf"
        self._config.write_text(_CONFIG.format(directory))
        (directory / "index").write_text("")
        (directory / "serial").write_text("01\n")
        self.cert, self._key = directory / "ca.crt", directory / "ca.key"
        self._issued = 0
        usage = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign"]
        self._openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", *usage),
            *("-subj", f"/CN={directory.name}", "-keyout", str(self._key), "-out", str(self.cert)),
        )

    def issue(self, name: str, *, from_days: float = -1.0, to_days: float = 10.0) -> Pair:
        """A certificate for a host name, valid from and to so many days from now."""
        self._issued += 1
        stem = self._directory / f"{name}-{self._issued}"
        pair, request = Pair(stem.with_suffix(".crt"), stem.with_suffix(".key")), f"{stem}.csr"
        self._openssl(
            *("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}"),
            *("-addext", f"subjectAltName=DNS:{name}", "-keyout", str(pair.key), "-out", request),
        )
        self._openssl(
            *("ca", "-batch", "-config", str(self._config), "-notext", "-in", request),
            *("-cert", str(self.cert), "-keyfile", str(self._key), "-out", str(pair.cert)),
            *("-startdate", _day(from_days), "-enddate", _day(to_days)),
        )
        return pair

    def _openssl(self, *argv: str) -> None:
        done = subprocess.run(["openssl", *argv], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def _day(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y%m%d%H%M%SZ")


def server(pair: Pair, clients: Path | None = None) -> ssl.SSLContext:
    """A broker's side of TLS; `clients`: the authority whose clients alone it accepts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    if clients is not None:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED
    return context

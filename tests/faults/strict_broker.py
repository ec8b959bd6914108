"""Configuration of a mosquitto that wants a certificate, a name and a password of everybody."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.faults.authority import Authority, Pair

_STRICT = """user root
listener {port} 127.0.0.1
allow_anonymous false
password_file {passwords}
cafile {ca}
certfile {cert}
keyfile {key}
require_certificate true
persistence false
"""


def strict(
    folder: Path, port: int, ours: Authority, mine: Pair, passwords: Mapping[str, str]
) -> str:
    """The text of mosquitto.conf. `mine`: the broker's; `passwords`: by name, kept in `folder`."""
    file = folder / "passwords"
    file.unlink(missing_ok=True)
    file.touch(0o600)
    for name, password in passwords.items():
        argv = ["mosquitto_passwd", "-b", str(file), name, password]
        subprocess.run(argv, check=True, capture_output=True)
    return _STRICT.format(port=port, passwords=file, ca=ours.cert, cert=mine.cert, key=mine.key)

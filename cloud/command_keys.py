"""Keys that sign commands: made here, kept in files of the owner, told as 43 characters.

NAME.key      Ed25519 private key in PEM, mode 0600
NAME.pub      its public key, 43 characters of base64url: what vehicles are told
NAME.counter  the last counter that was signed with
"""

from __future__ import annotations

import base64
import fcntl
import os
import time
from pathlib import Path

from joserfc.errors import JoseError
from joserfc.jwk import OKPKey


class KeyUnusable(Exception):
    """A key file cannot be used; the text names it and says what to do."""


def make(name: Path) -> str:
    """Make NAME.key and NAME.pub; the public key. Raises KeyUnusable where one exists."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = base64.urlsafe_b64encode(private.public_key().public_bytes_raw()).rstrip(b"=").decode()
    path = name.with_name(f"{name.name}.key")
    _create(path, pem, 0o600)
    _create(name.with_name(f"{name.name}.pub"), f"{public}\n".encode(), 0o644)
    return public


def load(path: Path) -> OKPKey:
    """The private key of a file. Raises KeyUnusable, also where others may read it."""
    try:
        if path.stat().st_mode & 0o077:
            raise KeyUnusable(f"{path}: others may read it; chmod 600 {path}")
        key = OKPKey.import_key(path.read_bytes())
    except OSError as error:
        raise KeyUnusable(f"{path}: {error.strerror}; make one with: brain-cloud keys") from None
    except (JoseError, ValueError, TypeError):
        raise KeyUnusable(f"{path}: expected an Ed25519 private key in PEM") from None
    if not key.is_private or key.as_dict().get("crv") != "Ed25519":
        raise KeyUnusable(f"{path}: expected an Ed25519 private key in PEM")
    return key


def public_key(said: str) -> OKPKey:
    """A public key by its 43 characters, or by the file that holds them. Raises KeyUnusable."""
    text = said
    path = Path(said)
    if len(said) != 43 or path.is_file():
        try:
            text = path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise KeyUnusable(f"{said}: expected a public key or a file with one") from error
    try:
        return OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": text})
    except (JoseError, ValueError) as error:
        raise KeyUnusable(f"{said}: expected 43 characters of base64url") from error


def next_counter(path: Path) -> int:
    """A counter above all that were given before, durable before it is used.

    It is never below the time in ms: where the file is lost, counters go on rising. Raises
    KeyUnusable.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            last = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
            counter = max(int(last) + 1 if last.isdecimal() else 1, time.time_ns() // 1_000_000)
            os.pwrite(fd, f"{counter:<20}\n".encode(), 0)
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise KeyUnusable(f"{path}: {error.strerror}; no command without its counter") from error
    return counter


def _create(path: Path, content: bytes, mode: int) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        raise KeyUnusable(f"{path} exists; a key is never overwritten, give a new name") from None
    except OSError as error:
        raise KeyUnusable(f"{path}: {error.strerror}") from error
    try:
        os.write(fd, content)
        os.fsync(fd)
    finally:
        os.close(fd)

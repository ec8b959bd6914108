"""Secrets by reference: `file:PATH`, `env:NAME`, `credential:NAME`; never in the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

KINDS = ("file", "env", "credential")
_LARGEST = 4096


class SecretUnavailable(Exception):
    """The place that a reference names has no secret; the text names the place alone."""


def is_reference(text: str) -> bool:
    """Whether `text` names a place and is no secret by itself."""
    kind, colon, name = text.partition(":")
    return bool(colon and name) and kind in KINDS


def reveal(reference: str, environ: Mapping[str, str]) -> str:
    """The secret behind a reference, without the newline at its end; "" for "".

    Text that is no reference is returned as it is (a user name may be plain). `credential:` reads
    systemd's $CREDENTIALS_DIRECTORY. Raises SecretUnavailable.
    """
    if not is_reference(reference):
        return reference
    kind, _, name = reference.partition(":")
    if kind == "env":
        if not environ.get(name):
            raise SecretUnavailable(f"expected a secret in the environment variable {name}")
        return environ[name]
    path = Path(name)
    if kind == "credential":
        if "CREDENTIALS_DIRECTORY" not in environ:
            raise SecretUnavailable(
                f'credential "{name}" is there only inside a systemd unit that has '
                f"LoadCredential={name}:..."
            )
        path = Path(environ["CREDENTIALS_DIRECTORY"]) / name
    try:
        with path.open("rb") as opened:
            secret = opened.read(_LARGEST).decode()
    except FileNotFoundError as error:
        raise SecretUnavailable(f"{path}: no such file") from error
    except OSError as error:
        raise SecretUnavailable(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SecretUnavailable(f"{path}: expected UTF-8 text") from error
    secret = secret.rstrip("\r\n")
    if not secret:
        raise SecretUnavailable(f"{path}: is empty")
    return secret

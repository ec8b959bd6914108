"""Takes secrets out of what leaves the vehicle."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"
_PEM = re.compile(r"-----BEGIN [^-]*PRIVATE KEY-----.*?(-----END [^-]*PRIVATE KEY-----|\Z)", re.S)
_NAMED = re.compile(
    r"(?i)((?:password|passphrase|secret|token|authorization|\bpin)[\"']?\s*[=:]\s*[\"']?)"
    r"(?!\*\*\*)[^\s\"',;}]+"
)
_IN_URL = re.compile(r"(://[^/\s:@]+:)[^@\s]+(@)")
_JWS = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_KEYS = re.compile(r"(?i)password|passphrase|secret|token|(^|_)pin($|_)|username")


def text(said: str) -> str:
    """Text without private keys, passwords, tokens and URL credentials."""
    said = _PEM.sub(HIDDEN, said)
    said = _JWS.sub(HIDDEN, said)
    said = _IN_URL.sub(rf"\1{HIDDEN}\2", said)
    return _NAMED.sub(rf"\1{HIDDEN}", said)


def tree(value: Any) -> Any:
    """The same of what JSON can say: values of keys that name a secret are hidden, texts cleaned.

    A reference such as "file:/run/secret" names a place and stays.
    """
    if isinstance(value, Mapping):
        return {
            key: HIDDEN if _secret(str(key), item) else tree(item) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [tree(item) for item in value]
    return text(value) if isinstance(value, str) else value


def _secret(key: str, value: object) -> bool:
    reference = isinstance(value, str) and value.startswith(("file:", "env:", "credential:"))
    return bool(_KEYS.search(key)) and isinstance(value, str) and bool(value) and not reference

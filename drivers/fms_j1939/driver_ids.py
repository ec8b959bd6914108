"""Who drives (DI): the cards' identifications, as pseudonyms unless configured otherwise.

A pseudonym is no anonymity: whoever has the key can test every card number, and one driver's days
can be put together. It keeps card numbers out of the cloud, no more.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any, Literal

from agent.sdk import State
from drivers.fms_j1939.pgn import Pgn
from drivers.fms_j1939.raw_classes import text_state
from drivers.fms_j1939.spn import Reading, Spn

log = logging.getLogger(__name__)

Mode = Literal["pseudonym", "plain", "off"]

_KEY_BYTES = 32
_KEY_FILE = "driver-id.key"
_PREFIX = "drv-"
# 64 bits: one chance in 10^11 that two of 10,000 drivers share a pseudonym.
_DIGITS = 16
# FMS has card type, issuing state and 14 to 16 characters; more is another message.
_MAX_BYTES = 40
_FILLING = b" \x00\xff"


class Identity:
    """How a card's identification is stated. The key is of this run until `keep_in` is called."""

    def __init__(self, mode: Mode = "pseudonym") -> None:
        self.mode = mode
        self._key = os.urandom(_KEY_BYTES)

    def keep_in(self, workdir: Path) -> None:
        """Use the key in `workdir`, made there once: a driver keeps the pseudonym over restarts.

        A damaged file is replaced. Where it can be neither read nor written the key stays that of
        this run, and the log says so: no reading is worth less than the name of its driver.
        """
        if self.mode != "pseudonym":
            return
        path = workdir / _KEY_FILE
        try:
            kept = path.read_bytes() if path.exists() else b""
            if len(kept) == _KEY_BYTES:
                self._key = kept
                return
            if kept:
                log.warning("%s is damaged: a new key, all drivers get new pseudonyms", path)
            _write_private(path, self._key)
        except OSError as error:
            log.warning(
                "%s: %s: drivers get new pseudonyms at each start; check owner and mode",
                path,
                error.strerror,
            )

    def of(self, card: bytes) -> str:
        """What is stated of a card's identification."""
        if self.mode == "plain":
            return "".join(chr(c) if 0x20 <= c < 0x7F else "." for c in card)
        # Here, not above: it loads OpenSSL, 3 MB that a bus without DI needs not.
        import hmac

        return _PREFIX + hmac.digest(self._key, card, "sha256").hex()[:_DIGITS]


def _write_private(path: Path, key: bytes) -> None:
    """A file that only its owner can read, whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(fd, key)
        os.fsync(fd)
    finally:
        os.close(fd)
    part.rename(path)


class DriverIds(Pgn):
    """Driver identification: the cards of driver 1 and 2, each ended by `*`."""

    def __init__(
        self, number: int, name: str, *spns: Spn, identity: Identity | None = None, **rest: Any
    ) -> None:
        super().__init__(number, name, *spns, **rest)
        self.identity = identity or Identity()

    def read(self, payload: bytes) -> list[Reading]:
        """One reading a driver; an empty part is `not_available`."""
        parts = payload.split(b"*")
        parts += [b""] * (len(self.spns) - len(parts))
        return [self._reading(spn, part) for spn, part in zip(self.spns, parts, strict=False)]

    def _reading(self, spn: Spn, part: bytes) -> Reading:
        state = text_state(part)
        card = part.strip(_FILLING)
        if state is not None:
            return spn.reading(None, state)
        if not card or len(card) > _MAX_BYTES:
            return spn.reading(None, State.IMPLAUSIBLE if card else State.NOT_AVAILABLE)
        return spn.reading(self.identity.of(card))

"""Why no connection came about: in words, and of what kind."""

from __future__ import annotations

import socket
from enum import Enum, auto


class Why(Enum):
    """What kind of trouble it is, which decides how soon to try again and who must be told."""

    UNREACHABLE = auto()
    """No way to the broker: a tunnel, 3G, a name service."""
    BUSY = auto()
    """Its host answers, but it cannot serve now: down, starting, too many clients."""
    UNTRUSTED = auto()
    """It, or we, cannot prove who it is."""
    CLOCK = auto()
    """Nothing can be proven as long as this box does not know the time."""
    DENIED = auto()
    """It does not want us: name, password, access rules."""
    CONFUSED = auto()
    """What answers there speaks no MQTT that we understand."""


class Refused(Exception):
    """No connection came about; the text says why and what to do.

    `other_version`: the broker may speak the other version of MQTT. `code`: the reason code of the
    CONNACK, 0 where it was none. `silent`: nothing was said, so a cut line may be all there was.
    """

    def __init__(
        self,
        text: str,
        *,
        why: Why = Why.UNREACHABLE,
        other_version: bool = False,
        code: int = 0,
        silent: bool = False,
    ) -> None:
        super().__init__(text)
        self.silent = silent
        self.why = why
        self.other_version = other_version
        self.code = code

    @property
    def answered(self) -> bool:
        """Whether something at the broker's address answered, so that the way there is fine.

        Where the time of this box is the trouble nobody there can mend it, and it passes at once.
        """
        return self.why not in (Why.UNREACHABLE, Why.CLOCK)


def explain(error: OSError | ValueError, where: str, host: str) -> Refused:
    """Why connecting failed below TLS, and what to do about it."""
    match error:
        case socket.gaierror():
            return Refused(
                f"the name {host!r} is not known ({error.strerror}): "
                "check uplink.broker and the network's name service"
            )
        case ConnectionRefusedError():
            return Refused(
                f"{where} refuses the connection: no broker listens there; "
                "start it, or correct uplink.broker and uplink.port",
                why=Why.BUSY,
            )
        case TimeoutError():
            return Refused(
                f"{where} does not answer: check the network, uplink.broker and uplink.port"
            )
        case OSError():
            return Refused(f"{where} cannot be reached: {error.strerror or error}")
        case _:
            return Refused(
                f"{where} is no address: {error}; check uplink.broker and uplink.port",
                why=Why.CONFUSED,
            )

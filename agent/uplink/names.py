"""Where a name leads: asks the name service with a deadline, and remembers what worked.

On 3G the name service fails more often than the way to a known address. Which broker answers there
is TLS's to judge, so an old address, or a wrong one from a poisoned service, opens no door.
"""

from __future__ import annotations

import errno
import socket
import threading
from typing import Any

Address = tuple[socket.AddressFamily, tuple[Any, ...]]
"""A family and what `socket.connect` takes in it."""

LOOK_UP_S = 5.0
MAX_ADDRESSES = 6


class Names:
    """For one thread; look-ups that take too long end in a thread of their own."""

    def __init__(self) -> None:
        self._good: dict[tuple[str, int], list[Address]] = {}
        self._asked: dict[tuple[str, int], _LookUp] = {}

    def addresses(self, host: str, port: int) -> list[Address]:
        """The addresses to try, in this order: the one that worked last, then families in turn.

        Where the name service has no answer in time, those of its last answer. Raises
        OSError where there is none either, mostly socket.gaierror.
        """
        key = (host, port)
        asked = self._asked.pop(key, None) or _LookUp(host, port)
        before = self._good.get(key, [])
        if not asked.wait(LOOK_UP_S):
            self._asked[key] = asked  # one at a time, however long it hangs
            if before:
                return before
            raise socket.gaierror(socket.EAI_AGAIN, f"no answer within {LOOK_UP_S:g} s")
        if asked.failure is not None:
            if before:
                return before
            raise asked.failure
        found = _in_turn(asked.found)[:MAX_ADDRESSES]
        best = [address for address in before[:1] if address in found]
        return best + [address for address in found if address not in best]

    def worked(self, host: str, port: int, address: Address) -> None:
        """A connection to it came about."""
        before = self._good.get((host, port), [])
        rest = [known for known in before if known != address]
        self._good[host, port] = [address, *rest][:MAX_ADDRESSES]


class _LookUp:
    def __init__(self, host: str, port: int) -> None:
        self.found: list[Address] = []
        self.failure: OSError | None = None
        self._done = threading.Event()
        self._host, self._port = host, port
        try:
            threading.Thread(target=self._run, name="uplink-names", daemon=True).start()
        except RuntimeError as error:  # the limit of tasks is reached
            self.failure = OSError(errno.EAGAIN, f"no thread for the name look-up: {error}")
            self._done.set()

    def wait(self, seconds: float) -> bool:
        return self._done.wait(seconds)

    def _run(self) -> None:
        try:
            for family, _, _, _, address in socket.getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM
            ):
                if family in (socket.AF_INET, socket.AF_INET6):
                    self.found.append((family, tuple(address)))
        except OSError as error:
            self.failure = error
        except UnicodeError as error:
            self.failure = socket.gaierror(socket.EAI_NONAME, str(error))
        self._done.set()


def _in_turn(found: list[Address]) -> list[Address]:
    """The first of each family, then the second ...: one family may lead nowhere."""
    seen: dict[socket.AddressFamily, int] = {}
    ranked = []
    for family, address in found:
        seen[family] = seen.get(family, 0) + 1
        ranked.append((seen[family], (family, address)))
    return [address for _, address in sorted(ranked, key=lambda pair: pair[0])]

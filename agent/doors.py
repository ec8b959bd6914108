"""The doors of the coordinator, ingest and control: their sockets, and who may speak there."""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Mapping
from pathlib import Path

from agent.listener import listener
from agent.protocol import listen_fds

_DYNAMIC_USERS = Path("/run/systemd/dynamic-uid")
"""Where systemd says which name a user of DynamicUser= has just now, without NSS: a minimal Debian
has no libnss-systemd. Root alone writes there."""


def listeners(run_dir: Path) -> Mapping[str, socket.socket]:
    """The inherited sockets, or our own where nobody passed any. Raises OSError."""
    inherited = listen_fds()
    sockets: dict[str, socket.socket] = {}
    for name, kind in (("ingest", socket.SOCK_SEQPACKET), ("control", socket.SOCK_STREAM)):
        if name in inherited:
            os.set_inheritable(inherited[name], False)
            sockets[name] = socket.socket(fileno=inherited[name])
            continue
        run_dir.mkdir(parents=True, exist_ok=True)
        sockets[name] = listener(run_dir / f"{name}.sock", kind, 0o660)
    return sockets


def may_speak_for(uid: int, name: str, dynamic_users: Path = _DYNAMIC_USERS) -> bool:
    """Whether a process of user `uid` may be the driver `name`.

    On a vehicle each driver has a user of its own, `brain-drv-NAME`; on a laptop all is one user.
    """
    return uid == os.getuid() or _user_name(uid, dynamic_users) == f"brain-drv-{name}"


def _user_name(uid: int, dynamic_users: Path) -> str:
    """The name of a user, empty where it has none."""
    try:
        return os.readlink(dynamic_users / f"direct:{uid}")
    except OSError:
        pass
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""

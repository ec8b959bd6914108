"""Opens the sockets of the run directory, without taking them from a process that listens there."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED


class AddressInUse(OSError):
    """A living process listens at the path of a socket; the text says which."""


def listener(path: Path, kind: socket.SocketKind, mode: int) -> socket.socket:
    """A listening socket at `path`; what a dead process left there goes. Raises AddressInUse."""
    with socket.socket(socket.AF_UNIX, kind) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
            pid = _listening_pid(probe)
            os.kill(pid, 0)
        except (FileNotFoundError, ConnectionRefusedError, ProcessLookupError):
            pass
        except PermissionError as error:
            raise AddressInUse(f"{path}: another user's process listens there") from error
        except BlockingIOError as error:
            raise AddressInUse(f"{path}: another process listens there") from error
        else:
            raise AddressInUse(
                f"{path}: process {pid} listens there. Stop it, or give another --run-dir"
            )
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, kind)
    try:
        sock.bind(str(path))
        os.chmod(path, mode)
        sock.listen(64)
    except OSError as error:
        sock.close()
        text = f"{path}: cannot listen: {error.strerror or error}; try a shorter --run-dir"
        raise OSError(error.errno, text) from None
    return sock


def _listening_pid(probe: socket.socket) -> int:
    """Who called listen(2) on the far end."""
    found = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid: int = _CREDENTIALS.unpack(found)[0]
    return pid

"""A driver that requests the vehicle identification when it opens the bus."""

import struct

from drivers.fms_j1939 import frame_socket

_open = frame_socket.FrameSocket._set_up


def _ask(self, interface, filters):
    _open(self, interface, filters)
    self._socket.send(struct.pack("=IB3x8s", 0x98EAFFF9, 3, b"\xec\xfe\x00"))


frame_socket.FrameSocket._set_up = _ask

"""`python failing_cloud.py POINT N ...`: the cloud end; kills itself the Nth time at a point."""

from __future__ import annotations

import os
import signal
import sys
import threading

from cloud.__main__ import main


class Kill:
    def __init__(self, point: str, times: int) -> None:
        self._point = point
        self._left = times

    def __call__(self, point: str) -> None:
        self._left -= point == self._point
        if self._left == 0:
            # What was published by now leaves through paho's thread: an ack too early is heard.
            threading.Event().wait(0.1)
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[3:], failpoint=Kill(sys.argv[1], int(sys.argv[2]))))

#!/usr/bin/python3
"""Runs inside a unit's sandbox and tries what the unit is not to do; one JSON object on stdout.

    probe.py NAME OWN-DEVICE OTHER-DEVICE OTHER-STATE

Each answer is "yes", the errno that refused it, or a count.
"""

import ctypes
import errno
import glob
import json
import mmap
import os
import signal
import socket
import sys
import tempfile
import time

CLONE_NEWUSER, PTRACE_ATTACH, MFD_CLOEXEC = 0x10000000, 16, 1
SYS_MEMFD_CREATE = 319
libc = ctypes.CDLL(None, use_errno=True)
name, own_device, other_device, other_state = sys.argv[1:]


def answer(attempt):
    """What became of an attempt."""
    try:
        got = attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    return "yes" if got is None else got


def call(function, *arguments):
    """A call of libc. Raises OSError."""
    if function(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "")


def write(path):
    with open(path, "w", encoding="ascii") as file:
        file.write("x")


def own_state():
    write(os.path.join(os.environ["STATE_DIRECTORY"], "probe"))
    os.unlink(os.path.join(os.environ["STATE_DIRECTORY"], "probe"))


def list_directory(path):
    os.listdir(path)


def opened(path):
    os.close(os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))


def open_socket(family, kind, protocol=0):
    socket.socket(family, kind, protocol).close()


def execute(*argv):
    """Start a program; the errno of exec comes through a pipe."""
    read, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(os.open("/dev/null", os.O_RDWR), 1)
            os.execv(argv[0], argv)
        except OSError as error:
            os.write(write_end, str(error.errno).encode())
        os._exit(1)
    os.close(write_end)
    said = os.read(read, 8)
    os.waitpid(pid, 0)
    if said:
        raise OSError(int(said), "")


def execute_copy(directory):
    """A program that it brought itself, where it may write."""
    path = os.path.join(directory, "program")
    with open("/usr/bin/true", "rb") as source, open(path, "wb") as copy:
        copy.write(source.read())
    os.chmod(path, 0o700)
    try:
        execute(path)
    finally:
        os.unlink(path)


def memory_file():
    call(libc.syscall, SYS_MEMFD_CREATE, b"x", MFD_CLOEXEC)


def write_and_execute():
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def setuid_file():
    path = os.path.join(os.environ["STATE_DIRECTORY"], "suid")
    write(path)
    try:
        os.chmod(path, 0o4755)
    finally:
        os.unlink(path)


def others():
    return sum(int(path.rsplit("/", 1)[1]) != os.getpid() for path in glob.glob("/proc/[0-9]*"))


def bound_can():
    with socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as sock:
        sock.bind(("can0",))


def reach_broker():
    with socket.create_connection(("10.99.0.1", 1883), timeout=5):
        pass


ATTEMPTS = {
    "write to its state directory": own_state,
    "open its device": lambda: opened(own_device),
    "connect to the broker": reach_broker,
    "receive from can0": bound_can,
    "write to /etc": lambda: write("/etc/probe"),
    "write to /usr": lambda: write("/usr/probe"),
    "write to /run/brain": lambda: write("/run/brain/probe"),
    "write to /tmp of the system": lambda: (
        write("/tmp/../var/tmp/../../tmp/probe")
        or ("its own" if not glob.glob("/tmp/systemd-private-*") else None)
    ),
    "read /etc/shadow": lambda: open("/etc/shadow", "rb").close(),
    "list /root": lambda: list_directory("/root"),
    "list /home": lambda: list_directory("/home"),
    "list the state of another": lambda: list_directory(other_state),
    "open the device of another": lambda: opened(other_device),
    "open /dev/mem": lambda: opened("/dev/mem"),
    "open the disk": lambda: opened("/dev/ubda"),
    "a socket of AF_INET": lambda: open_socket(socket.AF_INET, socket.SOCK_STREAM),
    "a socket of AF_CAN": lambda: open_socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW),
    "a socket of AF_NETLINK": lambda: open_socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "a socket of AF_PACKET": lambda: open_socket(socket.AF_PACKET, socket.SOCK_RAW),
    "memory to write and execute": write_and_execute,
    "a file in memory": memory_file,
    "execute /bin/sh": lambda: execute("/bin/sh", "-c", "true"),
    "execute a program that it wrote": lambda: execute_copy(os.environ["STATE_DIRECTORY"]),
    "execute a program that it wrote to /tmp": lambda: execute_copy("/tmp"),
    "set the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
    "a user name space": lambda: call(libc.unshare, CLONE_NEWUSER),
    "become root": lambda: os.setuid(0),
    "a set-uid file": setuid_file,
    "a device node": lambda: os.mknod(tempfile.mktemp(), 0o20600, os.makedev(1, 1)),
    "mount": lambda: call(libc.mount, b"none", b"/tmp", b"tmpfs", 0, None),
    "real-time priority": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "kill another": lambda: os.kill(1, signal.SIGTERM),
    "trace another": lambda: call(libc.ptrace, PTRACE_ATTACH, 1, 0, 0),
    "see other processes": others,
}
sys.stdout.write(json.dumps({what: answer(attempt) for what, attempt in ATTEMPTS.items()}) + "\n")

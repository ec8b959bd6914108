"""What each unit can do and cannot: the table of docs/rig.md and of test_systemd_units.py."""

from __future__ import annotations

UNITS = ("run", "gnss", "fms", "fms on can0")
YES = "yes"
_NO_FAMILY = "EAFNOSUPPORT"

TABLE: dict[str, tuple[str | int, str | int, str | int, str | int]] = {
    # attempt: coordinator, GNSS driver, FMS driver with a stick, FMS driver with an interface
    "write to its state directory": (YES, YES, YES, YES),
    "open its device": ("ENOENT", YES, YES, "ENOENT"),
    "connect to the broker": (YES, _NO_FAMILY, _NO_FAMILY, _NO_FAMILY),
    "receive from can0": (_NO_FAMILY, _NO_FAMILY, _NO_FAMILY, YES),
    "write to /etc": ("EROFS", "EROFS", "EROFS", "EROFS"),
    "write to /usr": ("EROFS", "EROFS", "EROFS", "EROFS"),
    "write to /run/brain": ("EACCES",) * 4,
    "write to /tmp of the system": ("its own",) * 4,
    "read /etc/shadow": ("EACCES",) * 4,
    "list /root": ("EACCES",) * 4,
    "list /home": ("EACCES",) * 4,
    "list the state of another": ("EACCES",) * 4,
    "open the device of another": ("ENOENT", "EACCES", "EACCES", "ENOENT"),
    "open /dev/mem": ("ENOENT", "EACCES", "EACCES", "ENOENT"),
    "open the disk": ("ENOENT", "EACCES", "EACCES", "ENOENT"),
    "a socket of AF_INET": (YES, _NO_FAMILY, _NO_FAMILY, _NO_FAMILY),
    "a socket of AF_CAN": (_NO_FAMILY, _NO_FAMILY, _NO_FAMILY, YES),
    # It asks rtnetlink whether the controller listens only.
    "a socket of AF_NETLINK": (_NO_FAMILY, _NO_FAMILY, _NO_FAMILY, YES),
    "a socket of AF_PACKET": (_NO_FAMILY,) * 4,
    "memory to write and execute": ("EPERM",) * 4,
    "a file in memory": ("EPERM",) * 4,
    "execute /bin/sh": ("EACCES",) * 4,
    "execute a program that it wrote": ("EACCES",) * 4,
    "execute a program that it wrote to /tmp": ("EACCES",) * 4,
    "set the clock": ("EPERM",) * 4,
    "a user name space": ("EPERM",) * 4,
    "become root": ("EPERM",) * 4,
    "a set-uid file": ("EPERM",) * 4,
    "a device node": ("EPERM",) * 4,
    "mount": ("EPERM",) * 4,
    "real-time priority": ("EPERM",) * 4,
    "kill another": ("EPERM",) * 4,
    "trace another": ("EPERM",) * 4,
    "see other processes": (0,) * 4,
}


def markdown() -> str:
    """The table as docs shows it."""
    lines = ["| attempt | " + " | ".join(UNITS) + " |", "| --- " * 5 + "|"]
    lines += [
        f"| {what} | " + " | ".join(str(answer) for answer in answers) + " |"
        for what, answers in TABLE.items()
    ]
    return "\n".join(lines) + "\n"

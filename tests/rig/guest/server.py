#!/usr/bin/python3
"""Runs in the guest what the host asks for: one JSON object a line on the serial line ttyS15.

Asked: {"start": ID, "argv": [...], "env": {...}, "cwd": DIR}, {"kill": ID, "signal": N} and
{"poweroff": true}. Told: {"ready": UPTIME_S}, {"ended": ID, "code": N} where N is negative for a
signal. What a program prints goes to /rig/ID.out, a file of the host: it outlives a power cut.
In a bare boot this is PID 1, so it reaps whatever it is given.
"""

import json
import os
import select
import signal
import sys
import time
import tty

LINE = "/dev/ttyS15"
OUTPUT = "/rig"


def tell(line, **facts):
    """One line to the host."""
    os.write(line, json.dumps(facts).encode() + b"\n")


def start(request):
    """Start a program with a session of its own; its pid."""
    name = request["start"]
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", **request["env"]}
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        out = os.open(f"{OUTPUT}/{name}.out", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.chdir(request["cwd"])
        os.execvpe(request["argv"][0], request["argv"], env)
    except OSError as error:
        os.write(2, f"rig-server: {request['argv'][0]}: {error.strerror}\n".encode())
    os._exit(127)


def reap(line, running):
    """Collect the dead and tell of those that were asked for."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        name = running.pop(pid, None)
        if name is not None:
            tell(line, ended=name, code=os.waitstatus_to_exitcode(status))


def obey(line, request, running):
    """Do what one line asks for."""
    if "start" in request:
        running[start(request)] = request["start"]
    elif "kill" in request:
        for pid, name in running.items():
            if name == request["kill"]:
                os.killpg(pid, request["signal"])
    elif "poweroff" in request:
        os.sync()
        os.execvp("poweroff", ["poweroff"] if os.getpid() != 1 else ["poweroff", "-f"])


def main():
    """Serve until the machine goes away."""
    line = os.open(LINE, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(line)
    os.environ.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    os.environ.setdefault("HOME", "/root")
    wake, wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wakeup)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    with open("/proc/uptime", encoding="ascii") as uptime:
        tell(line, ready=float(uptime.read().split()[0]), boottime=time.clock_gettime(7))
    running, rest = {}, b""
    while True:
        for fd in select.select([line, wake], [], [])[0]:
            if fd == wake:
                os.read(wake, 4096)
                reap(line, running)
                continue
            rest += os.read(line, 65536)
            *whole, rest = rest.split(b"\n")
            for text in whole:
                try:
                    obey(line, json.loads(text), running)
                except (ValueError, KeyError, OSError) as error:
                    sys.stderr.write(f"rig-server: {text[:200]!r}: {error}\n")


if __name__ == "__main__":
    main()

"""What `brain doctor` looks at besides devices: disk, broker, clock."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from agent.cli.words import size
from agent.clock import OffsetSource, boot_id, system_offset
from agent.config import Config, Uplink
from agent.uplink.refused import Refused
from agent.uplink.settings import UplinkConfig
from agent.uplink.tls import context

CONNECT_LIMIT_S = 5.0
_SPARE_BYTES = 64_000_000
"""Room that the outbox needs beside its quota: its log, the reserve, the drivers' folders."""


class Level(StrEnum):
    """How bad a finding is; a warning alone makes nothing fail."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the checklist. `fix` is what to do, "" where all is well."""

    group: str
    name: str
    level: Level
    text: str
    fix: str = ""


def state_directory(config: Config, directory: Path) -> list[Finding]:
    """Can the outbox be written, and does the disk have room for all of its quota?"""
    group, name = "storage", str(directory)
    existing = directory
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        fix = "remove that file, or set agent.state_dir"
        return [Finding(group, name, Level.FAILED, f"{existing} is no folder", fix)]
    if not os.access(existing, os.W_OK | os.X_OK):
        fix = "run as the user of brain, or set agent.state_dir"
        return [Finding(group, name, Level.FAILED, f"{existing} is not writable for you", fix)]
    state = "writable" if existing == directory else "will be created"
    found = [Finding(group, name, Level.OK, state)]
    disk = os.statvfs(existing)
    free = disk.f_bavail * disk.f_frsize
    quota = config.store.quota_mb
    used = sum(f.stat().st_size for f in directory.glob("outbox.db*")) if directory.is_dir() else 0
    wanted = (quota.alarm + quota.history + quota.bulk << 20) + _SPARE_BYTES - used
    text = f"{size(free)} free, the outbox may still take {size(max(wanted, 0))}"
    if free >= wanted:
        return [*found, Finding(group, "free space", Level.OK, text)]
    fix = "free some space, or lower store.quota_mb"
    return [*found, Finding(group, "free space", Level.FAILED, text, fix)]


def broker(uplink: Uplink) -> Finding:
    """Does somebody listen, and with TLS: do both sides trust each other?"""
    name = f"{uplink.broker}:{uplink.port}"
    if not uplink.enabled:
        return Finding("uplink", name, Level.WARNING, "off", "brain config set uplink.enabled true")
    try:
        with socket.create_connection((uplink.broker, uplink.port), CONNECT_LIMIT_S) as plain:
            if uplink.tls == "off":
                return Finding("uplink", name, Level.OK, "reachable")
            settings = UplinkConfig(**uplink.model_dump(exclude={"username", "password"}))
            made = context(settings, None)
            with made.wrap_socket(plain, server_hostname=uplink.broker) as secure:
                return Finding("uplink", name, Level.OK, f"reachable, {secure.version()}")
    except Refused as error:
        return Finding("uplink", name, Level.FAILED, str(error), "correct those files")
    except (OSError, ValueError) as error:
        text, fix = _explain(error, uplink)
        return Finding("uplink", name, Level.FAILED, text, fix)


def _explain(error: Exception, uplink: Uplink) -> tuple[str, str]:
    if isinstance(error, socket.gaierror):
        return f"the name is not known ({error.strerror})", "correct uplink.broker, or check DNS"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted: {error.verify_message}",
            "correct uplink.ca_file, or use the name that the certificate is for",
        )
    if isinstance(error, ssl.SSLError):
        reason = error.reason or error
        return f"no TLS: {reason}", "correct uplink.port and uplink.tls, cert_file and key_file"
    if isinstance(error, TimeoutError):
        text = f"no answer within {CONNECT_LIMIT_S:g} s"
        return text, "check the network and any firewall on the way"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there", "start the broker, or correct uplink.broker and uplink.port"
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return text, f"check the network, and that {uplink.broker} is right"


def clock(running: Mapping[str, Any] | None) -> Finding:
    """What the agent knows of UTC; `running` is its status, None where it does not run."""
    if running is not None:
        source = OffsetSource(running["clock"]["source"])
    else:
        source = system_offset(boot_id()).source
    fix = "enable time synchronisation: timedatectl set-ntp true; a GNSS fix corrects it too"
    if source is OffsetSource.NONE:
        text = "the system clock is wrong; records are kept by boot time until a better clock comes"
        return Finding("clock", "UTC", Level.WARNING, text, fix)
    if source is OffsetSource.RTC:
        return Finding("clock", "UTC", Level.WARNING, "plausible, but synchronised by nobody", fix)
    if source is OffsetSource.VEHICLE:
        return Finding("clock", "UTC", Level.OK, "taken from the vehicle's own clock")
    return Finding("clock", "UTC", Level.OK, f"synchronised by {source.value.upper()}")

"""What a fleet operator searches the journal for: a fixed id for each class of alarm.

Log lines carry them by `extra=of(Alarm.X, driver)`; where the journal listens they become
MESSAGE_ID and BRAIN_DRIVER. An id is never given a new meaning.
"""

from __future__ import annotations

from enum import StrEnum


class Alarm(StrEnum):
    """32 hex digits each, see sd_journal_send(3)."""

    RECORDING = "6d1f1b2f0c3f4a6cb6e35be5d4c9a001"
    """The coordinator records: config valid, outbox open, doors open."""
    STALLED = "6d1f1b2f0c3f4a6cb6e35be5d4c9a002"
    """A loop of the coordinator is late, the watchdog is not fed."""
    FAILED = "6d1f1b2f0c3f4a6cb6e35be5d4c9a003"
    """A part of the coordinator failed, it restarts."""
    OUTBOX_REFUSES = "6d1f1b2f0c3f4a6cb6e35be5d4c9a004"
    """Nothing can be committed just now: disk full, read-only or broken."""
    OUTBOX_DAMAGED = "6d1f1b2f0c3f4a6cb6e35be5d4c9a00b"
    """The outbox was damaged; says how many records that cost."""
    OUTBOX_GIVES_UP = "6d1f1b2f0c3f4a6cb6e35be5d4c9a00c"
    """Records that were not delivered are given up: no room for them, or too old."""
    CLOCKS_DISAGREE = "6d1f1b2f0c3f4a6cb6e35be5d4c9a00d"
    """Two receivers state times far apart."""
    UPLINK_DOWN = "6d1f1b2f0c3f4a6cb6e35be5d4c9a005"
    """The connection to the broker was lost."""
    SPEAKER_REFUSED = "6d1f1b2f0c3f4a6cb6e35be5d4c9a006"
    """At the ingest door somebody, or what somebody said, was turned away."""
    DRIVER_DEVICE = "6d1f1b2f0c3f4a6cb6e35be5d4c9a007"
    """A driver's device is unavailable."""
    DRIVER_FAILED = "6d1f1b2f0c3f4a6cb6e35be5d4c9a008"
    """A driver raised, hangs or returned."""
    CONFIG_REFUSED = "6d1f1b2f0c3f4a6cb6e35be5d4c9a009"
    """A configuration is invalid; at a reload the running one stays."""
    CONFIG_APPLIED = "6d1f1b2f0c3f4a6cb6e35be5d4c9a00a"
    """A reload took effect."""
    BUDGET = "6d1f1b2f0c3f4a6cb6e35be5d4c9a010"
    """The budget of the SIM card reached another step: less is sent, or more again."""
    UPLINK_UNTRUSTED = "6d1f1b2f0c3f4a6cb6e35be5d4c9a020"
    """The broker is not who it should be, or it does not accept this vehicle's certificate."""
    UPLINK_CLOCK = "6d1f1b2f0c3f4a6cb6e35be5d4c9a021"
    """The broker cannot be trusted because this box does not know what time it is."""
    UPLINK_DENIED = "6d1f1b2f0c3f4a6cb6e35be5d4c9a022"
    """The broker refuses this vehicle, or one of its topics."""
    UPLINK_TAKEN_OVER = "6d1f1b2f0c3f4a6cb6e35be5d4c9a023"
    """Another client uses the name of this vehicle."""
    UPLINK_UNHEARD = "6d1f1b2f0c3f4a6cb6e35be5d4c9a024"
    """Some records reach the broker and are never acknowledged by the cloud application."""
    COMMAND_REFUSED = "6d1f1b2f0c3f4a6cb6e35be5d4c9a030"
    """A command was refused; at most a few lines an hour."""
    CONFIG_ROLLED_BACK = "6d1f1b2f0c3f4a6cb6e35be5d4c9a031"
    """A configuration that came as a command was taken back."""


def of(alarm: Alarm, driver: str = "") -> dict[str, str]:
    """The `extra` of a log line; `driver` is the name of the one concerned."""
    fields = {"message_id": alarm.value}
    return fields | {"brain_driver": driver} if driver else fields

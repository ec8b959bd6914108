"""Section `[store]` of the coordinator's configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Quota(_Section):
    """Most MB of flash that each class of records takes; the oldest ones go first."""

    alarm: Annotated[int, Field(ge=1, le=65_536, description="MB for events and replies.")] = 32
    history: Annotated[int, Field(ge=1, le=1_048_576, description="MB for samples and status.")] = (
        256
    )
    bulk: Annotated[
        int, Field(ge=1, le=1_048_576, description="MB for the records of files and segments.")
    ] = 16


_Hours = Annotated[int, Field(ge=0, le=100_000, description="Hours; 0 for no such limit.")]
_Records = Annotated[int, Field(ge=0, le=10**9, description="Records; 0 for no such limit.")]


class QuotaHours(_Section):
    """Hours of powered-on time after which records of each class go, sent or not."""

    alarm: _Hours = 0
    history: _Hours = 0
    bulk: _Hours = 0


class QuotaRecords(_Section):
    """Most records of each class that wait; the oldest ones go first."""

    alarm: _Records = 0
    history: _Records = 0
    bulk: _Records = 0


class Store(_Section):
    """How records are committed to flash and how many are kept."""

    commit_interval_s: Annotated[
        float, Field(ge=0.05, le=60, description="Seconds that samples wait for a commit.")
    ] = 1.0
    alarm_commit_ms: Annotated[
        int, Field(ge=20, le=50, description="Milliseconds that an event waits for a commit.")
    ] = 30
    files_mb: Annotated[
        int,
        Field(
            ge=1, le=1_048_576, description="MB of flash for files that wait; the oldest go first."
        ),
    ] = 512
    thin_history: Annotated[
        Literal["10s, 60s", "10s", "off"],
        Field(
            description="History beyond its quota keeps one value a signal in 10 s, then in 60 s, "
            'before it is dropped; "off": it is dropped.'
        ),
    ] = "10s, 60s"
    quota_mb: Annotated[Quota, Field(description="MB of flash for each class of records.")] = (
        Quota()
    )
    quota_hours: Annotated[
        QuotaHours, Field(description="Powered-on hours that each class of records is kept.")
    ] = QuotaHours()
    quota_records: Annotated[
        QuotaRecords, Field(description="Most records of each class that wait.")
    ] = QuotaRecords()

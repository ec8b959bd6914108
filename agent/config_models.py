"""The sections of the coordinator's configuration: types, bounds, defaults, meanings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

_PathText = Annotated[str, Field(max_length=4096)]
_Secret = Annotated[str, Field(max_length=4096, repr=False)]


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, populate_by_name=True)


class Vehicle(_Section):
    """Which vehicle this is."""

    id: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9_-]{1,64}$",
            description="Name of the vehicle in the cloud: 1..64 letters, digits, _ and -.",
        ),
    ]
    overlay: Annotated[
        _PathText,
        Field(
            description="Settings of a vehicle model that lie under this file: "
            'a packaged name or the path of a TOML file, "" for none.'
        ),
    ] = ""


class Agent(_Section):
    """Where the agent lives and how much it says."""

    run_dir: Annotated[
        _PathText,
        Field(
            description="Directory of the sockets; "
            '"" is /run/brain where it exists, else one per user.'
        ),
    ] = ""
    state_dir: Annotated[
        _PathText,
        Field(
            description="Directory of the outbox; "
            '"" is /var/lib/brain where it exists, else "state" in the run directory.'
        ),
    ] = ""
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Field(description="Least important message that is logged."),
    ] = "info"


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


class Uplink(_Section):
    """The way to the cloud over MQTT."""

    enabled: Annotated[bool, Field(description="Whether records are sent at all.")] = True
    broker: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9._:-]{1,253}$",
            description="Host name or address of the broker, without scheme and port.",
        ),
    ] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65_535, description="TCP port of the broker.")] = 1883
    tls: Annotated[
        Literal["off", "on"], Field(description="Whether the connection is encrypted.")
    ] = "off"
    ca_file: Annotated[
        _PathText,
        Field(
            description="PEM file of the authorities that vouch for the broker; "
            '"" for those of the system.'
        ),
    ] = ""
    cert_file: Annotated[
        _PathText, Field(description='PEM file of the certificate of this vehicle; "" for none.')
    ] = ""
    key_file: Annotated[
        _PathText, Field(description='PEM file of the key of that certificate; "" for none.')
    ] = ""
    username: Annotated[
        _Secret, Field(description="User name at the broker, plain or by reference.")
    ] = ""
    password: Annotated[
        _Secret,
        Field(
            pattern=r"^$|^(file|env|credential):.+$",
            description="Password by reference: "
            '"file:/path", "env:NAME" or "credential:NAME" of systemd.',
        ),
    ] = ""
    prefix: Annotated[
        str,
        Field(
            pattern=r"^[^/+#\x00]+(/[^/+#\x00]+){0,3}$",
            max_length=128,
            description="First part of each topic: at most 4 levels, without + and #.",
        ),
    ] = "brain"
    format: Annotated[
        Literal["protobuf", "json"],
        Field(description="Form of a batch: protobuf is small, json is readable everywhere."),
    ] = "protobuf"
    linger_s: Annotated[
        float, Field(ge=0, le=60, description="Seconds that samples wait for company.")
    ] = 1.0
    window: Annotated[int, Field(ge=1, le=20, description="Batches in flight.")] = 6
    max_payload_kib: Annotated[int, Field(ge=4, le=240, description="Largest batch in KiB.")] = 96
    ack_timeout_s: Annotated[
        float, Field(ge=1, le=600, description="Seconds until a batch is sent again.")
    ] = 8.0
    keepalive_s: Annotated[
        int, Field(ge=5, le=3600, description="Seconds of silence until the broker is asked.")
    ] = 60
    files_first: Annotated[
        list[str],
        Field(
            max_length=100,
            description="Files that take turns with history instead of waiting for its end: "
            "names of drivers and media types.",
        ),
    ] = []
    files_url: Annotated[
        str,
        Field(
            pattern=r"^$|^https://[A-Za-z0-9.:-]{1,253}/[A-Za-z0-9._/-]{0,512}$"
            r"|^http://127\.0\.0\.1(:[0-9]{1,5})?/[A-Za-z0-9._/-]{0,512}$",
            description="What presigned URLs must begin with, such as "
            '"https://s3.eu-central-1.amazonaws.com/my-bucket/"; "": files go over MQTT alone.',
        ),
    ] = ""
    files_ca_file: Annotated[
        _PathText,
        Field(
            description="PEM file of the authorities that vouch for that store; "
            '"" for those of the system.'
        ),
    ] = ""


class Config(_Section):
    """The whole configuration. A driver's section is a raw table with at least `type`."""

    schema_version: Annotated[
        Literal[1], Field(alias="schema", description="Version of the form of this file.")
    ] = 1
    vehicle: Vehicle
    agent: Agent = Agent()
    store: Store = Store()
    uplink: Uplink = Uplink()
    drivers: Annotated[
        dict[str, dict[str, Any]], Field(description="One table [drivers.NAME] a driver.")
    ] = {}

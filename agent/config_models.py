"""The sections of the coordinator's configuration: types, bounds, defaults, meanings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agent.config_budget import BudgetSection
from agent.config_commands import Commands
from agent.config_store import Store
from agent.profiles import ProfileName

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


class Uplink(_Section):
    """The way to the cloud over MQTT."""

    enabled: Annotated[bool, Field(description="Whether records are sent at all.")] = True
    profile: Annotated[
        ProfileName,
        Field(description="Kind of broker, for the limits that it does not announce."),
    ] = "mosquitto"
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
            pattern=r"^[^/+#\x00-\x1f\x7f]+(/[^/+#\x00-\x1f\x7f]+){0,3}$",
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
    ] = 10.0
    window: Annotated[int, Field(ge=1, le=20, description="Batches in flight.")] = 6
    max_payload_kib: Annotated[int, Field(ge=4, le=240, description="Largest batch in KiB.")] = 96
    ack_timeout_s: Annotated[
        float, Field(ge=1, le=600, description="Seconds until a batch is sent again.")
    ] = 8.0
    keepalive_s: Annotated[
        int, Field(ge=5, le=3600, description="Seconds of silence until the broker is asked.")
    ] = 60
    messages_per_s: Annotated[
        float, Field(ge=1, le=1_000, description="Most messages a second, on average.")
    ] = 50.0
    kib_per_s: Annotated[
        float, Field(ge=1, le=100_000, description="Most KiB a second, on average.")
    ] = 390.0
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


_Order = Annotated[
    list[
        Annotated[
            str,
            Field(
                pattern=r"^(\*|[A-Za-z0-9_-]{1,32}):[A-Za-z][A-Za-z0-9_.]*$",
                description='"NAME:PATH", NAME of a driver or * for any.',
            ),
        ]
    ],
    Field(
        min_length=1,
        max_length=32,
        description='Sources, best first: "NAME:PATH", NAME of a driver or * for any.',
    ),
]
_Fresh = Annotated[
    float, Field(ge=0.5, le=600, description="Seconds that a value counts after its capture.")
]
_TakeOver = Annotated[
    float,
    Field(ge=0, le=600, description="Seconds that a better source must be good to be followed."),
]
_FallBack = Annotated[
    float,
    Field(ge=0, le=600, description="Seconds that the followed source may be bad."),
]
_DifferFor = Annotated[
    float, Field(ge=0, le=3600, description="Seconds that sources may differ until it is noted.")
]


class SpeedArbitration(_Section):
    """Whose speed is Vehicle.Speed of the agent."""

    order: _Order = [
        "*:Vehicle.Speed",
        "*:Vehicle.Tachograph.Speed",
        "*:Vehicle.Bus.Gnss.Speed",
    ]
    fresh_s: _Fresh = 3.0
    take_over_s: _TakeOver = 5.0
    fall_back_s: _FallBack = 2.0
    differ_kmh: Annotated[float, Field(ge=0.1, le=200, description="Difference that is noted.")] = (
        10.0
    )
    differ_s: _DifferFor = 10.0


class OdometerArbitration(_Section):
    """Whose odometer is Vehicle.TraveledDistance of the agent."""

    order: _Order = ["*:Vehicle.TraveledDistance"]
    fresh_s: _Fresh = 10.0
    take_over_s: _TakeOver = 30.0
    fall_back_s: _FallBack = 30.0
    differ_m: Annotated[float, Field(ge=1, le=1e9, description="Difference that is noted.")] = (
        1000.0
    )
    differ_s: _DifferFor = 60.0


class HeadingArbitration(_Section):
    """Whose heading is Vehicle.CurrentLocation.Heading of the agent, and when one is believed."""

    order: _Order = ["*:Vehicle.CurrentLocation.Heading"]
    fresh_s: _Fresh = 3.0
    take_over_s: _TakeOver = 5.0
    fall_back_s: _FallBack = 5.0
    differ_degrees: Annotated[
        float, Field(ge=1, le=180, description="Difference that is noted.")
    ] = 45.0
    differ_s: _DifferFor = 10.0
    moving_kmh: Annotated[
        float, Field(ge=0, le=50, description="Speed from which a heading is believed.")
    ] = 5.0
    standing_kmh: Annotated[
        float, Field(ge=0, le=50, description="Speed below which it is believed no more.")
    ] = 3.0


class ClockArbitration(_Section):
    """Whose clock gives UTC. A receiver always ranks above the vehicle's own clock."""

    order: _Order = ["*:Vehicle.Bus.Utc", "*:Vehicle.Bus.Clock.Vehicle"]


class Arbitration(_Section):
    """Whom to follow where several sources give one signal."""

    speed: SpeedArbitration = SpeedArbitration()
    odometer: OdometerArbitration = OdometerArbitration()
    heading: HeadingArbitration = HeadingArbitration()
    clock: ClockArbitration = ClockArbitration()


class Config(_Section):
    """The whole configuration. A driver's section is a raw table with at least `type`."""

    schema_version: Annotated[
        Literal[1], Field(alias="schema", description="Version of the form of this file.")
    ] = 1
    vehicle: Vehicle
    agent: Agent = Agent()
    store: Store = Store()
    uplink: Uplink = Uplink()
    arbitration: Arbitration = Arbitration()
    budget: BudgetSection = BudgetSection()
    commands: Commands = Commands()
    drivers: Annotated[
        dict[str, dict[str, Any]], Field(description="One table [drivers.NAME] a driver.")
    ] = {}

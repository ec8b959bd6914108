"""What the uplink must know of the configuration: plain values, already checked and resolved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agent.profiles import PROFILES, Profile, ProfileName


@dataclass(frozen=True, slots=True)
class UplinkConfig:
    """Section `[uplink]` with its secrets resolved. Bounds are the config model's affair.

    `password`, `username`: None where the broker asks for none. `ca_file`, `cert_file`, `key_file`:
    empty for the system's CA certificates and for no client certificate.
    """

    broker: str = "127.0.0.1"
    port: int = 1883
    enabled: bool = True
    profile: ProfileName = "mosquitto"
    tls: Literal["off", "on"] = "off"
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    username: str | None = None
    password: str | None = None
    prefix: str = "brain"
    format: Literal["protobuf", "json"] = "protobuf"
    linger_s: float = 1.0
    window: int = 6
    max_payload_kib: int = 96
    ack_timeout_s: float = 8.0
    keepalive_s: int = 60
    messages_per_s: float = 50.0
    kib_per_s: float = 390.0

    @property
    def broker_takes(self) -> Profile:
        """What a broker of this kind takes."""
        return PROFILES[self.profile]

    @property
    def address(self) -> str:
        """The broker as people write it: host:port."""
        host = f"[{self.broker}]" if ":" in self.broker else self.broker
        return f"{host}:{self.port}"

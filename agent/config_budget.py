"""Section `[budget]` of the coordinator's configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_Interface = Annotated[str, Field(pattern=r"^[^/\s]{1,15}$", description="Name of an interface.")]


class Unmetered(BaseModel):
    """Which links cost nothing: there are no limits there, and bytes are counted apart."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    interfaces: Annotated[
        list[_Interface], Field(max_length=16, description="Interfaces such as the depot's Wi-Fi.")
    ] = []


class BudgetSection(BaseModel):
    """What the SIM card may cost in a month, and what is given up before that is spent."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    monthly_mb: Annotated[
        int, Field(ge=0, le=10_000_000, description="MB a month, both ways; 0 for no limit.")
    ] = 0
    reserve_percent: Annotated[
        int, Field(ge=0, le=50, description="Part of them kept for alarms and positions.")
    ] = 5
    previews_off_percent: Annotated[
        int,
        Field(
            ge=1, le=100, description="Reserved for previews of clips; without effect until then."
        ),
    ] = 60
    slow_percent: Annotated[
        int, Field(ge=1, le=100, description="Part of the rest after which samples wait.")
    ] = 80
    newest_percent: Annotated[
        int, Field(ge=1, le=100, description="Part after which only the newest samples go.")
    ] = 95
    alarms_percent: Annotated[
        int, Field(ge=1, le=100, description="Part after which only alarms and positions go.")
    ] = 100
    slow_factor: Annotated[
        int, Field(ge=1, le=60, description="Live interval, slowed down, in times uplink.linger_s.")
    ] = 3
    slow_linger_s: Annotated[
        int, Field(ge=1, le=600, description="Seconds that samples wait at least when slowed down.")
    ] = 60
    position_every_s: Annotated[
        int, Field(ge=10, le=86_400, description="Seconds between positions at the last step.")
    ] = 300
    unmetered: Annotated[Unmetered, Field(description="Links without limits.")] = Unmetered()

"""Section [commands]: whose signed commands count, and what each role may ask for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

OPERATIONS = frozenset({"status", "bundle", "dump", "driver.restart", "config.set"})
"""Those that there are; a role may name others, which a later version brings."""
MAX_TRUSTED = 2
"""Keys of one issuer at a time: the old one and the new one while they are exchanged."""
_Word = r"^[A-Za-z0-9_.-]{1,64}$"


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class CommandKey(_Section):
    """A public key that may sign commands; its name is the `kid` of the commands."""

    key: Annotated[
        str,
        Field(
            max_length=4096,
            description='Ed25519 public key as 43 characters of base64url, or "file:/path" of it.',
        ),
    ]
    issuer: Annotated[
        str, Field(pattern=_Word, description="Whose key it is; counters rise for each issuer.")
    ]
    role: Annotated[str, Field(pattern=_Word, description="A role of [commands.roles].")]
    state: Annotated[
        Literal["trusted", "revoked"],
        Field(description="Whether it counts; at most two of an issuer are trusted."),
    ] = "trusted"


class Commands(_Section):
    """Who may command this vehicle. Without keys no command is listened to."""

    reply_key: Annotated[
        str,
        Field(
            pattern=r"^$|^(file|env|credential):.+$",
            description="Ed25519 private key in PEM that signs replies, by reference; "
            '"" for one that the agent makes in its state directory.',
            repr=False,
        ),
    ] = ""
    roles: Annotated[
        dict[
            Annotated[str, Field(pattern=_Word)],
            Annotated[list[Annotated[str, Field(pattern=_Word)]], Field(max_length=32)],
        ],
        Field(description="Role -> operations that it may ask for."),
    ] = {}
    keys: Annotated[
        dict[Annotated[str, Field(pattern=_Word)], CommandKey],
        Field(max_length=16, description="One table [commands.keys.KID] a public key."),
    ] = {}

"""Why a command has no effect: one fixed word for each reason, counted and told apart."""

from __future__ import annotations

from enum import StrEnum


class Why(StrEnum):
    """A reason; it says nothing secret. An id is never given a new meaning."""

    TOO_LARGE = "too_large"
    WRONG_TOPIC = "wrong_topic"
    RETAINED = "retained"
    FLOOD = "flood"
    """More messages came than are looked at; this one was not."""
    MALFORMED = "malformed"
    """No JWS in compact form with strict base64url and strict JSON."""
    HEADER = "header"
    """A header parameter is missing, unknown or of the wrong type."""
    ALGORITHM = "algorithm"
    TYPE = "type"
    UNKNOWN_KEY = "unknown_key"
    REVOKED_KEY = "revoked_key"
    SIGNATURE = "signature"
    CLAIMS = "claims"
    """A claim is missing, unknown or of the wrong form."""
    AUDIENCE = "audience"
    ISSUER = "issuer"
    ROLE = "role"
    """The role of the key may not give this operation, or is not the one that is claimed."""
    REPLAYED = "replayed"
    """Its counter, its id or its time was seen before."""
    NO_CLOCK = "no_clock"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    LIFETIME = "lifetime"
    """It would be valid for longer than its operation allows."""
    UNKNOWN_OPERATION = "unknown_operation"
    ARGUMENTS = "arguments"
    QUOTA = "quota"
    BUSY = "busy"
    NOT_DURABLE = "not_durable"
    """The intent could not be written down, so nothing was done."""


class Refused(Exception):
    """A command is refused. `text` is for the reply and the log, at most a line."""

    def __init__(self, why: Why, text: str) -> None:
        super().__init__(f"{why}: {text}")
        self.why = why
        self.text = text

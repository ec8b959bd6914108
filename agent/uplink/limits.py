"""What a connection takes at once: ours by configuration, less where the broker announces less."""

from __future__ import annotations

from dataclasses import dataclass

from agent.uplink.endpoint import Connected
from agent.uplink.settings import UplinkConfig
from agent.uplink.topics import Topics

PACKET_OVERHEAD = 32
"""Of a PUBLISH beside topic and payload: header, lengths, message id, expiry, and some to spare."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`payload`: bytes of a message; `window`: messages that may wait for the application's ack."""

    payload: int
    window: int

    @classmethod
    def of(cls, config: UplinkConfig, topics: Topics, told: Connected | None = None) -> Limits:
        """By configuration, and by what the broker told at connecting."""
        payload, window = config.max_payload_kib * 1024, config.window
        if told is not None and told.maximum_packet is not None:
            # The broker's limit is for the whole packet.
            room = told.maximum_packet - PACKET_OVERHEAD - topics.longest_batch_bytes
            payload = min(payload, max(1, room))
        if told is not None and told.receive_maximum is not None:
            window = min(window, told.receive_maximum)
        return cls(payload, window)

"""The topics of one vehicle: `{prefix}/v1/{vehicle}/up/...` and `.../dn/...`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent.profiles import BASIC_INGEST, MAX_SLASHES, MAX_TOPIC_BYTES, slashes
from agent.record import StorageClass

_VEHICLE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONGEST_NUMBER = "4294967295"


@dataclass(frozen=True, slots=True)
class Topics:
    """All topics of one vehicle. Raises ValueError for a prefix or vehicle that no broker takes."""

    prefix: str
    vehicle: str

    def __post_init__(self) -> None:
        if not _VEHICLE.fullmatch(self.vehicle):
            raise ValueError(
                f"vehicle.id: {self.vehicle!r} is no vehicle id: "
                "1 to 64 letters, digits, '_' or '-' are expected"
            )
        rest = BASIC_INGEST.sub("", self.prefix, count=1)
        levels = rest.split("/") if rest or not self.prefix else []
        wrong = any(not level or re.search(r"[+#\x00-\x1f\x7f]", level) for level in levels)
        if wrong or self.prefix.endswith("/"):
            raise ValueError(
                f"uplink.prefix: {self.prefix!r} is no topic prefix: names with '/' between them "
                "and without '+' and '#' are expected, such as 'brain' or 'fleet/brain'"
            )
        if rest.startswith("$"):
            raise ValueError(
                f"uplink.prefix: {self.prefix!r}: topics that begin with '$' belong to the broker; "
                "only '$aws/rules/<rule>' (AWS Basic Ingest) is possible"
            )
        longest = self.chunk("0" * 64, int(_LONGEST_NUMBER))
        if slashes(longest) > MAX_SLASHES:
            raise ValueError(
                f"uplink.prefix: {self.prefix!r} makes topics with {slashes(longest)} slashes, "
                f"{MAX_SLASHES} are possible; use a shorter prefix"
            )
        if len(longest.encode()) > MAX_TOPIC_BYTES:
            raise ValueError(
                f"uplink.prefix: {self.prefix!r} makes topics of {len(longest.encode())} bytes, "
                f"{MAX_TOPIC_BYTES} are possible; use a shorter prefix"
            )

    def up(self, name: str) -> str:
        """A topic from the vehicle to the cloud."""
        return f"{self.prefix}/v1/{self.vehicle}/up/{name}"

    def down(self, name: str) -> str:
        """A topic from the cloud to the vehicle. Nobody can subscribe below Basic Ingest."""
        prefix = BASIC_INGEST.sub("", self.prefix, count=1)
        return f"{prefix}/v1/{self.vehicle}/dn/{name}" if prefix else f"v1/{self.vehicle}/dn/{name}"

    def of(self, storage_class: StorageClass) -> str:
        """Where the batches of a storage class go."""
        names = {
            StorageClass.ALARM: "events",
            StorageClass.HISTORY: "telemetry",
            StorageClass.BULK: "files",
        }
        return self.up(names[storage_class])

    @property
    def longest_batch_bytes(self) -> int:
        """Bytes of the longest topic that batches go to."""
        return max(len(self.of(storage_class).encode()) for storage_class in StorageClass)

    def catalogue(self, name: str) -> str:
        """Where a catalogue goes that is named by its hash."""
        return self.up(f"catalogue/{name}")

    def chunk(self, sha256: str, number: int) -> str:
        """Where one chunk of a file goes."""
        return self.up(f"files/{sha256}/{number}")

    @property
    def status(self) -> str:
        """Birth and last will, retained."""
        return self.up("status")

    @property
    def acks(self) -> str:
        """Application acks: what the cloud has on its own disk."""
        return self.down("acks")

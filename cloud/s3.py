"""One bucket of an S3-compatible store: multipart uploads that others fill through presigned URLs.

S3 itself is the memory: which upload belongs to a file and which parts it has is asked, not kept.
"""

from __future__ import annotations

import hashlib
import http.client
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import urlsplit

from cloud.s3_signature import Credentials, presign

PART_BYTES = 5 << 20
"""S3 takes no smaller part, except as the last one."""
EXPIRES_S = 900
TIMEOUT_S = 20.0
MAX_ANSWER = 4 << 20
READ_BYTES = 1 << 20
_NOT_FOUND = 404


class S3Failed(Exception):
    """The store did not do what it was asked; the text says what and why."""


class Part(NamedTuple):
    """A part that the store has."""

    number: int
    size: int
    etag: str


class Put(NamedTuple):
    """Bytes of a file that may be PUT to `url` for a while."""

    offset: int
    length: int
    url: str


@dataclass(frozen=True, slots=True)
class Bucket:
    """`endpoint`: scheme, host and port; `name`: of the bucket, in the path."""

    endpoint: str
    name: str
    region: str
    credentials: Credentials

    def size(self, key: str) -> int | None:
        """Bytes of an object, None where there is none. Raises S3Failed."""
        answer, _ = self._ask("HEAD", key, {}, missing_ok=True)
        if answer.status == _NOT_FOUND:
            return None
        return int(answer.headers.get("Content-Length", "-1"))

    def sha256(self, key: str) -> str:
        """Of an object's content, read back. Raises S3Failed."""
        connection = self._connect()
        try:
            connection.request("GET", self._target("GET", key, {}))
            answer = connection.getresponse()
            if answer.status != http.HTTPStatus.OK:
                raise S3Failed(f"GET {key}: {answer.status} {answer.reason}")
            digest = hashlib.sha256()
            while piece := answer.read(READ_BYTES):
                digest.update(piece)
            return digest.hexdigest()
        except (OSError, http.client.HTTPException) as error:
            raise S3Failed(f"GET {key}: {error}") from error
        finally:
            connection.close()

    def delete(self, key: str) -> None:
        """Remove an object. Raises S3Failed."""
        self._ask("DELETE", key, {})

    def upload_of(self, key: str) -> str:
        """The upload that fills an object: the one there is, else a new one. Raises S3Failed."""
        found = self._xml("GET", "", {"uploads": "", "prefix": key})
        for upload in found.iterfind("{*}Upload"):
            if upload.findtext("{*}Key") == key:
                return upload.findtext("{*}UploadId") or ""
        return self._xml("POST", key, {"uploads": ""}).findtext("{*}UploadId") or ""

    def parts(self, key: str, upload: str) -> list[Part]:
        """What an upload has, by number. Raises S3Failed."""
        parts: list[Part] = []
        marker = "0"
        while True:
            query = {"uploadId": upload, "part-number-marker": marker}
            found = self._xml("GET", key, query)
            parts += [
                Part(
                    int(part.findtext("{*}PartNumber") or 0),
                    int(part.findtext("{*}Size") or 0),
                    part.findtext("{*}ETag") or "",
                )
                for part in found.iterfind("{*}Part")
            ]
            after = found.findtext("{*}NextPartNumberMarker") or marker
            if found.findtext("{*}IsTruncated") != "true" or after == marker:
                return sorted(parts)
            marker = after

    def complete(self, key: str, upload: str, parts: list[Part]) -> None:
        """Make an object of the parts. Raises S3Failed."""
        root = ET.Element("CompleteMultipartUpload")
        for part in parts:
            of = ET.SubElement(root, "Part")
            ET.SubElement(of, "PartNumber").text = str(part.number)
            ET.SubElement(of, "ETag").text = part.etag
        answered = self._xml("POST", key, {"uploadId": upload}, ET.tostring(root))
        if not answered.tag.endswith("CompleteMultipartUploadResult"):
            raise S3Failed(f"complete {key}: {answered.findtext('{*}Code')}")

    def presigned(self, key: str, query: Mapping[str, str] = {}) -> str:
        """A URL that takes a PUT for 15 minutes."""
        return self._presign("PUT", key, query)

    def _xml(
        self, method: str, key: str, query: Mapping[str, str], body: bytes = b""
    ) -> ET.Element:
        _, content = self._ask(method, key, query, body)
        try:
            return ET.fromstring(content)
        except ET.ParseError as error:
            raise S3Failed(f"{method} {key}: the answer is no XML ({error})") from error

    def _ask(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        body: bytes = b"",
        *,
        missing_ok: bool = False,
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = self._connect()
        try:
            connection.request(method, self._target(method, key, query), body)
            answer = connection.getresponse()
            content = answer.read(MAX_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            raise S3Failed(f"{self.endpoint}: {method} {key}: {error}") from error
        finally:
            connection.close()
        fine = answer.status < http.HTTPStatus.MULTIPLE_CHOICES
        if not fine and not (missing_ok and answer.status == _NOT_FOUND):
            said = content[:200].decode(errors="replace")
            raise S3Failed(f"{self.endpoint}: {method} {key}: {answer.status} {said}")
        return answer, content

    def _connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.endpoint)
        of = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return of(parts.netloc, timeout=TIMEOUT_S)

    def _target(self, method: str, key: str, query: Mapping[str, str]) -> str:
        return self._presign(method, key, query).removeprefix(self.endpoint)

    def _presign(self, method: str, key: str, query: Mapping[str, str]) -> str:
        url = f"{self.endpoint}/{self.name}" + (f"/{key}" if key else "")
        now = datetime.now(UTC)
        return presign(method, url, query, self.credentials, self.region, now, EXPIRES_S)

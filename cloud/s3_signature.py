"""Presigned URLs of S3 (AWS Signature Version 4 in the query). Pure.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote, urlsplit

MAX_EXPIRES_S = 604_800


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key of a bucket's owner. `token`: of a role, empty for a user's own key."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(default="", repr=False)


def presign(
    method: str,
    url: str,
    query: Mapping[str, str],
    credentials: Credentials,
    region: str,
    at: datetime,
    expires_s: int,
) -> str:
    """`url`, without a query, as whoever has the result may use it until `at` + `expires_s`.

    `at` is UTC. Raises ValueError where S3 would not take the time span.
    """
    if not 1 <= expires_s <= MAX_EXPIRES_S:
        raise ValueError(f"{expires_s} s: a presigned URL holds for 1 to {MAX_EXPIRES_S} s")
    parts = urlsplit(url)
    stamp = at.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    signed = {
        **query,
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{credentials.access_key}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(expires_s),
        "X-Amz-SignedHeaders": "host",
    }
    if credentials.token:
        signed["X-Amz-Security-Token"] = credentials.token
    asked = "&".join(
        f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}"
        for name, value in sorted(signed.items())
    )
    path = quote(parts.path or "/", safe="/-_.~")
    request = f"{method}\n{path}\n{asked}\nhost:{parts.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (stamp[:8], region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return f"{parts.scheme}://{parts.netloc}{path}?{asked}&X-Amz-Signature={signature}"

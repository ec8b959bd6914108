"""Presigned URLs: the published example, and what must be escaped."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cloud.s3_signature import Credentials, presign

# https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
EXAMPLE = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
AT = datetime(2013, 5, 24, tzinfo=UTC)


def test_the_example_of_the_manual() -> None:
    where = "https://examplebucket.s3.amazonaws.com/test.txt"
    url = presign("GET", where, {}, EXAMPLE, "us-east-1", AT, 86_400)
    assert url == (
        "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


@pytest.mark.parametrize(
    ("method", "url", "query", "token", "want"),
    [
        (
            "PUT",
            "http://127.0.0.1:9000/bucket/bus-1/abc",
            {"partNumber": "3", "uploadId": "a/b+c=="},
            "",
            "8b1c7bcd22e65ce9157abf4efaee3f90de69d4527454b3be357ad66037d341cb",
        ),
        (
            "PUT",
            "http://127.0.0.1:9000/bucket/bus-1/abc",
            {"partNumber": "3", "uploadId": "a/b+c=="},
            "to/ken+==",
            "0c6bb4816c37d156ef359048213c2c6fe79e76bf823b06bc34deb9e8fc1259e2",
        ),
        (
            "POST",
            "https://h.example/b/bus_1/x",
            {"uploads": ""},
            "",
            "8305840c90d2532adcf68f1912fc041970334612e22b0bcc28dd6c4572ba9729",
        ),
    ],
)
def test_as_botocore_signs(
    method: str, url: str, query: dict[str, str], token: str, want: str
) -> None:
    """What botocore's S3SigV4QueryAuth makes of the same."""
    credentials = Credentials(EXAMPLE.access_key, EXAMPLE.secret_key, token)
    signed = presign(method, url, query, credentials, "us-east-1", AT, 86_400)
    assert signed.endswith(f"&X-Amz-Signature={want}")


def test_keys_stay_out_of_texts() -> None:
    assert EXAMPLE.secret_key not in repr(Credentials("a", EXAMPLE.secret_key, EXAMPLE.secret_key))


@pytest.mark.parametrize("expires_s", [0, -1, 604_801])
def test_impossible_spans(expires_s: int) -> None:
    with pytest.raises(ValueError, match="presigned"):
        presign("GET", "https://h/b", {}, EXAMPLE, "us-east-1", AT, expires_s)

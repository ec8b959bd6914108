"""An S3 of our own for tests: path-style, one bucket, multipart, presigned; counts and refuses.

Signatures are checked against botocore's in tests/cloud/test_s3_signature.py; here only the time.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

Fate = Literal["take", "expired", "cut"]
PIECE = 16_384


class S3Double:
    """`judge(number)` decides about the n-th PUT: expired: 403; cut: half of it is read."""

    def __init__(self, judge: Callable[[int], Fate] = lambda number: "take") -> None:
        self.judge = judge
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, str] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.puts: list[tuple[int, int]] = []
        """(part, bytes) of each PUT that was taken."""
        self.asked = 0
        self.bytes_per_s = 0
        double = self

        class Request(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                return

            def do_GET(self) -> None:
                double.serve(self)

            do_PUT = do_POST = do_HEAD = do_DELETE = do_GET  # noqa: N815

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Request)
        self.url = f"http://127.0.0.1:{self._server.server_port}/bucket"
        self._pause = threading.Event()
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._pause.set()
        self._server.shutdown()
        self._server.server_close()

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        query = {k: v[0] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
        key = unquote(parts.path).removeprefix("/bucket").lstrip("/")
        length = int(request.headers.get("Content-Length") or 0)
        fate: Fate = "take"
        if request.command == "PUT":
            self.asked += 1
            fate = self.judge(self.asked)
        body = self._read(request, length // 2 if fate == "cut" else length)
        if fate == "cut":
            request.close_connection = True
            return
        begun = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if fate == "expired" or begun + timedelta(seconds=900) < datetime.now(UTC):
            self._answer(request, 403, b"<Error><Code>AccessDenied</Code></Error>")
            return
        status, headers, content = self._do(request.command, key, query, body)
        self._answer(request, status, content, headers)

    def _read(self, request: BaseHTTPRequestHandler, length: int) -> bytes:
        found = b""
        while len(found) < length and (p := request.rfile.read(min(PIECE, length - len(found)))):
            found += p
            if self.bytes_per_s:
                self._pause.wait(len(p) / self.bytes_per_s)
        return found

    def _do(
        self, method: str, key: str, query: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        upload = query.get("uploadId", "")
        match method:
            case "PUT":
                number = int(query.get("partNumber", 0))
                self.puts.append((number, len(body)))
                if upload:
                    self.parts[upload][number] = body
                else:
                    self.objects[key] = body
                return 200, {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}, b""
            case "POST" if "uploads" in query:
                fresh = f"upload-{len(self.uploads)}"
                self.uploads[fresh], self.parts[fresh] = key, {}
                return 200, {}, f"<R xmlns='s3'><UploadId>{fresh}</UploadId></R>".encode()
            case "POST":
                parts = self.parts.pop(upload)
                self.uploads.pop(upload)
                self.objects[key] = b"".join(parts[n] for n in sorted(parts))
                return 200, {}, b"<CompleteMultipartUploadResult xmlns='s3'/>"
            case "DELETE":
                self.objects.pop(key, None)
                return 204, {}, b""
            case "GET" if "uploads" in query:
                found = "".join(
                    f"<Upload><Key>{k}</Key><UploadId>{u}</UploadId></Upload>"
                    for u, k in self.uploads.items()
                )
                return 200, {}, f"<R xmlns='s3'>{found}</R>".encode()
            case "GET" if upload:
                listed = "".join(
                    f"<Part><PartNumber>{n}</PartNumber><Size>{len(b)}</Size><ETag>e</ETag></Part>"
                    for n, b in self.parts[upload].items()
                )
                return 200, {}, f"<R xmlns='s3'>{listed}</R>".encode()
            case _:
                content = self.objects.get(key)
                return (404, {}, b"") if content is None else (200, {}, content)

    def _answer(
        self,
        request: BaseHTTPRequestHandler,
        status: int,
        content: bytes,
        headers: dict[str, str] | None = None,
    ) -> None:
        request.send_response(status)
        for name, value in (headers or {}).items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(content)

"""As much of HTTP/1.1 as clients of an API speak: keep-alive, and bodies with a Content-Length."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from dspex.samples.server.errors import ApiError

HEAD_BYTES_MAX = 64 * 1024
BODY_BYTES_MAX = 16 * 1024 * 1024

_END_OF_HEAD = b"\r\n\r\n"
_REASONS = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True)
class HttpRequest:
    """A request with its body."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    keep_alive: bool


@dataclass(frozen=True)
class _Head:
    method: str
    path: str
    headers: dict[str, str]
    length: int
    keep_alive: bool


class Parser:
    """Turns what comes over one connection into requests."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: _Head | None = None
        self._continue = False

    @property
    def buffered(self) -> int:
        """The bytes that are not yet a request."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """More has come."""
        self._buffer += data

    def next(self) -> HttpRequest | None:
        """The next request, if it is complete. After an ApiError the connection is of no use any more."""
        if self._head is None:
            end = self._buffer.find(_END_OF_HEAD)
            if (len(self._buffer) if end < 0 else end) > HEAD_BYTES_MAX:
                raise ApiError(431, f"the headers are larger than {HEAD_BYTES_MAX} bytes")
            if end < 0:
                return None
            head = self._head = _read_head(bytes(self._buffer[:end]))
            del self._buffer[: end + len(_END_OF_HEAD)]
            self._continue = head.headers.get("expect", "").lower() == "100-continue"
        head = self._head
        if len(self._buffer) < head.length:
            return None
        body = bytes(self._buffer[: head.length])
        del self._buffer[: head.length]
        self._head = None
        return HttpRequest(head.method, head.path, head.headers, body, head.keep_alive)

    def wants_continue(self) -> bool:
        """Whether the client waits to be told that it may send the body; true once per request."""
        waits = self._continue and self._head is not None
        self._continue = False
        return waits


def _read_head(head: bytes) -> _Head:
    # Some clients send an empty line after a body; RFC 9112 has servers skip it.
    start, *lines = head.decode("latin-1").lstrip("\r\n").split("\r\n")
    parts = start.split(" ")
    if len(parts) != 3 or not parts[1].startswith("/") or parts[2] not in ("HTTP/1.0", "HTTP/1.1"):
        raise ApiError(400, "this is no HTTP/1.1 request; the server speaks plain HTTP, not HTTPS and not HTTP/2")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise ApiError(400, "a header is not of the form `name: value`")
        name, value = name.lower(), value.strip()
        if name == "content-length" and headers.get(name, value) != value:
            raise ApiError(400, "two different Content-Length headers; send one")
        headers[name] = value
    if "transfer-encoding" in headers:
        raise ApiError(411, "chunked bodies are not read; send a Content-Length")
    connection = headers.get("connection", "").lower()
    keep_alive = "close" not in connection if parts[2] == "HTTP/1.1" else "keep-alive" in connection
    return _Head(parts[0], parts[1].partition("?")[0], headers, _length(headers), keep_alive)


def _length(headers: dict[str, str]) -> int:
    written = headers.get("content-length", "0")
    if not (written.isascii() and written.isdigit()):
        raise ApiError(400, "Content-Length is not a number")
    length = int(written)
    if length > BODY_BYTES_MAX:
        raise ApiError(413, f"the body has {length} bytes; at most {BODY_BYTES_MAX} (16 MiB) are read: send less")
    return length


def encode(status: int, headers: dict[str, str], body: bytes, keep_alive: bool) -> bytes:
    """A response with a body of known length."""
    return _encode_head(status, {**headers, "Content-Length": str(len(body))}, keep_alive) + body


def encode_chunks(headers: dict[str, str], chunks: list[bytes], keep_alive: bool) -> bytes:
    """A response 200 whose body comes in chunks."""
    head = _encode_head(200, {**headers, "Transfer-Encoding": "chunked"}, keep_alive)
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in [*chunks, b""])


def _encode_head(status: int, headers: dict[str, str], keep_alive: bool) -> bytes:
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"Connection: {'keep-alive' if keep_alive else 'close'}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

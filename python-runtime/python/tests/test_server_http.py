"""HTTP: what comes over the wire, and what goes back when it is wrong."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import PATIENCE_SECONDS
from serving import CHAT, Server, chat

from dspex.samples.server.errors import ApiError
from dspex.samples.server.http import BODY_BYTES_MAX, Parser


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as started:
        yield started


def _raw(path: str, body: bytes = b"", method: str = "POST", *headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _parsed(pieces: list[bytes]) -> list[Any]:
    parser = Parser()
    requests = []
    for piece in pieces:
        parser.feed(piece)
        while (request := parser.next()) is not None:
            requests.append(request)
    assert parser.buffered == 0
    return requests


def test_requests_are_found_wherever_they_are_cut() -> None:
    sent = _raw("/a?b=c", b"one") + b"\r\n" + _raw("/b", b"", "GET", "Connection: close") + _raw("/c", b"\r\n\r\n")
    whole = _parsed([sent])
    assert [(request.method, request.path, request.body, request.keep_alive) for request in whole] == [
        ("POST", "/a", b"one", True),
        ("GET", "/b", b"", False),
        ("POST", "/c", b"\r\n\r\n", True),
    ]
    for size in (1, 2, 3, 7):
        assert _parsed([sent[start : start + size] for start in range(0, len(sent), size)]) == whole


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET example.org HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1e3\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (f"POST / HTTP/1.1\r\nContent-Length: {BODY_BYTES_MAX + 1}\r\n\r\n".encode(), 413),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, 431),
    ],
)
def test_what_is_no_request_is_refused(server: Server, sent: bytes, status: int) -> None:
    parser = Parser()
    parser.feed(sent)
    with pytest.raises(ApiError) as raised:
        parser.next()
    assert raised.value.status == status
    with socket.create_connection(server.address, PATIENCE_SECONDS) as connection:
        connection.sendall(sent)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == status
        assert answer.getheader("Connection") == "close"
        assert set(json.loads(answer.read())["error"]) == {"message", "type", "param", "code"}
    assert server.settled()["refused"][str(status)] >= 1


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("POST", CHAT, b"{", 400, "the body is not JSON"),
        ("POST", CHAT, b"", 400, "the body is not JSON"),
        ("POST", CHAT, b"\xff\xfe", 400, "the body is not JSON"),
        ("POST", CHAT, b"[" * 200_000, 400, "the body is not JSON"),
        ("POST", CHAT, b"[]", 400, "send an object"),
        ("POST", CHAT, {"messages": chat()["messages"]}, 400, "model: any name will do"),
        ("POST", CHAT, {"model": "m"}, 400, "messages: a list of at least one"),
        ("POST", CHAT, {"model": "m", "messages": []}, 400, "messages: a list of at least one"),
        ("POST", CHAT, {"model": "m", "messages": ["hello"]}, 400, "messages[0]: an object"),
        ("POST", CHAT, {"model": "m", "messages": [{"role": "user", "content": 7}]}, 400, "messages[0].content"),
        (
            "POST",
            CHAT,
            {"model": "m", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            400,
            "parts of type text only",
        ),
        ("POST", CHAT, {"model": "m", "messages": [{"role": "user", "content": "hi"}]}, 400, "reads digits only"),
        ("POST", CHAT, chat(n=0), 400, "n: a whole number from 1"),
        ("POST", CHAT, chat(n=True), 400, "n: a whole number from 1"),
        ("POST", CHAT, chat(temperature="hot"), 400, "temperature: a number"),
        ("POST", CHAT, chat(temperature=float("nan")), 400, "temperature: a number"),
        ("POST", CHAT, chat(stream="yes"), 400, "stream: true or false"),
        ("POST", CHAT, chat(stream_options=[1]), 400, "stream_options: an object"),
        ("POST", CHAT, chat(seed=1.5), 400, "seed: a whole number"),
        ("POST", "/v1/embeddings", {"model": "m"}, 400, "input: a text or a list"),
        ("POST", "/v1/embeddings", {"model": "m", "input": []}, 400, "input: a text or a list"),
        ("POST", "/v1/embeddings", {"model": "m", "input": [[1, 2]]}, 400, "lists of token numbers"),
        ("POST", "/v1/embeddings", {"model": "m", "input": "a", "dimensions": 0}, 400, "dimensions: a whole number"),
        ("POST", "/v1/embeddings", {"model": "m", "input": "a", "encoding_format": "x"}, 400, "encoding_format"),
        ("POST", "/v1/responses", {}, 404, "/v1/chat/completions"),
        ("GET", "/", None, 404, "no such path: /; there are /v1/chat/completions"),
        ("GET", CHAT, None, 405, "takes POST, not GET"),
        ("POST", "/v1/models", {}, 405, "takes GET, not POST"),
    ],
)
def test_errors_say_what_to_do(server: Server, method: str, path: str, body: Any, status: int, says: str) -> None:
    before = server.stats()
    got, headers, answer = server.call(method, path, body)
    assert (got, headers["content-type"]) == (status, "application/json")
    assert says in answer["error"]["message"]
    assert answer["error"]["type"] == "invalid_request_error"
    assert (status == 405) == ("allow" in headers)
    after = server.stats()
    assert after["refused"][str(status)] == before["refused"].get(str(status), 0) + 1
    assert after["answered"] == before["answered"]


def test_a_body_that_is_too_large_is_answered_while_it_comes(server: Server) -> None:
    status, _, answer = server.post(CHAT, b" " * (BODY_BYTES_MAX + 1_000_000))
    assert status == 413
    assert "16 MiB" in answer["error"]["message"]


def test_the_largest_body_is_read(server: Server) -> None:
    body = json.dumps(chat()).encode()
    assert server.post(CHAT, body + b" " * (BODY_BYTES_MAX - len(body)))[0] == 200


def test_a_connection_serves_many_and_in_order(server: Server) -> None:
    bodies = [json.dumps(chat(number, model=f"m{number}")).encode() for number in range(20)]
    with socket.create_connection(server.address, PATIENCE_SECONDS) as connection:
        connection.sendall(
            b"".join(_raw(CHAT, body) for body in bodies) + _raw("/stats", b"", "GET", "Connection: close")
        )
        received = b""
        while data := connection.recv(1 << 16):
            received += data
    assert received.count(b"HTTP/1.1 200 OK") == 21
    places = [received.find(f'"model": "m{number}"'.encode()) for number in range(20)]
    assert places == sorted(places)
    assert -1 not in places


def test_a_client_may_ask_before_it_sends(server: Server) -> None:
    body = json.dumps(chat()).encode()
    with socket.create_connection(server.address, PATIENCE_SECONDS) as connection:
        connection.sendall(_raw(CHAT, body, "POST", "Expect: 100-continue")[: -len(body)])
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK")


def test_http_1_0_is_answered_and_closed(server: Server) -> None:
    with socket.create_connection(server.address, PATIENCE_SECONDS) as connection:
        connection.sendall(b"GET /v1/models HTTP/1.0\r\n\r\n")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert json.loads(answer.read())["object"] == "list"
        assert connection.recv(1) == b""

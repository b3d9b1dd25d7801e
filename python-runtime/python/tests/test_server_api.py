"""The endpoints: what a plain client of OpenAI's API sees."""

from __future__ import annotations

import base64
import http.client
import json
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from serving import CHAT, Server, chat

from dspex.samples.nearest_demo import answer


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with Server() as started:
        yield started


@pytest.fixture
def server(running: Server) -> Server:
    running.post("/reset", {})
    return running


def _text(body: dict[str, Any]) -> str:
    return answer([(message["role"], message["content"]) for message in body["messages"]]).text


def _events(server: Server, body: dict[str, Any]) -> list[Any]:
    connection = http.client.HTTPConnection(*server.address, timeout=30)
    connection.request("POST", CHAT, json.dumps(body))
    response = connection.getresponse()
    assert response.getheader("Content-Type", "").startswith("text/event-stream")
    *events, done, rest = response.read().decode().split("\n\n")
    connection.close()
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


def test_a_completion(server: Server) -> None:
    body = chat(3, demos=8)
    status, headers, given = server.post(CHAT, body)
    assert status == 200
    assert given["object"] == "chat.completion"
    assert given["model"] == "digits"
    (choice,) = given["choices"]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"] == _text(body)
    assert given["usage"] == {"prompt_tokens": 8 * (69 + 6) + 69, "completion_tokens": 11, "total_tokens": 680}
    assert headers["x-request-id"].endswith("-0")
    assert server.post(CHAT, body)[1]["x-request-id"] == headers["x-request-id"][:-1] + "1", "the second attempt"
    assert server.stats()["tokens"] == {"prompt": 2 * 669, "completion": 22}


def test_texts_may_come_in_parts(server: Server) -> None:
    body = chat(3)
    text = body["messages"][0]["content"]
    parts = [{"type": "text", "text": text[:50]}, {"type": "text", "text": text[50:]}]
    given = server.post(CHAT, {**body, "messages": [{"role": "user", "content": parts}]})[2]
    assert given["choices"][0]["message"]["content"] == _text(body)


def test_what_is_the_same_request(server: Server) -> None:
    def attempt(**more: Any) -> str:
        return server.post(CHAT, {**chat(1), **more})[1]["x-request-id"].rpartition("-")[2]

    assert [attempt(), attempt(user="me"), attempt(stream=False), attempt(metadata={"a": 1})] == ["0", "1", "2", "3"]
    different = [{"model": "other"}, {"temperature": 0.5}, {"seed": 1}, {"salt": "a"}, {"n": 2}]
    assert [attempt(**more) for more in different] == ["0"] * 5


def test_samples_differ_by_choice_and_by_seed(server: Server) -> None:
    def texts(**more: Any) -> list[str]:
        choices = server.post(CHAT, {**chat(5, demos=30), **more})[2]["choices"]
        assert [choice["index"] for choice in choices] == list(range(len(choices)))
        return [choice["message"]["content"] for choice in choices]

    (plain,) = texts()
    assert texts(n=5) == [plain] * 5
    assert texts(temperature=1.5, n=2)[0] == plain, "the first sample without a seed is the answer itself"
    many = texts(temperature=1.5, n=20, seed=7)
    assert len(set(many)) > 2
    assert many == texts(temperature=1.5, n=20, seed=7)
    assert many != texts(temperature=1.5, n=20, salt="8")
    assert many[:1] == texts(temperature=1.5, seed=7)


@pytest.mark.parametrize("count", [1, 3])
def test_a_stream_is_the_same_completion(server: Server, count: int) -> None:
    body = chat(5, demos=8, n=count, temperature=1.5, seed=3)
    whole = server.post(CHAT, body)[2]
    *chunks, last = _events(server, {**body, "stream": True, "stream_options": {"include_usage": True}})
    assert (last["choices"], last["usage"]) == ([], whole["usage"])
    texts = [""] * count
    finished = []
    for chunk in chunks:
        assert chunk["object"] == "chat.completion.chunk"
        assert chunk["usage"] is None
        (choice,) = chunk["choices"]
        texts[choice["index"]] += choice["delta"].get("content", "")
        finished += [choice["index"]] if choice["finish_reason"] == "stop" else []
    assert texts == [choice["message"]["content"] for choice in whole["choices"]]
    assert finished == list(range(count))
    assert all("usage" not in event for event in _events(server, {**body, "stream": True}))


def test_embeddings(server: Server) -> None:
    def vectors(texts: Any, **more: Any) -> list[Any]:
        given = server.post("/v1/embeddings", {"model": "m", "input": texts, **more})[2]
        assert [entry["index"] for entry in given["data"]] == list(range(len(given["data"])))
        return [entry["embedding"] for entry in given["data"]]

    texts = ["the cat sat on the mat", "a cat sat on a mat", "quarterly revenue exceeded forecasts"]
    given = vectors(texts)
    assert {len(vector) for vector in given} == {64}
    assert vectors(texts[1]) == given[1:2], "alone as among others"
    similar, different = (sum(x * y for x, y in zip(given[0], other, strict=True)) for other in given[1:])
    assert similar > different + 0.3
    assert sum(x * x for x in given[0]) == pytest.approx(1)
    (packed,) = vectors(texts[0], encoding_format="base64")
    assert struct.unpack("<64f", base64.b64decode(packed)) == pytest.approx(given[0])
    assert len(vectors("a", dimensions=7)[0]) == 7
    assert vectors("a", dimensions=1)[0] in ([1.0], [-1.0])
    assert server.stats()["tokens"]["completion"] == 0


def test_texts_need_not_be_proper_unicode(server: Server) -> None:
    assert server.post("/v1/embeddings", {"model": "\ud800", "input": "half a pair: \ud800"})[0] == 200
    assert server.post(CHAT, chat(1, model="\udfff", salt="\ud800", temperature=1))[0] == 200


def test_models_are_listed(server: Server) -> None:
    assert "digits" in [model["id"] for model in server.call("GET", "/v1/models")[2]["data"]]


def test_a_reset_begins_anew(server: Server) -> None:
    server.post(CHAT, chat())
    server.post(CHAT, b"{")
    assert server.stats()["requests"] == 2
    assert server.post("/reset", {})[::2] == (200, {})
    counts = server.stats()
    assert (counts["requests"], counts["refused"], counts["tokens"]["prompt"]) == (0, {}, 0)
    assert server.post(CHAT, chat())[1]["x-request-id"].endswith("-0")


def test_a_key_is_required_if_one_is_named() -> None:
    with Server("--key-env", "A_KEY", environment={"A_KEY": "good"}) as server:
        for headers in (
            {},
            {"Authorization": "Bearer bad"},
            {"Authorization": "Basic good"},
            {"Authorization": "good"},
        ):
            for method, path in (("POST", CHAT), ("GET", "/stats"), ("GET", "/nowhere")):
                status, _, given = server.call(method, path, chat(), headers)
                assert (status, given["error"]["code"]) == (401, "invalid_api_key")
        assert server.post(CHAT, chat(), Authorization="Bearer good")[0] == 200
        assert server.post(CHAT, chat(), Authorization="bearer good")[0] == 200


def test_the_rate_limit_is_real() -> None:
    with Server("--requests-per-minute", "3", "--rate-500", "1") as server:
        statuses = []
        for number in range(5):
            status, headers, given = server.post(CHAT, chat(number))
            statuses.append(status)
            assert headers["x-ratelimit-limit-requests"] == "3"
        assert statuses == [500, 500, 500, 429, 429]
        assert given["error"]["code"] == "rate_limit_exceeded"
        assert 1 <= int(headers["retry-after"]) <= 20
        assert server.stats()["rate_limited"] == 2
        server.post("/reset", {})
        assert server.post(CHAT, chat(9))[0] == 500, "who was turned away has not had an attempt"

"""Faults as they come over the wire, and the counts of them."""

from __future__ import annotations

import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from serving import CHAT, Server, chat

from dspex.samples.server import requests
from dspex.samples.server.plan import Plan, decide

MIXED = ("--rate-429", "0.2", "--rate-500", "0.2", "--rate-hang", "0.1", "--rate-malformed", "0.2", "--hang-s", "0.01")


def _outcome(server: Server, body: dict[str, Any]) -> str:
    """What a client sees."""
    try:
        status, headers, given = server.post(CHAT, body)
    except http.client.IncompleteRead:
        return "cut-off"
    except (http.client.RemoteDisconnected, ConnectionResetError):
        return "hang"
    except json.JSONDecodeError:
        return "broken-json"
    if status != 200:
        assert (status == 429) == ("retry-after" in headers)
        return str(status)
    if "choices" not in given:
        return "no-choices"
    text = given["choices"][0]["message"]["content"]
    return "answered" if text.startswith("[[ ## digit ## ]]") else "no-markers"


def _outcomes(server: Server, order: list[int], threads: int = 1) -> dict[int, list[str]]:
    """What each of these requests meets in three attempts."""

    def attempts(number: int) -> list[str]:
        return [_outcome(server, chat(number)) for _ in range(3)]

    with ThreadPoolExecutor(threads) as pool:
        return dict(zip(order, pool.map(attempts, order), strict=True))


def test_the_same_seed_has_the_same_faults() -> None:
    numbers = list(range(60))
    with Server(*MIXED, "--seed", "7") as server:
        first = _outcomes(server, numbers)
        counts = server.settled()
    met = [outcome for outcomes in first.values() for outcome in outcomes]
    assert set(met) == {"answered", "429", "500", "hang", "broken-json", "cut-off", "no-choices", "no-markers"}
    for outcomes in first.values():
        assert sum(outcome != "answered" for outcome in outcomes) <= 1, "one fault for each request at most"
    malformed = sum(met.count(kind) for kind in ("broken-json", "cut-off", "no-choices", "no-markers"))
    assert counts["faults"] == {
        "429": met.count("429"),
        "500": met.count("500"),
        "hang": met.count("hang"),
        "malformed": malformed,
    }
    assert counts["answered"] == met.count("answered")
    assert counts["tokens"]["completion"] == 11 * counts["answered"]
    with Server(*MIXED, "--seed", "7") as server:
        assert _outcomes(server, numbers[::-1], threads=16) == first, "in any order, however many at once"
        server.post("/reset", {})
        assert _outcomes(server, numbers) == first
    with Server(*MIXED, "--seed", "8") as server:
        assert _outcomes(server, numbers) != first


def test_faults_may_repeat() -> None:
    with Server("--rate-500", "1", "--faults-max", "2") as server:
        assert _outcomes(server, [1]) == {1: ["500", "500", "answered"]}


def test_a_planned_429_says_when_to_come_again() -> None:
    with Server("--rate-429", "1", "--retry-after", "0.25", "--latency-ms", "60000") as server:
        status, headers, given = server.post(CHAT, chat())
    assert (status, headers["retry-after"], given["error"]["code"]) == (429, "0.25", "rate_limit_exceeded")
    with Server("--rate-429", "1", "--retry-after", "2") as server:
        assert server.post(CHAT, chat())[1]["retry-after"] == "2"


def test_a_hang_ends_with_the_client_or_without_an_answer() -> None:
    with Server("--rate-hang", "1", "--hang-s", "600") as server:
        connection = http.client.HTTPConnection(*server.address, timeout=0.2)
        connection.request("POST", CHAT, json.dumps(chat()))
        with pytest.raises(TimeoutError):
            connection.getresponse()
        while not server.stats()["in_flight"]:
            time.sleep(0.01)
        connection.close()
        counts = server.settled()
        assert (counts["faults"]["hang"], counts["abandoned"]) == (1, 0)
        assert _outcome(server, chat()) == "answered"


def test_a_client_that_leaves_an_answer_is_counted() -> None:
    with Server("--latency-ms", "60000") as server:
        connection = http.client.HTTPConnection(*server.address)
        connection.request("POST", CHAT, json.dumps(chat()))
        while not server.stats()["in_flight"]:
            time.sleep(0.01)
        connection.close()
        assert server.settled()["abandoned"] == 1


@pytest.mark.parametrize("kind", ["broken-json", "cut-off", "no-choices", "no-markers"])
def test_streams_are_malformed_too(kind: str) -> None:
    with Server("--rate-malformed", "1", "--malformed", kind, "--faults-max", "1") as server:
        connection = http.client.HTTPConnection(*server.address)
        connection.request("POST", CHAT, json.dumps(chat(stream=True)))
        response = connection.getresponse()
        if kind == "cut-off":
            with pytest.raises(http.client.IncompleteRead):
                response.read()
            return
        events = response.read().decode().split("\n\n")[:-2]
        if kind == "broken-json":
            with pytest.raises(json.JSONDecodeError):
                json.loads(events[0].removeprefix("data: "))
            return
        given = [json.loads(event.removeprefix("data: ")) for event in events]
        if kind == "no-choices":
            assert not any("choices" in event for event in given)
        else:
            text = "".join(event["choices"][0]["delta"].get("content", "") for event in given)
            assert text.startswith("It looks like a ")


def test_embeddings_have_faults_too() -> None:
    with Server("--rate-malformed", "1", "--malformed", "no-choices") as server:
        body = {"model": "m", "input": "a"}
        assert "data" not in server.post("/v1/embeddings", body)[2]
        assert "data" in server.post("/v1/embeddings", body)[2]


def test_latency_has_a_median_and_a_name_goes_before_it() -> None:
    def took(server: Server, **more: Any) -> float:
        started = time.monotonic()
        assert server.post(CHAT, chat(**more))[0] == 200
        return time.monotonic() - started

    with Server("--latency-ms", "300") as server:
        assert took(server) >= 0.3
        assert took(server, model="digits-20ms") < took(server)
    with Server("--latency-ms", "20", "--latency-sigma", "1.5") as server:
        plan = Plan(latency_ms=20, latency_sigma=1.5)
        digests = [requests.chat(json.dumps(chat(number)).encode()).digest for number in range(12)]
        planned = [decide(plan, digest, 0, 0).latency_seconds for digest in digests]
        assert max(planned) > 5 * min(planned)
        for number, latency in enumerate(planned):
            assert took(server, number=number) >= latency
